"""The CKA table of a model and task: all pairs of states, with failed runs flagged."""

from strata.analysis.tables import flag_failed_states, read_metrics, read_tables
from strata.runtime.job import job

with job(snakemake):
    runs = read_metrics(snakemake.input.metrics, snakemake.params.seeds)
    table = flag_failed_states(read_tables(snakemake.input.tables), runs)
    table.to_csv(snakemake.output.table, index=False)
