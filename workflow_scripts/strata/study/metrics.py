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
    counted : (labels, predictions, counts), the last [samples, examples]: the same of samples in
        which each example counts so many times -> [samples]; 0 where it is undefined.
    correlates : a correlation, which is undefined (and set to 0) for constant predictions.
    title : its name in figures, to be given by keyword: it is in no hash.
    """

    task_types: tuple[str, ...]
    function: Callable[[Array, Array], float]
    counted: Callable[[Array, Array, Array], Array]
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


def constant(values: Array, labels: Array) -> bool:
    """Whether predictions are constant but for their last bits.

    A head gives equal inputs values that differ in those where batches differ in size.
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
    """[1, examples], float64, centred: what is squared below is then no small difference."""
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
    # What is left of a constant's variance is rounding.
    scales = [(counts * side**2).sum(1) / total for side in (x, y)]
    constant = [
        variance <= 1e-12 * scale for variance, scale in zip(variances, scales, strict=True)
    ]
    norm = np.where(constant[0] | constant[1], 0.0, variances[0] * variances[1])
    return _ratio(covariance, np.sqrt(norm))


def _ratio(above: Array, below: Array) -> Array:
    """0 where there is nothing to divide by."""
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
    """Names of the metrics that fit a type of tasks."""
    return [name for name, metric in METRICS.items() if task_type in metric.task_types]
