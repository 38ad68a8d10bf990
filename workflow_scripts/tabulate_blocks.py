"""The blocks of a model on a task, for every seed and the pretrained encoder."""

import pandas as pd

from strata.analysis.block_tables import block_words, blocks_table
from strata.analysis.tables import read_metrics
from strata.runtime.job import job

inputs, wildcards = snakemake.input, snakemake.wildcards
with job(snakemake):
    runs = read_metrics(inputs.metrics, snakemake.params.seeds)
    tables = [pd.read_csv(path) for path in inputs.tables]
    table = blocks_table(wildcards.model, wildcards.task, tables, runs)
    table.to_csv(snakemake.output.table, index=False)
    print(f"{wildcards.model} on {wildcards.task}: {block_words(table)}.")
