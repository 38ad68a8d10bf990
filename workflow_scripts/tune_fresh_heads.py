"""TUNEDORIG: a fresh head at every depth of the frozen pretrained encoder; also converged."""

from strata.analysis.activations import Activations
from strata.modeling.compute import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.train) as trained,
    Activations.open(snakemake.input.eval) as evaluated,
):
    from strata.analysis.truncation import Splits, tuned_orig
    from strata.data.task import Task
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.head import load_head
    from strata.study.settings import HeadSettings

    task, seed = Task.read(snakemake.input.task), int(snakemake.wildcards.seed)
    head = load_head(snakemake.input.model, task, seed, snakemake.params.style)
    settings = HeadSettings.of(snakemake.params.heads)
    made = tuned_orig(Splits(trained, evaluated, task), head, settings, seed)
    write_predictions(made.predictions, snakemake.output.predictions)
    made.scores(task, seed).to_csv(snakemake.output.table, index=False)
