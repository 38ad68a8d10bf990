"""Write the representations of every depth of one state, for one split."""

import json
from pathlib import Path

from strata.modeling.compute import gpu_job

given, wildcards = snakemake.params, snakemake.wildcards
with gpu_job(snakemake):
    from strata.analysis.dump import dump
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.loading import check_length, load_model, load_tokenizer
    from strata.study.states import State

    task = Task.read(snakemake.input.task)
    examples = read_examples(snakemake.input.examples, given.limit, given.sample_seed)
    # The head's weights play no part here: the pretrained encoder gets one drawn by seed 0.
    model = load_model(snakemake.input.checkpoint, task, seed=0).to(device())
    check_length(model, given.max_length)
    source = json.loads((Path(snakemake.input.model) / "source.json").read_text())
    dump(
        snakemake.output.activations,
        Encoder(model),
        Rows(load_tokenizer(snakemake.input.model), examples, given.max_length),
        attributes={
            "model": wildcards.model,
            "source": source["source"],
            "revision": source.get("commit", source.get("sha256")),
            "task": task.name,
            "split": given.split,
            "state": wildcards.state,
            "seed": State.parse(wildcards.state).seed,
        },
        poolings=given.poolings,
        dtype=given.dtype,
        batch_size=given.forward["batch_size"],
        precision=given.forward["precision"],
    )
