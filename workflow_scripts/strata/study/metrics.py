"""The metrics there are: what they are called, which tasks they fit, how they are computed.

All are fractions. The libraries that compute them are imported where a score is taken, not where a
study is planned.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any  # numpy's, which planning does without
CLASSES = ("classification",)
NUMBERS = ("regression",)


@dataclass(frozen=True)
class Metric:
    """A row of the registry; the jobs that compute it depend on it by its name.

    Attributes
    ----------
    task_types : the types of tasks that it fits.
    function : (labels, predictions), both [examples] -> the score.
    correlates : a correlation, which is undefined (and set to 0) for constant predictions.
    title : its name in figures, to be given by keyword: it is in no hash.
    """

    task_types: tuple[str, ...]
    function: Callable[[Array, Array], float]
    correlates: bool = False
    title: str = ""


def accuracy(labels: Array, predictions: Array) -> float:
    """Share of predictions that are right."""
    # scikit-learn's checks of its arguments would take fifty times as long, in every resample.
    return float((labels == predictions).mean())


def f1(labels: Array, predictions: Array) -> float:
    """F1 of label 1; 0 where neither labels nor predictions hold it."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predictions == 1, zero_division=0))


def accuracy_f1(labels: Array, predictions: Array) -> float:
    """Mean of accuracy and F1 (GLUE's score of MRPC and QQP)."""
    return (accuracy(labels, predictions) + f1(labels, predictions)) / 2


def mcc(labels: Array, predictions: Array) -> float:
    """Matthews' correlation."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(labels: Array, predictions: Array) -> float:
    """Pearson's correlation."""
    from scipy.stats import pearsonr

    return _finite(pearsonr, labels, predictions)


def spearman(labels: Array, predictions: Array) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return _finite(spearmanr, labels, predictions)


def pearson_spearman(labels: Array, predictions: Array) -> float:
    """Mean of Pearson's and Spearman's correlation (GLUE's score of STS-B)."""
    return (pearson(labels, predictions) + spearman(labels, predictions)) / 2


def _finite(statistic: Callable[..., Any], labels: Array, predictions: Array) -> float:
    with warnings.catch_warnings():
        # Nearly constant predictions: SciPy warns, and may give NaN.
        warnings.simplefilter("ignore")
        value = float(statistic(labels, predictions)[0])
    return 0.0 if math.isnan(value) else value


METRICS = {
    "accuracy": Metric((*CLASSES, "multiple-choice"), accuracy, title="Accuracy"),
    "f1": Metric(CLASSES, f1, title="F1"),
    "accuracy-f1": Metric(CLASSES, accuracy_f1, title="(Accuracy + F1) / 2"),
    "mcc": Metric(CLASSES, mcc, correlates=True, title="Matthews correlation"),
    "pearson": Metric(NUMBERS, pearson, correlates=True, title="Pearson correlation"),
    "spearman": Metric(NUMBERS, spearman, correlates=True, title="Spearman correlation"),
    "pearson-spearman": Metric(
        NUMBERS, pearson_spearman, correlates=True, title="(Pearson + Spearman) / 2"
    ),
}


def metrics_for(task_type: str) -> list[str]:
    """Names of the metrics that fit a type of tasks."""
    return [name for name, metric in METRICS.items() if task_type in metric.task_types]
