"""CKA of every depth of one model with every depth of another, fine-tuned with the same seed."""

from strata.analysis.activations import Activations
from strata.analysis.cka_tables import cka_table
from strata.runtime.job import job
from strata.study.run_records import RunMetrics
from strata.study.settings import CkaSettings
from strata.study.states import State

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with (
    job(snakemake),
    Activations.open(inputs.y) as y,
    Activations.open(inputs.x) as x,
):
    identity = {
        "task": wildcards.task,
        "seed": State.parse(wildcards.state).seed,
        "y_model": wildcards.y_model,
        "x_model": wildcards.x_model,
        "y_state": wildcards.state,
        "x_state": wildcards.state,
    }
    table = cka_table(y, x, identity, CkaSettings(**params.settings))
    metrics = [inputs.y_metrics, inputs.x_metrics]
    table["failed"] = any(RunMetrics.read(path).failed for path in metrics)
    table.to_csv(snakemake.output.table, index=False)
