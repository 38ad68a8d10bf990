"""Tokenise a task's splits once for a model; every run on them reads these files."""

from strata.runtime.job import job

inputs, out = snakemake.input, snakemake.output
with job(snakemake):
    from strata.data.batches import Rows
    from strata.data.task import read_examples
    from strata.data.tokens import length_limit, load_tokenizer, write_tokens

    tokenizer = load_tokenizer(inputs.model)
    limit = length_limit(snakemake.params.max_length, inputs.model, tokenizer)
    for examples, path in ((inputs.train, out.train), (inputs.eval, out.eval)):
        write_tokens(path, Rows(tokenizer, read_examples(examples), limit))
