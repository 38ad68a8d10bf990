"""The smallest depth that keeps the score, UNTUNED and TUNED, and what it saves."""

import pandas as pd

from strata.analysis.summary import Evidence, summarise
from strata.analysis.tables import read_metrics
from strata.runtime.job import job
from strata.study.settings import SummarySettings

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    predictions = {
        (configuration, seed): pd.read_parquet(
            path, filters=[("configuration", "==", configuration)]
        )
        for configuration in ("untuned", "tuned")
        for seed, path in zip(params.seeds, inputs[configuration], strict=True)
    }
    metrics = read_metrics(inputs.metrics, params.seeds)
    evidence = Evidence(pd.read_csv(inputs.truncation), predictions, metrics, inputs.checkpoint[0])
    settings = SummarySettings(**params.settings)
    table = summarise(wildcards.model, wildcards.task, evidence, settings)
    table.to_csv(snakemake.output.table, index=False)
