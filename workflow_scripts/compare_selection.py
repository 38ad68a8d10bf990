"""Training only the layers that variability selects, against what else one might train."""

import pandas as pd

from strata.analysis.runs import run_table
from strata.data.task import Task, read_examples
from strata.runtime.job import job

given, params = snakemake.input, snakemake.params
with job(snakemake.log[0]):
    plan = pd.DataFrame(params.plan).astype({"top": "Int64"})
    plan.insert(0, "model", snakemake.wildcards.model)
    plan.insert(1, "task", snakemake.wildcards.task)
    there = plan["variant"].notna()
    places = plan[there].loc[plan[there].index.repeat(len(params.seeds))]
    sample = params.evaluation
    scored = run_table(
        places.drop(columns="variant"),
        given.predictions,
        given.about,
        Task.read(given.task),
        read_examples(given.examples, sample["max_eval_examples"], sample["seed"]),
        params.sampling,
    )
    table = pd.concat([scored, plan[~there]], ignore_index=True)
    table.to_csv(snakemake.output.table, index=False)
