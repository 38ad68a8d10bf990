"""The skipping table of a model and task: every span, the full model and the baseline."""

import pandas as pd

from strata.analysis.tables import read_metrics, skipping_table, with_intervals
from strata.runtime.job import job
from strata.study.settings import Sampling

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
PLACES = ["first", "last"]
ANSWERED = [*PLACES, "label", "prediction"]
with job(snakemake):
    runs = read_metrics(inputs.metrics, params.seeds)
    sampling = Sampling(**params.sampling)
    scores = [
        with_intervals(
            pd.read_csv(table), pd.read_parquet(answers, columns=ANSWERED), sampling, PLACES
        )
        for table, answers in zip(inputs.tables, inputs.predictions, strict=True)
    ]
    scores = pd.concat(scores, ignore_index=True)
    table = skipping_table(wildcards.model, wildcards.task, scores, runs)
    table.to_csv(snakemake.output.table, index=False)
