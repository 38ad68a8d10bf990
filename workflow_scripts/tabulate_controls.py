"""The controls table of a model and task: all states, with failed runs flagged."""

from strata.analysis.tables import read_metrics, read_tables
from strata.runtime.job import job
from strata.study.states import State

with job(snakemake):
    runs = read_metrics(snakemake.input.metrics, snakemake.params.seeds)
    bad = {str(State.of_seed(seed)) for seed, run in runs.items() if run.failed}
    table = read_tables(snakemake.input.tables)
    table["failed"] = table["state"].isin(bad)
    table["other_depth"] = table["other_depth"].astype("Int64")
    table.to_csv(snakemake.output.table, index=False)
