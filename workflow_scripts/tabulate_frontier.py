"""The frontier of a model on a task: every candidate with verdict and costs, and the answers."""

from strata.runtime.job import job

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    import pandas as pd

    from strata.analysis.frontier import (
        COLUMNS,
        NAMES,
        RunSets,
        frontier_answers,
        frontier_of_run,
        in_summary,
    )
    from strata.analysis.tables import read_metrics
    from strata.analysis.trained_models import trained_models
    from strata.data.task import Task
    from strata.study.settings import SummarySettings

    task, settings = Task.read(inputs.task), SummarySettings(**params.settings)
    metrics, costs = (
        read_metrics(inputs.metrics, params.seeds),
        pd.read_csv(inputs.costs, dtype=NAMES),
    )
    trained, seconds = trained_models(
        [*inputs.trained],
        [*inputs.trained_records],
        dict(zip(params.seeds, inputs.records, strict=True)),
    )
    tables = []
    for seed, sets, answers in zip(params.seeds, inputs.sets, inputs.answers, strict=True):
        proposed, answered = pd.read_csv(sets, dtype=NAMES), pd.read_parquet(answers)
        run = RunSets(proposed, answered, metrics[seed], trained[seed], seconds[seed])
        tables.append(frontier_of_run(run, task, costs, settings).assign(seed=seed))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(model=wildcards.model, task=wildcards.task)[COLUMNS]
    found = frontier_answers(table, settings)
    table.to_csv(snakemake.output.table, index=False)
    found.to_csv(snakemake.output.answers, index=False)
    in_summary(found, settings).to_csv(snakemake.output.summary, index=False)
