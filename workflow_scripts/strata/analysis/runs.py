"""Finished runs as rows of a table: what each scored, and what it cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from strata.data.task import Task
from strata.evaluation.metrics import run_metrics

COSTS = (
    "train_examples",
    "steps",
    "layers",
    "trainable_parameters",
    "seconds_per_step",
    "inference_examples_per_second",
)


def run_predictions(path: str | Path, examples: pd.DataFrame) -> pd.DataFrame:
    """A run's predictions.parquet for some examples, in their order."""
    return examples[["example_id"]].merge(pd.read_parquet(path), on="example_id")


def run_row(
    predictions: str | Path,
    about: str | Path,
    task: Task,
    examples: pd.DataFrame,
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Score and costs of one run.

    Parameters
    ----------
    predictions, about : its predictions.parquet and run.json.
    examples : the eval examples that count.
    sampling : ``resamples`` and ``confidence`` of the interval.

    Returns
    -------
    variant, seed, costs, metric, value, value_low, value_high, baseline, degenerate, failed (it
    does not beat the baseline), n, n_examples.
    """
    found = run_predictions(predictions, examples)
    labels, predicted = found["label"].to_numpy(), found["prediction"].to_numpy()
    scored = run_metrics(task, labels, predicted, sampling)
    described = json.loads(Path(about).read_text(encoding="utf-8"))
    return {
        "variant": described["variant"],
        "seed": described["seed"],
        **{name: described[name] for name in COSTS},
        "metric": task.metric,
        "value": scored["score"],
        "value_low": scored["score_low"],
        "value_high": scored["score_high"],
        "baseline": scored["baseline"],
        "degenerate": scored["degenerate"],
        "failed": scored["failed"],
        "n": len(found) * task.choices,
        "n_examples": len(found),
    }


def run_table(
    places: pd.DataFrame,
    predictions: Sequence[str | Path],
    abouts: Sequence[str | Path],
    task: Task,
    examples: pd.DataFrame,
    sampling: Mapping[str, Any],
) -> pd.DataFrame:
    """One row a run: its place in a study, its score, its costs.

    Parameters
    ----------
    places : what a study calls each run (any columns), in the order of the files.
    """
    files = zip(predictions, abouts, strict=True)
    rows = [run_row(predicted, about, task, examples, sampling) for predicted, about in files]
    return pd.concat([places.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
