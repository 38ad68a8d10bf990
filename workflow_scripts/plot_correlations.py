"""Rank correlations between the methods, for the whole study."""

import pandas as pd

from strata.figures.agreement import correlation_map
from strata.figures.style import save
from strata.runtime.job import job

with job(snakemake):
    plot = correlation_map(pd.read_csv(snakemake.input.table), snakemake.params.titles)
    save(plot, snakemake.output.png, snakemake.output.pdf)
