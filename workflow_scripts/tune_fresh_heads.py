"""TUNEDORIG: a fresh head on every depth of the frozen pretrained encoder; and converged."""

import pandas as pd

from strata.analysis.activations import Activations
from strata.modeling.compute import gpu_job

with (
    gpu_job(snakemake),
    Activations.open(snakemake.input.train) as trained,
    Activations.open(snakemake.input.eval) as evaluated,
):
    from strata.analysis.truncation import Splits, tuned, tuned_orig_converged
    from strata.data.task import Task
    from strata.evaluation.prediction_files import write_predictions
    from strata.evaluation.predictions import score_table
    from strata.modeling.head import load_head
    from strata.study.settings import HeadSettings

    task, seed = Task.read(snakemake.input.task), int(snakemake.wildcards.seed)
    splits, settings = Splits(trained, evaluated, task), HeadSettings.of(snakemake.params.heads)
    head = load_head(snakemake.input.model, task, seed)
    plain, _ = tuned(splits, head, settings, seed, "tuned-orig")
    converged = tuned_orig_converged(splits, head, settings, seed)
    predictions = pd.concat([plain, converged], ignore_index=True)
    table = score_table(predictions, task)
    table.insert(0, "seed", seed)
    write_predictions(predictions, snakemake.output.predictions)
    table.to_csv(snakemake.output.table, index=False)
