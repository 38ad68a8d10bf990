"""One part of partial reinitialisation on a model and task: one row per run."""

import pandas as pd

from strata.analysis.runs import Scoring, run_table
from strata.data.task import Task, read_examples
from strata.runtime.job import job
from strata.study.settings import Sample, Sampling

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    places = pd.DataFrame(params.places, columns=["series", "position", "size"])
    places.insert(0, "model", wildcards.model)
    places.insert(1, "task", wildcards.task)
    places.insert(2, "part", wildcards.part)
    scoring = Scoring(
        Task.read(inputs.task),
        read_examples(inputs.examples, Sample(**params.evaluation)),
        Sampling(**params.sampling),
    )
    table = run_table(places, inputs.predictions, inputs.about, scoring)
    table.astype({"position": "Int64"}).to_csv(snakemake.output.table, index=False)
