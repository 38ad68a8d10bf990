"""The skipping table of a model and task: every span, the full model and the baseline."""

from strata.analysis.tables import read_metrics, read_tables, skipping_table
from strata.runtime.job import job

with job(snakemake):
    runs = read_metrics(snakemake.input.metrics, snakemake.params.seeds)
    scores = read_tables(snakemake.input.tables)
    table = skipping_table(snakemake.wildcards.model, snakemake.wildcards.task, scores, runs)
    table.to_csv(snakemake.output.table, index=False)
