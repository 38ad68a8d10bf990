"""Hidden-state variability at every depth of the pretrained encoder (Xie et al. 2022, 3.1)."""

import tempfile
from math import sqrt
from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params, output = snakemake.input, snakemake.params, snakemake.output
with gpu_job(snakemake):
    from strata.analysis.activations import Activations
    from strata.analysis.dump import Source, dump
    from strata.analysis.robustness import robustness_table, settings_of
    from strata.analysis.selection import (
        Labelled,
        finding_table,
        measure_depths,
        variability_table,
    )
    from strata.analysis.streaming import Kept, values_of_all
    from strata.analysis.variability_cost import Stopwatch, cost_table, nu_seconds
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.loading import check_length, load_encoder
    from strata.study.settings import (
        ForwardSettings,
        Sample,
        StorageSettings,
        VariabilitySettings,
    )
    from strata.study.states import PRETRAINED

    task, settings = Task.read(inputs.task), VariabilitySettings.of(params.settings)
    examples = read_examples(inputs.examples, Sample(settings.max_examples, params.sample_seed))
    labelled = Labelled(task, examples["label"].to_numpy(), settings.bins, settings.kept_examples)
    codes = labelled.groups.codes(len(examples) * task.choices).reshape(len(examples), -1)
    model = load_encoder(inputs.model).to(device())
    tokenizer, name = load_tokenizer(inputs.model), snakemake.wildcards.model
    max_length = length_limit(params.max_length, inputs.model, tokenizer)
    check_length(model, max_length)
    about = {"model": name, "task": task.name, "state": str(PRETRAINED)}
    forward, passing = ForwardSettings(**params.forward), Stopwatch()

    def source(chosen):
        rows = Rows(tokenizer, examples.iloc[chosen].reset_index(drop=True), max_length)
        return Source(Encoder(model), rows, about)

    # One forward pass, stored on disk next to the result: all depths may not fit into memory.
    with tempfile.TemporaryDirectory(dir=Path(output.table).parent) as folder:
        path = Path(folder) / "means.h5"
        with passing:
            dump(path, source(labelled.chosen), StorageSettings(["mean"], "float32"), forward)
        with Activations.open(path) as means:
            vectors, depths = means.vectors("mean"), means.depths("mean")
            alone = nu_seconds(vectors, labelled.rows, labelled.codes[0])
            measured = measure_depths(vectors, labelled, settings.resamples)
            whole, rest = None, labelled.others
            if len(rest):
                kept = Kept(vectors, codes[labelled.chosen].reshape(-1))
                noise = [each.scatter for each in measured]
                others = source(rest), codes[rest].reshape(-1)
                with passing:  # and their nu, summed up as they pass
                    whole = values_of_all(kept, *others, noise, forward)
            n, kept_rows = int((codes >= 0).sum()), len(labelled.rows)
            table = variability_table(
                measured, depths, params.confidence, whole, sqrt(kept_rows / n)
            )
            varied = settings_of(labelled, settings.robustness)
            robustness = robustness_table(vectors, labelled, varied, table)
    groups = labelled.groups
    table = table.assign(n=n, n_kept=kept_rows, classes=len(groups.rows), note=groups.note)
    score = "Pearson correlation" if task.kind.continuous else "balanced accuracy"
    table.insert(table.columns.get_loc("probe_shuffled"), "probe_score", score)
    for each in (table, robustness):
        each.insert(0, "model", name)
        each.insert(1, "task", task.name)
    table.to_csv(output.table, index=False)
    robustness.to_csv(output.robustness, index=False)
    finding_table(name, task.name, table).to_csv(output.finding, index=False)
    cost = cost_table(name, task.name, str(device()), len(examples), passing.seconds, alone)
    cost.to_csv(output.cost, index=False)
