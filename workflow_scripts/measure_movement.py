"""How far each layer of a model's runs turns the representations (Block Influence, angles)."""

from strata.analysis.activations import Activations
from strata.analysis.movement import layer_turns, movement_table
from strata.analysis.tables import read_metrics
from strata.runtime.job import job

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    turns = {}
    for seed, path in zip(params.seeds, inputs.activations, strict=True):
        with Activations.open(path) as activations:
            turns[seed] = layer_turns(activations)
    identity = {"model": wildcards.model, "task": wildcards.task}
    table = movement_table(identity, turns, read_metrics(inputs.metrics, params.seeds))
    table.to_csv(snakemake.output.table, index=False)
