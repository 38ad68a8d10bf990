"""One part of partial reinitialisation on a model and task: a row a run."""

import pandas as pd

from strata.analysis.runs import run_table
from strata.data.task import Task, read_examples
from strata.runtime.job import job

given, sample, wildcards = snakemake.input, snakemake.params.evaluation, snakemake.wildcards
with job(snakemake.log[0]):
    places = pd.DataFrame(snakemake.params.places, columns=["series", "position", "size"])
    places.insert(0, "model", wildcards.model)
    places.insert(1, "task", wildcards.task)
    places.insert(2, "part", wildcards.part)
    table = run_table(
        places,
        given.predictions,
        given.about,
        Task.read(given.task),
        read_examples(given.examples, sample["max_eval_examples"], sample["seed"]),
        snakemake.params.sampling,
    )
    table.astype({"position": "Int64"}).to_csv(snakemake.output.table, index=False)
