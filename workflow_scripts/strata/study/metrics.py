"""The metrics: their names, the tasks that they fit, and how they are computed.

All are fractions. The libraries that compute them are imported when a score is computed, not when a
study is planned.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any  # NumPy's arrays; planning does not import NumPy
CLASSES = ("classification",)
NUMBERS = ("regression",)


@dataclass(frozen=True)
class Metric:
    """A row of the registry; the jobs that compute a metric depend on its row.

    Attributes
    ----------
    task_types : tuple of str
        The types of tasks that it fits.
    function : callable
        Takes labels and predictions, both of shape (examples,), and returns the score.
    counted : callable
        Takes labels, predictions and counts of shape (samples, examples), which say how often each
        example occurs in each sample, and returns the scores of the samples, 0 where undefined.
    correlates : bool
        Whether it is a correlation, which is undefined (and set to 0) for constant predictions.
    title : str
        Its name in figures. Give it by keyword, so that it is in no hash.
    """

    task_types: tuple[str, ...]
    function: Callable[[Array, Array], float]
    counted: Callable[[Array, Array, Array], Array]
    correlates: bool = False
    title: str = ""


def accuracy(labels: Array, predictions: Array) -> float:
    """Share of correct predictions."""
    # scikit-learn's argument checks would take fifty times as long, in every resample.
    return float((labels == predictions).mean())


def f1(labels: Array, predictions: Array) -> float:
    """F1 of label 1; 0 if neither labels nor predictions contain it."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predictions == 1, zero_division=0))


def accuracy_f1(labels: Array, predictions: Array) -> float:
    """Mean of accuracy and F1 (GLUE's score for MRPC and QQP)."""
    return (accuracy(labels, predictions) + f1(labels, predictions)) / 2


def mcc(labels: Array, predictions: Array) -> float:
    """Matthews correlation."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(labels: Array, predictions: Array) -> float:
    """Pearson correlation."""
    from scipy.stats import pearsonr

    return _finite(pearsonr, labels, predictions)


def spearman(labels: Array, predictions: Array) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return _finite(spearmanr, labels, predictions)


def pearson_spearman(labels: Array, predictions: Array) -> float:
    """Mean of Pearson and Spearman correlation (GLUE's score for STS-B)."""
    return (pearson(labels, predictions) + spearman(labels, predictions)) / 2


def _finite(statistic: Callable[..., Any], labels: Array, predictions: Array) -> float:
    with warnings.catch_warnings():
        # Nearly constant predictions: SciPy warns, and may give NaN.
        warnings.simplefilter("ignore")
        value = float(statistic(labels, predictions)[0])
    return 0.0 if math.isnan(value) else value


def constant(values: Array, labels: Array) -> bool:
    """Whether predictions are constant up to their last bits.

    In batches of different sizes a head's outputs for equal inputs differ in those bits.
    """
    rounding = 1e-5 * max(abs(values).max(), labels.std())
    return bool(values.max() - values.min() <= rounding)


def counted_accuracy(labels: Array, predictions: Array, counts: Array) -> Array:
    return counts @ (labels == predictions) / counts.sum(1)


def counted_f1(labels: Array, predictions: Array, counts: Array) -> Array:
    both = counts @ ((labels == 1) & (predictions == 1))
    return _ratio(2 * both, counts @ (labels == 1) + counts @ (predictions == 1))


def counted_accuracy_f1(labels: Array, predictions: Array, counts: Array) -> Array:
    accuracies = counted_accuracy(labels, predictions, counts)
    return (accuracies + counted_f1(labels, predictions, counts)) / 2


def counted_mcc(labels: Array, predictions: Array, counts: Array) -> Array:
    import numpy as np

    classes = np.unique(np.concatenate([labels, predictions]))
    truth = counts @ (labels[:, None] == classes)  # [samples, classes]
    guessed = counts @ (predictions[:, None] == classes)
    right, total = counts @ (labels == predictions), counts.sum(1)
    covariance = right * total - (truth * guessed).sum(1)
    of_truth = total**2 - (truth**2).sum(1)
    of_guesses = total**2 - (guessed**2).sum(1)
    return _ratio(covariance, np.sqrt(of_truth * of_guesses))


def counted_pearson(labels: Array, predictions: Array, counts: Array) -> Array:
    return _counted_correlation(_counted_columns(labels), _counted_columns(predictions), counts)


def counted_spearman(labels: Array, predictions: Array, counts: Array) -> Array:
    ranks = (_counted_ranks(labels, counts), _counted_ranks(predictions, counts))
    return _counted_correlation(*ranks, counts)


def counted_pearson_spearman(labels: Array, predictions: Array, counts: Array) -> Array:
    of_values = counted_pearson(labels, predictions, counts)
    return (of_values + counted_spearman(labels, predictions, counts)) / 2


def _counted_columns(values: Array) -> Array:
    """[1, examples], float64, centred, so that squares lose no precision."""
    return (values - values.mean())[None, :].astype(float)


def _counted_ranks(values: Array, counts: Array) -> Array:
    """Mean ranks within each sample, [samples, examples], centred about the middle."""
    import numpy as np

    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(distinct)))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)  # [samples, distinct values]
    middle = sizes.cumsum(1) - sizes / 2
    return middle[:, group] - counts.sum(1, keepdims=True) / 2


def _counted_correlation(x: Array, y: Array, counts: Array) -> Array:
    import numpy as np

    total = counts.sum(1)
    mean_x, mean_y = ((counts * side).sum(1) / total for side in (x, y))
    covariance = (counts * x * y).sum(1) / total - mean_x * mean_y
    variances = [
        (counts * side**2).sum(1) / total - mean**2 for side, mean in ((x, mean_x), (y, mean_y))
    ]
    # Whatever variance a constant has left is rounding.
    scales = [(counts * side**2).sum(1) / total for side in (x, y)]
    constant = [
        variance <= 1e-12 * scale for variance, scale in zip(variances, scales, strict=True)
    ]
    norm = np.where(constant[0] | constant[1], 0.0, variances[0] * variances[1])
    return _ratio(covariance, np.sqrt(norm))


def _ratio(above: Array, below: Array) -> Array:
    """above / below; 0 where `below` is 0."""
    import numpy as np

    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)


METRICS = {
    "accuracy": Metric((*CLASSES, "multiple-choice"), accuracy, counted_accuracy, title="Accuracy"),
    "f1": Metric(CLASSES, f1, counted_f1, title="F1"),
    "accuracy-f1": Metric(CLASSES, accuracy_f1, counted_accuracy_f1, title="(Accuracy + F1) / 2"),
    "mcc": Metric(CLASSES, mcc, counted_mcc, correlates=True, title="Matthews correlation"),
    "pearson": Metric(
        NUMBERS, pearson, counted_pearson, correlates=True, title="Pearson correlation"
    ),
    "spearman": Metric(
        NUMBERS, spearman, counted_spearman, correlates=True, title="Spearman correlation"
    ),
    "pearson-spearman": Metric(
        NUMBERS,
        pearson_spearman,
        counted_pearson_spearman,
        correlates=True,
        title="(Pearson + Spearman) / 2",
    ),
}


def metrics_for(task_type: str) -> list[str]:
    """Names of the metrics that fit a type of task."""
    return [name for name, metric in METRICS.items() if task_type in metric.task_types]
