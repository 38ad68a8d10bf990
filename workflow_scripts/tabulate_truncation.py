"""The truncation table of a model and task: every configuration, full model and baseline."""

from strata.analysis.tables import read_metrics, read_tables, truncation_table
from strata.runtime.job import job

inputs, wildcards = snakemake.input, snakemake.wildcards
with job(snakemake):
    runs = read_metrics(inputs.metrics, snakemake.params.seeds)
    scores = read_tables([*inputs.untuned, *inputs.tuned, *inputs.orig])
    table = truncation_table(wildcards.model, wildcards.task, scores, runs)
    table.to_csv(snakemake.output.table, index=False)
