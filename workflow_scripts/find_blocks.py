"""The blocks of a run's depths, the pretrained encoder's, and whether fine-tuning made them."""

from strata.analysis.activations import Activations
from strata.analysis.block_tables import state_blocks
from strata.runtime.job import job
from strata.study.settings import CkaSettings

inputs = snakemake.input
with (
    job(snakemake),
    Activations.open(inputs.finetuned) as finetuned,
    Activations.open(inputs.pretrained) as pretrained,
):
    settings = CkaSettings(**snakemake.params.settings)
    table = state_blocks(finetuned, pretrained, settings)
    table.to_csv(snakemake.output.table, index=False)
