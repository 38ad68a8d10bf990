"""Join tables: join_frontiers, tabulate_cka_models, tabulate_findings, tabulate_summary."""

from strata.analysis.tables import join_tables
from strata.runtime.job import job

with job(snakemake):
    join_tables(snakemake.input.tables).to_csv(snakemake.output.table, index=False)
