"""The score of a run, its interval, and whether it beats the baseline at all."""

import json
from pathlib import Path

from strata.analysis.runs import run_predictions
from strata.data.task import Task, read_examples
from strata.evaluation.metrics import run_metrics
from strata.runtime.job import job

given, sample = snakemake.input, snakemake.params.evaluation
with job(snakemake.log[0]):
    scored = read_examples(given.examples, sample["max_eval_examples"], sample["seed"])
    predictions = run_predictions(given.predictions, scored)
    metrics = run_metrics(
        Task.read(given.task),
        predictions["label"].to_numpy(),
        predictions["prediction"].to_numpy(),
        snakemake.params.sampling,
    )
    text = json.dumps(metrics, indent=2) + "\n"
    Path(snakemake.output.metrics).write_text(text, encoding="utf-8")
    print(f"{metrics['metric']} {metrics['score']:.4f}, baseline {metrics['baseline']:.4f}")
