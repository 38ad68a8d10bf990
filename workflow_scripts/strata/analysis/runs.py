"""Finished runs as rows of a table: score and costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from strata.data.task import Task
from strata.evaluation.metrics import run_metrics
from strata.study.run_records import RunMetrics, RunRecord
from strata.study.settings import Sampling

COSTS = (
    "train_examples",
    "steps",
    "layers",
    "trainable_parameters",
    "seconds_per_step",
    "epoch_seconds",
    "peak_memory_mb",
    "device",
    "inference_examples_per_second",
)


@dataclass(frozen=True)
class Scoring:
    """How runs are scored: the eval examples that count, and how intervals are made."""

    task: Task
    examples: pd.DataFrame
    sampling: Sampling

    def predicted(self, predictions: str | Path) -> pd.DataFrame:
        """Label and prediction of the examples that count, from a run's predictions.parquet."""
        return self.examples[["example_id"]].merge(pd.read_parquet(predictions), on="example_id")

    def metrics(self, predictions: str | Path) -> RunMetrics:
        """The score of a run, from its predictions.parquet."""
        table = self.predicted(predictions)
        labels, predicted = table["label"].to_numpy(), table["prediction"].to_numpy()
        return run_metrics(self.task, labels, predicted, self.sampling)


def run_row(predictions: str | Path, record: str | Path, scoring: Scoring) -> dict[str, Any]:
    """Score and costs of one run.

    Parameters
    ----------
    predictions, record : path-like
        The run's predictions.parquet and run.json.

    Returns
    -------
    dict of str to object
        Keys variant, seed, costs, metric, value, value_low, value_high, baseline, degenerate,
        failed (it does not beat the baseline), n, n_examples.
    """
    scored, described = scoring.metrics(predictions), RunRecord.read(record)
    return {
        "variant": described.variant,
        "seed": described.seed,
        **{name: getattr(described, name) for name in COSTS},
        "metric": scored.metric,
        "value": scored.score,
        "value_low": scored.score_low,
        "value_high": scored.score_high,
        "baseline": scored.baseline,
        "degenerate": scored.degenerate,
        "failed": scored.failed,
        "n": scored.n_examples * scoring.task.choices,
        "n_examples": scored.n_examples,
    }


def run_table(
    places: pd.DataFrame,
    predictions: Iterable[str | Path],
    records: Iterable[str | Path],
    scoring: Scoring,
) -> pd.DataFrame:
    """One row per run: its place in a study, its score and its costs.

    Parameters
    ----------
    places : DataFrame
        How the study identifies each run (any columns), in the order of the files.
    """
    files = zip(predictions, records, strict=True)
    rows = [run_row(predicted, record, scoring) for predicted, record in files]
    return pd.concat([places.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
