"""Rank correlations between methods' increments, over depths, for every task of a model."""

from strata.analysis.agreement import method_correlations
from strata.analysis.tables import read_tables
from strata.runtime.job import job
from strata.study.settings import Sampling

with job(snakemake):
    table = read_tables(snakemake.input.tables)
    correlations = method_correlations(table, Sampling(**snakemake.params.sampling))
    correlations.to_csv(snakemake.output.table, index=False)
