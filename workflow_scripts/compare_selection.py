"""Training only the layers that variability selects, compared with other ways to train."""

import pandas as pd

from strata.analysis.paired import selected_less_last
from strata.analysis.runs import Scoring, run_table
from strata.data.task import Task, read_examples
from strata.runtime.job import job
from strata.study.settings import Sample, Sampling

inputs, params = snakemake.input, snakemake.params
with job(snakemake):
    plan = pd.DataFrame(params.plan).astype({"top": "Int64"})
    plan.insert(0, "model", snakemake.wildcards.model)
    plan.insert(1, "task", snakemake.wildcards.task)
    there = plan["variant"].notna()
    places = plan[there].loc[plan[there].index.repeat(len(params.seeds))]
    scoring = Scoring(
        Task.read(inputs.task),
        read_examples(inputs.examples, Sample(**params.evaluation)),
        Sampling(**params.sampling),
    )
    scored = run_table(places.drop(columns="variant"), inputs.predictions, inputs.about, scoring)
    table = pd.concat([scored, plan[~there]], ignore_index=True)
    table.to_csv(snakemake.output.table, index=False)
    runs = zip(plan[there]["variant"].repeat(len(params.seeds)), inputs.predictions, strict=True)
    predictions = {
        (variant, params.seeds[i % len(params.seeds)]): scoring.predicted(path)
        for i, (variant, path) in enumerate(runs)
    }
    paired = selected_less_last(params.plan, predictions, scoring)
    paired.insert(0, "model", snakemake.wildcards.model)
    paired.insert(1, "task", snakemake.wildcards.task)
    paired.to_csv(snakemake.output.paired, index=False)
