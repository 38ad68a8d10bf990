"""CKA of every depth of one state with every depth of another."""

from strata.analysis.activations import Activations
from strata.analysis.cka_tables import cka_table
from strata.runtime.job import job
from strata.study.settings import CkaSettings

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with (
    job(snakemake),
    Activations.open(inputs.y) as y,
    Activations.open(inputs.x) as x,
):
    identity = {name: wildcards[name] for name in ("model", "task", "y_state", "x_state")}
    table = cka_table(y, x, identity, CkaSettings(**params.settings))
    table.to_csv(snakemake.output.table, index=False)
