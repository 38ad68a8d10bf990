"""The smallest depth that keeps the score, UNTUNED and TUNED, and what it saves."""

import pandas as pd

from strata.analysis.summary import summarise
from strata.analysis.tables import read_metrics
from strata.runtime.job import job

given, seeds = snakemake.input, snakemake.params.seeds
with job(snakemake.log[0]):
    predictions = {
        (configuration, seed): pd.read_parquet(path)
        for configuration in ("untuned", "tuned")
        for seed, path in zip(seeds, given[configuration], strict=True)
    }
    table = summarise(
        snakemake.wildcards.model,
        snakemake.wildcards.task,
        pd.read_csv(given.truncation),
        predictions,
        read_metrics(given.metrics, seeds),
        given.checkpoint[0],
        snakemake.params.settings,
    )
    table.to_csv(snakemake.output.table, index=False)
