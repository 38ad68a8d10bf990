"""Every candidate layer set as it is, and with the run's head tuned on the frozen rest."""

from strata.modeling.compute import gpu_job

with gpu_job(snakemake):
    from strata.analysis.set_heads import answers_of_sets, save_set_heads, tune_set_heads
    from strata.analysis.set_vectors import SetVectors
    from strata.data.parts import TRAIN
    from strata.data.task import Task
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.head import load_head
    from strata.study.settings import HeadSettings
    from strata.study.states import State

    task, seed = Task.read(snakemake.input.task), State.parse(snakemake.wildcards.state).seed
    head = load_head(snakemake.input.checkpoint, task)
    settings = HeadSettings.of(snakemake.params.heads)
    with SetVectors.open(snakemake.input.vectors) as vectors:
        stack = tune_set_heads(vectors, head, task, settings, seed) if TRAIN in vectors else None
        table = answers_of_sets(vectors, head, task, stack)
        save_set_heads(stack, vectors.sets, snakemake.output.heads)
    write_predictions(table, snakemake.output.answers)
