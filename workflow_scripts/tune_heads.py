"""TUNED: the run's head tuned further on every depth of its frozen encoder."""

from strata.activations import Activations
from strata.devices import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.train) as trained,
    Activations.open(snakemake.input.eval) as evaluated,
):
    from strata.heads import save_stack
    from strata.models import load_head
    from strata.predictions import score_table
    from strata.tables import seed_of
    from strata.tasks import Task
    from strata.truncation import tuned

    task, seed = Task.read(snakemake.input.task), seed_of(snakemake.wildcards.state)
    head = load_head(snakemake.input.checkpoint, task)
    predictions, heads = tuned(
        trained, evaluated, head, task, snakemake.params.heads, seed, "tuned"
    )
    table = score_table(predictions, task)
    table.insert(0, "seed", seed)
    save_stack(heads, evaluated.depths(), snakemake.output.heads)
    predictions.to_parquet(snakemake.output.predictions, index=False)
    table.to_csv(snakemake.output.table, index=False)
