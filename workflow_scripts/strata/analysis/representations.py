"""Representations of one depth, and what comparisons of them share: float64, centred."""

from functools import cached_property

import numpy as np

NEIGHBOURS = 10
LARGEST = 0.05  # share of the examples that count as having the largest norms
HALF_SAMPLES = 20


def half_weights(n: int, count: int = HALF_SAMPLES, seed: int = 0) -> np.ndarray:
    """Weights (n, 1 + count): all examples, then halves of them drawn without replacement.

    The spread of a statistic over halves is its standard error over all n examples. (A bootstrap
    would draw examples twice, which raises debiased CKA.)
    """
    rows = np.tile(np.arange(n), (count, 1))
    halves = np.random.default_rng(seed).permuted(rows, axis=1) < n // 2
    return np.concatenate([np.ones((1, n)), halves]).T


def hsic(k: np.ndarray, l: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The unbiased estimate of HSIC (Song et al. 2012, equation 5), one per column of `weights`.

    Parameters
    ----------
    k, l : ndarray of shape (n, n)
        Gram matrices with zeros on the diagonal.
    weights : ndarray of shape (n, samples)
        1 for examples in a sample, else 0.

    Returns
    -------
    ndarray of shape (samples,)
        HSIC in each sample; NaN for samples of fewer than four examples.
    """
    sizes = weights.sum(0)
    m = np.where(sizes > 3, sizes, np.nan)
    of_k, of_l = k @ weights, l @ weights
    paired = (((k * l) @ weights) * weights).sum(0)
    totals = (of_k * weights).sum(0) * (of_l * weights).sum(0)
    shared = (of_k * of_l * weights).sum(0)
    return (paired + totals / ((m - 1) * (m - 2)) - 2 * shared / (m - 2)) / (m * (m - 3))


class Representation:
    """One depth at one choice position, with values that all comparisons with it share.

    Parameters
    ----------
    vectors : ndarray of shape (n, features)
        Vectors of any float type; n is at least 4.
    classes : ndarray of shape (n,)
        The class of each example.
    weights : ndarray of shape (n, 1 + half-samples)
        The samples, see `half_weights`.

    Attributes
    ----------
    constant : bool
        Whether examples differ only by rounding in the stored type.
    """

    def __init__(self, vectors: np.ndarray, classes: np.ndarray, weights: np.ndarray):
        self.vectors = np.asarray(vectors, np.float64)
        self.n = len(vectors)
        self.classes, self.weights = classes, weights
        self.centred = self.vectors - self.vectors.mean(0)
        self.lengths = np.linalg.norm(self.vectors, axis=1)
        self.rounding = (8 * np.finfo(vectors.dtype).eps) ** 2 * (self.lengths**2).sum()
        self.total = float((self.centred**2).sum())
        self.constant = self._is_rounding(self.total)

    def _is_rounding(self, squares: float) -> bool:
        return bool(squares <= self.rounding)

    @cached_property
    def gram(self) -> np.ndarray:
        """The Gram matrix (n, n) of centred vectors, with its diagonal set to 0."""
        return _off_diagonal(self.centred @ self.centred.T)

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Squared singular values, ascending, and the first component's scores, (n,)."""
        n, features = self.centred.shape
        if n <= features:
            squares, sides = np.linalg.eigh(self.centred @ self.centred.T)
            return squares, sides[:, -1] * np.sqrt(max(squares[-1], 0))
        squares, directions = np.linalg.eigh(self.centred.T @ self.centred)
        return squares, self.centred @ directions[:, -1]

    @cached_property
    def gram_without_first(self) -> np.ndarray:
        """The Gram matrix (n, n) without the first component."""
        scores = self.spectrum[1]
        return self.gram - _off_diagonal(np.outer(scores, scores))

    @cached_property
    def has_more_than_first(self) -> bool:
        return not self._is_rounding(self.total - (self.spectrum[1] ** 2).sum())

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Row indices of each class with at least four examples."""
        each = (np.flatnonzero(self.classes == name) for name in np.unique(self.classes))
        return [rows for rows in each if len(rows) > 3]

    @cached_property
    def varies_within(self) -> bool:
        """Whether examples of one class differ by more than rounding."""
        parts = (self.centred[rows] for rows in self.members)
        return not self._is_rounding(sum(((part - part.mean(0)) ** 2).sum() for part in parts))

    @cached_property
    def far(self) -> np.ndarray:
        """Whether each example is among those with the longest centred vectors, (n,)."""
        count = int(np.ceil(LARGEST * self.n))
        norms = (self.centred**2).sum(1)
        return np.isin(np.arange(self.n), np.argsort(norms, kind="stable")[self.n - count :])

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Which examples are among the nearest neighbours of each, bool (n, n)."""
        unit = self.vectors / np.maximum(self.lengths, np.finfo(np.float64).tiny)[:, None]
        unit -= unit.mean(
            0
        )  # distances do not change, but are no longer differences of large numbers
        products = unit @ unit.T
        squares = products.diagonal()
        distances = squares[:, None] + squares - 2 * products
        np.fill_diagonal(distances, np.inf)
        nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        found = np.zeros(distances.shape, bool)
        np.put_along_axis(found, nearest, True, axis=1)
        return found

    # HSICs with itself, (1 + half-samples,).
    @cached_property
    def own(self) -> np.ndarray:
        return hsic(self.gram, self.gram, self.weights)

    @cached_property
    def own_without_first(self) -> np.ndarray:
        return hsic(self.gram_without_first, self.gram_without_first, self.weights)

    @cached_property
    def own_within(self) -> np.ndarray:
        return hsic_within(self, self)


def _off_diagonal(square: np.ndarray) -> np.ndarray:
    np.fill_diagonal(square, 0)
    return square


def hsic_within(y: Representation, x: Representation) -> np.ndarray:
    """Unbiased HSIC of the examples of each class, averaged over examples, (1 + half-samples,).

    Subtracting the class means and taking the HSIC of all examples would not estimate it: the means
    come from the same examples, so that debiased CKA of the remainder is biased.
    """
    total = np.zeros(y.weights.shape[1])
    for rows in y.members:
        square, weights = np.ix_(rows, rows), y.weights[rows]
        value = hsic(y.gram[square], x.gram[square], weights)
        total += np.nan_to_num(
            value * weights.sum(0)
        )  # classes with too few examples in a half are left out
    return total / y.weights.sum(0)
