"""A linear probe of every depth, in closed form: how well a linear map predicts the labels.

Features are standardised on the training rows, and (features / rows) is added to the diagonal of
their covariance T. That is ridge regression with a penalty equal to the number of features, which
is about the best if half of the target can be predicted. For classes it is linear discriminant
analysis with that pooled covariance and equal priors. It needs (T - M'DM)^-1 M' (M are the class
means, D their shares) and gets it from T^-1 M', so that one factorisation serves all labellings of
the same rows. For regression it is ridge regression of the target.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Labelling:
    """What is to be predicted for the same rows: the labels, and shuffled labels.

    Attributes
    ----------
    codes : ndarray of shape (labellings, rows)
        The class of each row.
    targets : ndarray of shape (labellings, rows) or None
        The targets of a regression, else None.
    """

    codes: np.ndarray
    targets: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Labelling":
        """The labelling of some of the rows."""
        targets = None if self.targets is None else self.targets[:, rows]
        return Labelling(self.codes[:, rows], targets)

    def first(self) -> "Labelling":
        """Only the first labelling."""
        return Labelling(self.codes[:1], None if self.targets is None else self.targets[:1])


def folds_of(strata: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The fold of each example, (examples,): each stratum is spread evenly."""
    order = np.random.default_rng(seed).permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(len(strata), dtype=int)
    folds[order] = np.arange(len(strata)) % count
    return folds


def out_of_fold(vectors: np.ndarray, given: Labelling, folds: np.ndarray) -> np.ndarray:
    """The probe's prediction for each row, fitted on the rows of other folds.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        Vectors in float64.
    given : Labelling
        What is to be predicted.
    folds : ndarray of shape (rows,)
        The fold of each row.

    Returns
    -------
    ndarray of shape (labellings, rows)
        Predicted classes or targets.
    """
    wanted = given.codes if given.targets is None else given.targets
    found = np.empty(wanted.shape, dtype=wanted.dtype)
    for fold in np.unique(folds):
        train, held_out = folds != fold, folds == fold
        found[:, held_out] = _predicted(vectors[train], vectors[held_out], given.take(train))
    return found


def score(given: Labelling, predicted: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """How good predictions are on some rows, (labellings,).

    For classes, the mean over classes of the share that is right (balanced accuracy: constant
    predictions have 1 / classes). For regression, Pearson's correlation, which is 0 for constant
    predictions.
    """
    if given.targets is not None:
        return _pearson(given.targets[:, rows], predicted[:, rows])
    codes = given.codes[:, rows]
    right = codes == predicted[:, rows]
    own = codes[:, None] == np.arange(codes.max() + 1)[:, None]
    sizes = own.sum(-1)
    shares = (own & right[:, None]).sum(-1) / np.maximum(sizes, 1)
    return np.where(sizes > 0, shares, 0).sum(1) / (sizes > 0).sum(1)


def _predicted(train: np.ndarray, held_out: np.ndarray, given: Labelling) -> np.ndarray:
    centre, scale = train.mean(0), train.std(0)
    scale = np.where(scale > 1e-12 * np.abs(centre) + 1e-300, scale, np.inf)
    fitted, asked = (train - centre) / scale, (held_out - centre) / scale
    if given.targets is not None:
        middle = given.targets.mean(1, keepdims=True)
        pulls = (given.targets - middle).T / len(fitted)
        return middle + (asked @ _solved(fitted, pulls)).T
    count = int(given.codes.max()) + 1
    own = given.codes[:, None] == np.arange(count)[:, None]  # [labellings, classes, rows]
    sizes = own.sum(-1)
    pulls = (own / np.maximum(sizes, 1)[..., None]).reshape(-1, len(fitted)).T
    coefficients = _solved(fitted, pulls)
    means = (pulls.T @ fitted).reshape(*sizes.shape, -1)
    towards = (asked @ coefficients).reshape(len(asked), *sizes.shape)
    products = [
        mean @ part.T for mean, part in zip(means, coefficients.T.reshape(means.shape), strict=True)
    ]
    found = []
    for i, (inner, size) in enumerate(zip(products, sizes, strict=True)):
        shares = size / len(fitted)
        widened = np.linalg.inv(np.eye(count) - shares[:, None] * inner)
        discriminants = towards[:, i] @ widened - np.diagonal(inner @ widened) / 2
        discriminants[:, size == 0] = -np.inf
        found.append(discriminants.argmax(1))
    return np.stack(found)


def _solved(rows: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """(rows' rows / n + penalty)^-1 rows' pulls, by whichever side is smaller."""
    from scipy.linalg import cho_factor, cho_solve  # not needed by figures

    n, features = rows.shape
    wide = features > n
    product = (rows @ rows.T if wide else rows.T @ rows) / n
    product[np.diag_indices_from(product)] += features / n
    factor = cho_factor(product, lower=True, overwrite_a=True, check_finite=False)
    if wide:
        return rows.T @ cho_solve(factor, pulls, check_finite=False)
    return cho_solve(factor, rows.T @ pulls, check_finite=False)


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (each - each.mean(1, keepdims=True) for each in (a, b))
    lengths = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.where(lengths > 0, (a * b).sum(1) / np.where(lengths > 0, lengths, 1), 0.0)
