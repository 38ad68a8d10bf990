"""The frontier in other formats: each candidate as ONNX, with verdict and costs."""

from strata.runtime.job import job

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    import pandas as pd

    from strata.analysis.formats import COLUMNS, frontier_of_formats
    from strata.analysis.frontier import NAMES, RunSets
    from strata.analysis.tables import read_metrics
    from strata.data.task import Task
    from strata.study.settings import SummarySettings

    task, metrics = Task.read(inputs.task), read_metrics(inputs.metrics, params.seeds)
    measured = pd.read_parquet(inputs.measured)
    (seed,) = measured["seed"].unique()
    run = params.seeds.index(seed)
    names = NAMES | {"measured_as": str}
    table = frontier_of_formats(
        RunSets(
            pd.read_csv(inputs.sets[run], dtype=names),
            pd.read_parquet(inputs.answers[run]),
            metrics[seed],
        ),
        measured,
        pd.read_csv(inputs.costs, dtype=names),
        task,
        SummarySettings(**params.settings),
    )
    table = table.assign(model=wildcards.model, task=wildcards.task, seed=seed)[COLUMNS]
    table.to_csv(snakemake.output.table, index=False)
