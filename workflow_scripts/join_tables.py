"""Tables of the same columns, one below the other."""

from strata.analysis.tables import read_tables
from strata.runtime.job import job

with job(snakemake.log[0]):
    read_tables(snakemake.input.tables).to_csv(snakemake.output.table, index=False)
