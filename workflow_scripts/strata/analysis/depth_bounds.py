"""How much is lost at each depth, with one-sided bounds that are wrong as often as they say.

With fewer than five seeds the seeds are fixed: examples are resampled, and a bound is about these
runs (for models that came fine-tuned, always). With five or more it is about the recipe: mean -+
t(S - 1) sqrt(s^2 / S + e^2), where s is the standard deviation of the seeds' differences and e the
standard error, over examples, of their mean.

A bootstrap of answers that all agree shows no uncertainty, and one with few changed answers too
little: if a cut really costs a point and every changed answer is a wrong one, its lower bound at 95
% is wrong in up to 9 % of cases. So lower bounds include one extra example, which the reference
answers right and the cut model wrong (docs/errors.md has both).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from strata.evaluation.resampling import resampled_scores, sample_counts, scores_in
from strata.study.metrics import METRICS
from strata.study.settings import Sampling

ARRAYS = ("scores", "drawn", "right", "wrong")  # of ``Answers``
SPLITS = 20  # how often examples are split into halves, for the cross-fitted loss


@dataclass(frozen=True)
class Bounds:
    """The mean over seeds of (cut - reference), (depths,).

    Attributes
    ----------
    low, high : ndarray
        One-sided bounds, each at the requested confidence.
    error : ndarray
        Standard error over examples, with the seeds fixed.
    drawn : ndarray of shape (depths, resamples)
        Values over bootstrap samples of examples, with the seeds fixed.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True)
class Answers:
    """Scores of runs at some depths, on all examples and on bootstrap samples of them.

    Attributes
    ----------
    scores : ndarray of shape (seeds, depths)
        Scores on all examples.
    drawn : ndarray of shape (seeds, depths, resamples)
        Scores on bootstrap samples.
    right, wrong : ndarray
        Like `drawn`, with one extra example that is answered right or wrong.
    of_recipe : bool
        Whether the runs are a sample of their recipe's runs (``Sampling.of_recipe``).
    """

    scores: np.ndarray
    drawn: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    of_recipe: bool = False

    @classmethod
    def of(
        cls, metric: str, labels: np.ndarray, predictions: np.ndarray, sampling: Sampling
    ) -> Self:
        """From predictions (seeds, depths, examples)."""
        shape, flat = predictions.shape[:2], predictions.reshape(-1, len(labels))
        scores, recipe = full_scores(metric, labels, predictions), sampling.of_recipe(shape[0])
        plain = resampled_scores(metric, labels, flat, sampling).reshape(*shape, -1)
        if "regression" in METRICS[metric].task_types:
            # No two answers are equal, so the bootstrap shows all the uncertainty.
            return cls(scores, plain, plain, plain, recipe)
        rare, other = _rarest_and_another(labels)
        more = np.append(labels, rare)
        right, wrong = (
            resampled_scores(metric, more, np.insert(flat, len(labels), answer, 1), sampling)
            for answer in (rare, other)
        )
        right, wrong = (part.reshape(*shape, -1) for part in (right, wrong))
        return cls(scores, plain, right, wrong, recipe)

    def at(self, depths: slice) -> Self:
        """The scores at some depths, counted from 0."""
        return self.each(lambda part: part[:, depths])

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> Self:
        """The same with every array changed by `change`."""
        parts = {name: change(getattr(self, name)) for name in ARRAYS}
        return type(self)(**parts, of_recipe=self.of_recipe)

    def less(self, reference: Self, confidence: float) -> Bounds:
        """Bounds of the mean over seeds of these scores minus a reference's of one depth."""
        drawn = (self.drawn - reference.drawn).mean(0)
        guarded = (self.wrong - reference.right).mean(0)
        differences = self.scores - reference.scores
        return bounds(differences, drawn, guarded, confidence, self.of_recipe)


