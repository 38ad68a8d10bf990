"""Scores of predictions, their bootstrap intervals, and the baseline's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from strata.data.task import Task
from strata.study.metrics import METRICS
from strata.study.task_types import TASK_TYPES


@dataclass(frozen=True)
class Score:
    """A metric's value; `degenerate` if it is a correlation of constant predictions, set to 0."""

    value: float
    degenerate: bool = False


def score(metric: str, labels: np.ndarray, predictions: np.ndarray) -> Score:
    """Score `predictions` against `labels`, both of shape [examples].

    A correlation is 0 and degenerate where the predictions (or the labels) are constant.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    row = METRICS[metric]
    if row.correlates and (_constant(predictions, labels) or _constant(labels, labels)):
        return Score(0.0, degenerate=True)
    return Score(row.function(labels, predictions))


def bootstrap(
    metric: str,
    labels: np.ndarray,
    predictions: dict[str, np.ndarray],
    statistic: Callable[[dict[str, float]], float],
    resamples: int,
    confidence: float,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval, over examples, of a statistic of several predictions' scores.

    The same examples are drawn for every prediction, so that differences are paired.

    Parameters
    ----------
    labels : [examples]
    predictions : name -> [examples]
    statistic : from {name: score} to one number, for instance a difference.
    resamples : number of bootstrap samples of the examples.
    confidence : of the interval, for instance 0.95.

    Returns
    -------
    (low, high)
    """
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    values = np.empty(resamples)
    for b in range(resamples):
        rows = rng.integers(len(labels), size=len(labels))
        values[b] = statistic(
            {name: score(metric, labels[rows], p[rows]).value for name, p in predictions.items()}
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def run_metrics(
    task: Task, labels: np.ndarray, predictions: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """A run's score, its bootstrap interval, and whether the run failed.

    A run has failed where its score does not beat the baseline, interval considered: the lower
    bound of the paired bootstrap interval of (score - baseline) is not above 0.

    Parameters
    ----------
    labels, predictions : [examples]
    settings : ``resamples`` and ``confidence``.
    """
    found = score(task.metric, labels, predictions)
    constant = np.full(len(labels), baseline_prediction(task.type, labels))
    predicted = {"run": predictions, "baseline": constant}
    low, high = bootstrap(task.metric, labels, predicted, lambda s: s["run"], **settings)
    above, _ = bootstrap(
        task.metric, labels, predicted, lambda s: s["run"] - s["baseline"], **settings
    )
    return {
        "metric": task.metric,
        "score": found.value,
        "score_low": low,
        "score_high": high,
        "baseline": baseline_score(task.metric, task.type, labels),
        "n_examples": len(labels),
        "degenerate": found.degenerate,
        "failed": bool(found.degenerate or above <= 0),
        "confidence": settings["confidence"],
        "resamples": settings["resamples"],
    }


def baseline_score(metric: str, kind: str, labels: np.ndarray) -> float:
    """The score of the baseline's prediction, which goes through the same metric."""
    return score(metric, labels, np.full(len(labels), baseline_prediction(kind, labels))).value


def baseline_prediction(kind: str, labels: np.ndarray) -> float:
    """What the baseline predicts for every example: the mean, or the most frequent label.

    Among equally frequent labels the smallest.
    """
    labels = np.asarray(labels)
    if TASK_TYPES[kind].continuous:
        return float(labels.mean())
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()])


def _constant(values: np.ndarray, labels: np.ndarray) -> bool:
    # A head gives equal inputs values that differ in their last bits where batches differ in size.
    rounding = 1e-5 * max(np.abs(values).max(), labels.std())
    return bool(values.max() - values.min() <= rounding)
