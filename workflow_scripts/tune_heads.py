"""TUNED: the run's head tuned further at every depth of its frozen encoder; also converged."""

from strata.analysis.activations import Activations
from strata.modeling.compute import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.train) as trained,
    Activations.open(snakemake.input.eval) as evaluated,
):
    from strata.analysis.truncation import Splits, tuned
    from strata.data.task import Task
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.head import load_head
    from strata.modeling.head_tuning import save_stack
    from strata.study.settings import HeadSettings
    from strata.study.states import State

    task, seed = Task.read(snakemake.input.task), State.parse(snakemake.wildcards.state).seed
    head = load_head(snakemake.input.checkpoint, task)
    settings = HeadSettings.of(snakemake.params.heads)
    made = tuned(Splits(trained, evaluated, task), head, settings, seed)
    save_stack(made.heads, evaluated.depths(), snakemake.output.heads)
    write_predictions(made.predictions, snakemake.output.predictions)
    made.scores(task, seed).to_csv(snakemake.output.table, index=False)
