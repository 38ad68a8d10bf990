"""Rank correlations between methods, over the depths of every task."""

from strata.analysis.agreement import method_correlations
from strata.analysis.tables import read_tables
from strata.runtime.job import job

with job(snakemake.log[0]):
    table = read_tables(snakemake.input.tables)
    found = method_correlations(table, **snakemake.params.sampling)
    found.to_csv(snakemake.output.table, index=False)
