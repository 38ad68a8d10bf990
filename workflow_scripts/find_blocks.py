"""The blocks of a run's depths and of the pretrained encoder's, and whether fine-tuning made them."""

from strata.analysis.activations import Activations
from strata.analysis.block_tables import state_blocks
from strata.runtime.job import job

inputs, params = snakemake.input, snakemake.params
with (
    job(snakemake),
    Activations.open(inputs.finetuned) as finetuned,
    Activations.open(inputs.pretrained) as pretrained,
):
    table = state_blocks(finetuned, pretrained, params.resamples, params.memory_mb, params.choice)
    table.to_csv(snakemake.output.table, index=False)
