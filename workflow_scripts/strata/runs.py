"""Finished runs as rows of a table: what each scored, and what it cost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from strata.metrics import baseline_score, score
from strata.tasks import Task

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
    predictions: str | Path, about: str | Path, task: Task, examples: pd.DataFrame
) -> dict[str, Any]:
    """Score and costs of one run.

    Parameters
    ----------
    predictions, about : its predictions.parquet and run.json.
    examples : the eval examples that count.
    """
    found = run_predictions(predictions, examples)
    labels = found["label"].to_numpy()
    result = score(task.metric, labels, found["prediction"].to_numpy())
    described = json.loads(Path(about).read_text(encoding="utf-8"))
    return {
        "variant": described["variant"],
        "seed": described["seed"],
        **{name: described[name] for name in COSTS},
        "metric": task.metric,
        "value": result.value,
        "baseline": baseline_score(task.metric, task.type, labels),
        "degenerate": result.degenerate,
        "n": len(found) * task.choices,
        "n_examples": len(found),
    }


def run_table(
    places: pd.DataFrame,
    predictions: Sequence[str | Path],
    abouts: Sequence[str | Path],
    task: Task,
    examples: pd.DataFrame,
) -> pd.DataFrame:
    """One row a run: its place in a study, its score, its costs.

    Parameters
    ----------
    places : what a study calls each run (any columns), in the order of the files.
    """
    files = zip(predictions, abouts, strict=True)
    rows = [run_row(predicted, about, task, examples) for predicted, about in files]
    return pd.concat([places.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
