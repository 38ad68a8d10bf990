"""CKA of every depth of one state with every depth of another."""

from strata.analysis.activations import Activations
from strata.analysis.cka_tables import cka_table
from strata.runtime.job import job

given, wildcards = snakemake.params, snakemake.wildcards
with (
    job(snakemake.log[0], snakemake.threads),
    Activations.open(snakemake.input.y) as y,
    Activations.open(snakemake.input.x) as x,
):
    identity = {name: wildcards[name] for name in ("model", "task", "y_state", "x_state")}
    table = cka_table(y, x, identity, given.memory_mb, given.choice)
    table.to_csv(snakemake.output.table, index=False)
