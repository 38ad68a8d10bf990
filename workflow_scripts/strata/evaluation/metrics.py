"""Scores of predictions with their intervals, and the baseline's."""

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
    """A metric's value; `degenerate` if it is a correlation of constant predictions, set to 0."""

    value: float
    degenerate: bool = False


def score(metric: str, labels: np.ndarray, predictions: np.ndarray) -> Score:
    """Score `predictions` against `labels`, both of shape [examples].

    A correlation is 0 and degenerate where the predictions (or the labels) are constant.
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

    A run has failed where its score does not beat the baseline, interval considered: the lower
    bound of the paired bootstrap interval of (score - baseline) is not above 0. A run that predicts
    the same for every example has failed by any metric, whatever it scores.

    Parameters
    ----------
    labels, predictions : [examples]
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
    """What the baseline predicts for every example: the constant that scores best on `labels`.

    Of labels that are classes or choices, each is tried; of those that score alike, the most
    frequent is taken, then the smallest. By accuracy that is the most frequent label; by F1 of
    label 1, alone or averaged with accuracy, it is 1 even where 1 is the rarer one. For numbers it
    is their mean: every metric of theirs is a correlation, which is 0 for any constant.
    """
    labels = np.asarray(labels)
    if TASK_TYPES[kind].continuous:
        return float(labels.mean())
    values, counts = np.unique(labels, return_counts=True)
    scores = [score(metric, labels, np.full(len(labels), value)).value for value in values]
    # The first of equals, in NumPy's order: by score, then by count, both from the highest.
    return int(values[np.lexsort((values, -counts, -np.array(scores)))[0]])
