"""Bootstrap samples of examples, the same for every prediction, so that differences are paired."""

from collections.abc import Iterator

import numpy as np

from strata.study.metrics import METRICS, constant
from strata.study.settings import Sampling

AT_ONCE = 2**18  # counts held at once: what fits into a core's cache


def resampled_scores(
    metric: str, labels: np.ndarray, predictions: np.ndarray, sampling: Sampling, seed: int = 0
) -> np.ndarray:
    """Scores of several predictions in bootstrap samples of the examples, (sets, resamples).

    Parameters
    ----------
    labels : ndarray of shape (examples,)
        The examples' labels.
    predictions : ndarray of shape (sets, examples)
        Several predictions of the same examples.
    seed : int, default 0
        Draws the samples; they are the same for the same seed and number of examples.
    """
    samples = sample_counts(len(labels), sampling.resamples, seed)
    return np.concatenate([scores_in(metric, labels, predictions, c) for c in samples], axis=1)


def scores_in(
    metric: str, labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Scores of several predictions in samples of the examples, (sets, samples).

    Parameters
    ----------
    counts : ndarray of shape (samples, examples)
        How often each example is in each sample.
    """
    row = METRICS[metric]
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    scores = np.stack([row.counted(labels, each, counts) for each in predictions])
    if row.correlates:
        scores[[constant(each, labels) for each in predictions]] = 0.0
    return scores


def sample_counts(examples: int, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each example is in each bootstrap sample, some samples at a time.

    Yields
    ------
    ndarray of shape (samples, examples)
        Counts in float64; each row sums to `examples`.
    """
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // examples)
    for begin in range(0, resamples, step):
        count = min(step, resamples - begin)
        drawn = rng.integers(examples, size=(count, examples))
        drawn += examples * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * examples)
        yield counts.reshape(count, examples).astype(np.float64)


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled values, (low, high)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
