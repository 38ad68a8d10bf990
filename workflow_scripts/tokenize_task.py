"""Tokenise a task's splits once for a model; every run on them reads these files."""

from strata.jobs import job

given, out = snakemake.input, snakemake.output
with job(snakemake.log[0], snakemake.threads):
    from strata.batches import Rows
    from strata.models import load_tokenizer
    from strata.tasks import read_examples
    from strata.tokens import write_tokens

    tokenizer = load_tokenizer(given.model)
    for examples, path in ((given.train, out.train), (given.eval, out.eval)):
        write_tokens(path, Rows(tokenizer, read_examples(examples), snakemake.params.max_length))
