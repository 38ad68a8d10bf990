"""UNTUNED: the tuned head on every depth, nothing trained (Phang et al. 2021, section 4)."""

from strata.activations import Activations
from strata.devices import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.activations) as evaluated,
):
    from strata.models import load_head
    from strata.predictions import score_table
    from strata.tables import seed_of
    from strata.tasks import Task
    from strata.truncation import untuned

    task = Task.read(snakemake.input.task)
    predictions = untuned(evaluated, load_head(snakemake.input.checkpoint, task), task)
    table = score_table(predictions, task)
    table.insert(0, "seed", seed_of(snakemake.wildcards.state))
    predictions.to_parquet(snakemake.output.predictions, index=False)
    table.to_csv(snakemake.output.table, index=False)
