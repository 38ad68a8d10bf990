"""Hidden-state variability at every depth of the pretrained encoder (Xie et al. 2022, 3.1)."""

import tempfile
from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    from strata.analysis.activations import Activations
    from strata.analysis.dump import Source, dump
    from strata.analysis.variability import classes, variability_table
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import load_tokenizer
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.loading import check_length, load_model
    from strata.study.settings import (
        ForwardSettings,
        Sample,
        Sampling,
        StorageSettings,
        VariabilitySettings,
    )
    from strata.study.states import PRETRAINED

    task, settings = Task.read(inputs.task), VariabilitySettings(**params.settings)
    sample = Sample(settings.max_examples, params.sample_seed)
    examples = read_examples(inputs.examples, sample)
    groups = classes(task, examples["label"].to_numpy(), settings.bins)
    model = load_model(inputs.model, task, seed=0).to(device())
    check_length(model, params.max_length)
    rows = Rows(load_tokenizer(inputs.model), examples, params.max_length)
    about = {"model": snakemake.wildcards.model, "task": task.name, "state": str(PRETRAINED)}
    source, stored = Source(Encoder(model), rows, about), StorageSettings(["mean"], "float32")
    # One forward pass, on disk beside the result: all depths need not fit into memory.
    with tempfile.TemporaryDirectory(dir=Path(snakemake.output.table).parent) as folder:
        path = Path(folder) / "means.h5"
        dump(path, source, stored, ForwardSettings(**params.forward))
        with Activations.open(path) as means:
            vectors, depths = means.vectors("mean"), means.depths("mean")
            sampling = Sampling(settings.resamples, params.confidence)
            table = variability_table(vectors, depths, groups, sampling)
    table.insert(0, "model", snakemake.wildcards.model)
    table.insert(1, "task", task.name)
    table.to_csv(snakemake.output.table, index=False)
