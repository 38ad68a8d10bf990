"""Representations of every depth of one state, for one split (rules dump_eval, dump_train)."""

from strata.modeling.compute import gpu_job

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with gpu_job(snakemake):
    from strata.analysis.dump import Source, dump
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.loading import check_length, load_encoder
    from strata.study.run_records import read_model_source
    from strata.study.settings import ForwardSettings, Sample, StorageSettings
    from strata.study.states import State

    task = Task.read(inputs.task)
    examples = read_examples(inputs.examples, Sample(params.limit, params.sample_seed))
    model, tokenizer = load_encoder(inputs.checkpoint).to(device()), load_tokenizer(inputs.model)
    max_length = length_limit(params.max_length, inputs.model, tokenizer)
    check_length(model, max_length)
    origin = read_model_source(inputs.model)
    about = {
        "model": wildcards.model,
        "source": origin["source"],
        "revision": origin.get("commit", origin.get("sha256")),
        "task": task.name,
        "split": params.split,
        "state": wildcards.state,
        "seed": State.parse(wildcards.state).seed,
    }
    rows = Rows(tokenizer, examples, max_length)
    dump(
        snakemake.output.activations,
        Source(Encoder(model), rows, about),
        StorageSettings(params.poolings, params.dtype),
        ForwardSettings(**params.forward),
    )
