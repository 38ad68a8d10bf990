"""The blocks of a run's depths, the pretrained encoder's, and whether fine-tuning made them."""

from contextlib import ExitStack

from strata.analysis.activations import Activations
from strata.analysis.block_tables import state_blocks
from strata.runtime.job import job
from strata.study.settings import CkaSettings

inputs = snakemake.input
with job(snakemake), ExitStack() as files:
    # The pretrained encoder of a model that came fine-tuned may be missing.
    finetuned, *pretrained = (
        files.enter_context(Activations.open(path))
        for path in (inputs.finetuned, *inputs.get("pretrained", []))
    )
    settings = CkaSettings(**snakemake.params.settings)
    table = state_blocks(finetuned, pretrained[0] if pretrained else None, settings)
    table.to_csv(snakemake.output.table, index=False)
