"""Scores of predictions with their intervals, and the baseline's score."""

from dataclasses import dataclass

import numpy as np

from strata.data.task import Task
from strata.evaluation.resampling import interval, resampled_scores
from strata.study.metrics import METRICS, constant
from strata.study.run_records import RunMetrics
from strata.study.settings import Sampling
from strata.study.task_types import TASK_TYPES


@dataclass(frozen=True)
class Score:
    """A metric's value; `degenerate` means a correlation of constant predictions, set to 0."""

    value: float
    degenerate: bool = False


def score(metric: str, labels: np.ndarray, predictions: np.ndarray) -> Score:
    """Score `predictions` against `labels`, both of shape (examples,).

    A correlation is 0 and degenerate if the predictions (or the labels) are constant.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    row = METRICS[metric]
    if row.correlates and (constant(predictions, labels) or constant(labels, labels)):
        return Score(0.0, degenerate=True)
    return Score(row.function(labels, predictions))


def run_metrics(
    task: Task, labels: np.ndarray, predictions: np.ndarray, sampling: Sampling
) -> RunMetrics:
    """A run's score, its bootstrap interval, and whether the run failed.

    A run has failed if its score does not beat the baseline, interval considered: the lower bound
    of the paired bootstrap interval of (score - baseline) is not above 0. A run that predicts the
    same for every example has failed under any metric, whatever its score.

    Parameters
    ----------
    labels, predictions : ndarray of shape (examples,)
        Labels and predictions of the same examples, in the same order.
    """
    scored = score(task.metric, labels, predictions)
    baseline = np.full(len(labels), baseline_prediction(task.metric, task.type, labels))
    drawn, drawn_baseline = resampled_scores(
        task.metric, labels, np.stack([predictions, baseline]), sampling
    )
    low, high = interval(drawn, sampling.confidence)
    above, _ = interval(drawn - drawn_baseline, sampling.confidence)
    says_nothing = scored.degenerate or constant(np.asarray(predictions), np.asarray(labels))
    return RunMetrics(
        metric=task.metric,
        score=scored.value,
        score_low=low,
        score_high=high,
        baseline=baseline_score(task.metric, task.type, labels),
        n_examples=len(labels),
        degenerate=scored.degenerate,
        failed=bool(says_nothing or above <= 0),
        confidence=sampling.confidence,
        resamples=sampling.resamples,
    )


def baseline_score(metric: str, kind: str, labels: np.ndarray) -> float:
    """The score of the best constant prediction under the metric."""
    constant = baseline_prediction(metric, kind, labels)
    return score(metric, labels, np.full(len(labels), constant)).value


def baseline_prediction(metric: str, kind: str, labels: np.ndarray) -> float:
    """The baseline's prediction for every example: the constant that scores best on `labels`.

    If labels are classes or choices, each is tried; among equal scores the most frequent label is
    taken, then the smallest. Under accuracy that is the most frequent label; under F1 of label 1,
    alone or averaged with accuracy, it is 1 even if 1 is the rarer label. For numbers it is their
    mean: their metrics are all correlations, which are 0 for any constant.
    """
    labels = np.asarray(labels)
    if TASK_TYPES[kind].continuous:
        return float(labels.mean())
    values, counts = np.unique(labels, return_counts=True)
    scores = [score(metric, labels, np.full(len(labels), value)).value for value in values]
    # The first among equals, in NumPy's order: by score, then by count, both from the highest.
    return int(values[np.lexsort((values, -counts, -np.array(scores)))[0]])
