"""Tables of the same columns, one below the other."""

from strata.jobs import job
from strata.tables import read_tables

with job(snakemake.log[0]):
    read_tables(snakemake.input.tables).to_csv(snakemake.output.table, index=False)
