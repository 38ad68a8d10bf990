"""UNTUNED: the fine-tuned head at every depth, without training (Phang et al. 2021, section 4)."""

from strata.analysis.activations import Activations
from strata.modeling.compute import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.activations) as evaluated,
):
    from strata.analysis.truncation import untuned
    from strata.data.task import Task
    from strata.evaluation.prediction_files import write_predictions
    from strata.evaluation.predictions import score_table
    from strata.modeling.head import load_head
    from strata.study.states import State

    task = Task.read(snakemake.input.task)
    predictions = untuned(evaluated, load_head(snakemake.input.checkpoint, task), task)
    table = score_table(predictions, task)
    table.insert(0, "seed", State.parse(snakemake.wildcards.state).seed)
    write_predictions(predictions, snakemake.output.predictions)
    table.to_csv(snakemake.output.table, index=False)
