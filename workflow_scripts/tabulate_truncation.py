"""The truncation table of a model and task: every configuration, full model and baseline."""

import pandas as pd

from strata.analysis.tables import read_metrics, truncation_table, with_intervals
from strata.runtime.job import job
from strata.study.settings import Sampling

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
PLACES = ["configuration", "depth"]
ANSWERED = [*PLACES, "label", "prediction"]
with job(snakemake):
    runs = read_metrics(inputs.metrics, params.seeds)
    sampling = Sampling(**params.sampling)
    tables = zip(
        [*inputs.untuned, *inputs.tuned, *inputs.orig],
        [*inputs.untuned_predictions, *inputs.tuned_predictions, *inputs.orig_predictions],
        strict=True,
    )
    scores = [
        with_intervals(
            pd.read_csv(table), pd.read_parquet(answers, columns=ANSWERED), sampling, PLACES
        )
        for table, answers in tables
    ]
    scores = pd.concat(scores, ignore_index=True)
    table = truncation_table(wildcards.model, wildcards.task, scores, runs)
    table.to_csv(snakemake.output.table, index=False)