def full_scores(metric: str, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Scores (seeds, depths) of predictions (seeds, depths, examples), on all examples."""
    flat = predictions.reshape(-1, len(labels))
    scores = scores_in(metric, labels, flat, np.ones((1, len(labels))))
    return scores.reshape(predictions.shape[:2])


def bounds(
    differences: np.ndarray,
    drawn: np.ndarray,
    guarded: np.ndarray,
    confidence: float,
    of_recipe: bool,
) -> Bounds:
    """Bounds from differences (seeds, depths) and resampled means over seeds (depths, resamples).

    Parameters
    ----------
    guarded : ndarray
        Resampled means with the extra example that only the reference answers right, for the lower
        bound.
    of_recipe : bool
        Whether the seeds are a sample of the recipe's runs; otherwise they are fixed.
    """
    mean, seeds, error = differences.mean(0), len(differences), drawn.std(1)
    if not of_recipe:
        low = np.quantile(guarded, 1 - confidence, axis=1)
        high = np.quantile(drawn, confidence, axis=1)
        return Bounds(mean, low, high, error, drawn)
    from scipy.special import stdtrit  # only for a study of many seeds

    between = differences.var(0, ddof=1) / seeds
    factor = float(stdtrit(seeds - 1, confidence))
    low = mean - factor * np.sqrt(between + guarded.var(1))
    high = mean + factor * np.sqrt(between + error**2)
    return Bounds(mean, low, high, error, drawn)


def mean_bounds(differences: np.ndarray, sampling: Sampling, seed: int = 0) -> Bounds:
    """Bounds for a score that is a mean over examples, like accuracy.

    Parameters
    ----------
    differences : ndarray of shape (seeds, depths, examples)
        Each example's difference (cut - reference), from -1 to 1.
    seed : int, default 0
        Draws the bootstrap samples.
    """
    means = differences.mean(0)
    count = means.shape[1]
    worst = np.hstack([means, np.full((len(means), 1), -1.0)])
    drawn = np.hstack(
        [means @ counts.T / count for counts in sample_counts(count, sampling.resamples, seed)]
    )
    samples = sample_counts(count + 1, sampling.resamples, seed)
    guarded = np.hstack([worst @ counts.T / (count + 1) for counts in samples])
    of_recipe = sampling.of_recipe(len(differences))
    return bounds(differences.mean(2), drawn, guarded, sampling.confidence, of_recipe)


def fixed_sequence(low: Sequence[np.ndarray], tolerance: float) -> int:
    """The smallest depth that is certified: L - 1, L - 2, … are tried until one fails.

    Each depth is tried only after those above it have passed, so trying many costs no confidence.

    Parameters
    ----------
    low : sequence of ndarray
        Lower bounds of (cut - reference) at depths 1..L, one array per reference; the value at L is
        not used.

    Returns
    -------
    int
        The smallest certified depth; L if L - 1 fails.
    """
    passes = np.all(np.stack(low) > -tolerance, axis=0).tolist()
    depth = len(passes)
    while depth > 1 and passes[depth - 2]:
        depth -= 1
    return depth


def smallest_within(differences: np.ndarray, tolerance: float) -> int:
    """The smallest depth such that no depth from it to L loses more than `tolerance`.

    Parameters
    ----------
    differences : ndarray of shape (depths,)
        Differences (cut - reference) at depths 1..L; L always counts as within.
    """
    # Rounding in a float's last digits is no reason to keep a layer.
    return fixed_sequence([np.asarray(differences) + 1e-9], tolerance)


def examples_needed(error: np.ndarray, n_examples: int, tolerance: float) -> np.ndarray:
    """About how many examples would certify a cut that loses nothing.

    In four of five studies: (1.64 + 0.84)^2 times the variance of an example's difference, divided
    by the squared tolerance, which for one run and accuracy is 6 times the share of changed answers
    divided by it; and, because of the extra example in the bound, at least 3 divided by the
    tolerance. Infinite with a tolerance of 0: a cut that loses nothing cannot be told from one that
    loses little.

    Parameters
    ----------
    error : ndarray
        Standard errors over `n_examples` examples.
    """
    if tolerance == 0:
        return np.full(len(error), np.inf)
    variance = n_examples * error**2
    return np.ceil(np.maximum(6 * variance / tolerance, 3) / tolerance)


def cross_fitted(
    metric: str,
    labels: np.ndarray,
    cut: np.ndarray,
    reference: np.ndarray,
    tolerance: float,
    seed: int = 0,
) -> tuple[float, np.ndarray]:
    """What the smallest depth within the tolerance loses on examples that did not choose it.

    The depth is chosen on one half of the examples and scored on the other, and vice versa, for 20
    ways to halve them.

    Parameters
    ----------
    cut : ndarray of shape (seeds, depths, examples)
        Predictions at depths 1..L.
    reference : ndarray of shape (seeds, 1, examples)
        Predictions of the full model.

    Returns
    -------
    tuple of float and ndarray
        The mean of (cut - reference), and how often each depth was chosen, (depths,), with sum 1.
    """
    rng, count = np.random.default_rng(seed), len(labels)
    halves = np.zeros((SPLITS, count))
    for half in halves:
        half[rng.permutation(count)[: count // 2]] = 1
    samples = np.vstack([halves, 1 - halves])

    def scores(predictions: np.ndarray) -> np.ndarray:
        flat = predictions.reshape(-1, count)
        return scores_in(metric, labels, flat, samples).reshape(*predictions.shape[:2], -1)

    lost = (scores(cut) - scores(reference)).mean(0)  # [depths, samples]
    chosen = np.array([smallest_within(column, tolerance) for column in lost.T])
    others = np.roll(np.arange(len(samples)), SPLITS)
    value = float(lost[chosen - 1, others].mean())
    return value, np.bincount(chosen - 1, minlength=len(lost)) / len(chosen)


def _rarest_and_another(labels: np.ndarray) -> tuple[float, float]:
    """The rarest label, to which metrics are most sensitive, and the most frequent one."""
    values, counts = np.unique(labels, return_counts=True)
    rare = values[counts.argmin()]
    others = values[values != rare]
    # If there is only one label, any other number is a different answer.
    return rare, others[counts[values != rare].argmax()] if len(others) else rare + 1
