"""What the similarity of two depths consists of (Davari et al. 2022: do not read CKA alone).

For one depth: how much of the variance its first principal component holds, how that component
correlates with the label, and how far the layer moves the vector. For two depths: debiased CKA, and
what is left of it without each depth's first component, within classes, and without the examples
farthest from the mean; the overlap of nearest neighbours; and orthogonal Procrustes similarity.
These are descriptions, some with standard errors, and not tests.

Rows of one multiple-choice example share a prompt, so they are not independent: each choice
position is measured separately, HSICs are averaged over positions before their ratio is taken, and
all other measures are averaged directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strata.analysis.representations import NEIGHBOURS, Representation, hsic, hsic_within


@dataclass(frozen=True)
class Part:
    """A measure at one choice position.

    Attributes
    ----------
    values : ndarray
        A number; or shape (1 + half-samples,), with all examples first; or shape (3, 1 +
        half-samples), the HSICs of two representations: with each other, of the first with itself,
        of the second with itself.
    n : int
        The number of rows it was computed from.
    chance : float
        The value for unrelated representations, or for a label without effect.
    """

    values: np.ndarray
    n: int
    chance: float = np.nan


@dataclass(frozen=True)
class Measured:
    """A measure over all choice positions; `se` is NaN if it has no standard error."""

    value: float
    se: float
    n: int
    chance: float


def combined(parts: Sequence[Part]) -> Measured:
    """Combine a measure's parts at all choice positions."""
    values = np.mean([part.values for part in parts], axis=0)
    if values.ndim == 2:
        values = _ratio(*values)
    value, *halves = np.atleast_1d(values)
    defined = np.isfinite(halves)
    known = np.isfinite(value) and defined.sum() > 1
    return Measured(
        value=float(value),
        se=float(np.std(np.array(halves)[defined], ddof=1)) if known else np.nan,
        n=sum(part.n for part in parts),
        chance=float(np.mean([part.chance for part in parts])),
    )


def _ratio(cross: np.ndarray, own_y: np.ndarray, own_x: np.ndarray) -> np.ndarray:
    # One cannot divide by a value that is 0 or negative.
    defined = (own_y > 0) & (own_x > 0)
    return cross / np.sqrt(np.where(defined, own_y * own_x, np.nan))


# ---------------------------------------------------------------- of one depth


def depth_parts(one: Representation, label: np.ndarray, is_class: bool) -> dict[str, Part]:
    """Measures of a single depth, at one choice position; NaN if nothing varies.

    - ``pc1_share``: the first principal component's share of the variance.
    - ``participation_ratio``: (sum of eigenvalues)^2 / sum of their squares, of the covariance: how
      many directions the variance is spread over; at most n - 1.
    - ``pc1_label``: correlation of the first component's scores with the label, without its sign,
      see `label_correlation`.

    Parameters
    ----------
    one : Representation
        The depth's representation.
    label : ndarray of shape (n,)
        Classes or numbers.
    is_class : bool
        Whether labels are classes.
    """
    share, ratio, correlation = np.nan, np.nan, np.nan
    if not one.constant:
        squares, scores = one.spectrum
        share = squares[-1] / squares.sum()
        ratio = squares.sum() ** 2 / (squares**2).sum()
        correlation = label_correlation(scores, label, is_class)
    # The mean squared multiple correlation with that many unrelated numbers.
    regressors = len(np.unique(label)) - 1 if is_class else 1
    chance = float(np.sqrt(regressors / (one.n - 1)))
    return {
        "pc1_share": Part(np.array(share), one.n),
        "participation_ratio": Part(np.array(ratio), one.n),
        "pc1_label": Part(np.array(correlation), one.n, chance),
    }


def label_correlation(scores: np.ndarray, label: np.ndarray, is_class: bool) -> float:
    """Correlation of `scores` with a label, from 0 to 1; NaN if one of them is constant.

    For classes, the multiple correlation with one indicator per class, which is the square root of
    the correlation ratio (eta) and, for two classes, the absolute Pearson correlation. For numbers,
    the absolute Pearson correlation.
    """
    if len(np.unique(label)) < 2:
        return np.nan
    centred = scores - scores.mean()
    if is_class:
        _, which, counts = np.unique(label, return_inverse=True, return_counts=True)
        explained = (np.bincount(which, centred) ** 2 / counts).sum()
    else:
        other = label - label.mean()
        explained = (centred @ other) ** 2 / (other @ other)
    total = centred @ centred
    return float(np.sqrt(min(explained / total, 1))) if total > 0 else np.nan


def step_part(before: Representation, after: Representation) -> Part:
    """How far a layer moves a vector, relative to it: the mean of ||h_k - h_k-1|| / ||h_k-1||."""
    moved = np.linalg.norm(after.vectors - before.vectors, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = moved / before.lengths
    return Part(relative @ after.weights / after.weights.sum(0), after.n)


# ---------------------------------------------------------------- of two depths


def pair_parts(y: Representation, x: Representation) -> dict[str, Part]:
    """Measures of two depths of the same examples, at one choice position.

    - ``cka``: debiased CKA (Song et al. 2012).
    - ``cka_without_pc1``: each depth without its own first component. Half-samples use the
      components of all examples.
    - ``cka_within_classes``: from HSICs within each class, see `hsic_within`.
    - ``cka_without_largest``: without the 5 % of examples with the longest centred vectors at
      either depth (the union of both, so 5 to 10 % are left out).
    - ``neighbours``: see `neighbour_overlap`.
    - ``procrustes``: see `procrustes`.

    They are NaN if one of the two has no variance, or none is left.
    """
    n, undefined = y.n, y.constant or x.constant
    class_is_point = not (y.varies_within and x.varies_within)
    only_first = undefined or not (y.has_more_than_first and x.has_more_than_first)
    kept = ~(y.far | x.far)
    overlap, similarity, shuffled = np.nan, np.nan, np.nan
    if not undefined:
        overlap, similarity = neighbour_overlap(y, x), procrustes(y.centred, x.centred)
        order = np.random.default_rng(0).permutation(n)
        shuffled = procrustes(y.centred, x.centred[order])
    nothing = np.full((3, y.weights.shape[1]), np.nan)
    within = sum(map(len, y.members))
    return {
        "cka": Part(nothing if undefined else _hsics(y, x), n, 0.0),
        "cka_without_pc1": Part(nothing if only_first else _without_first(y, x), n, 0.0),
        "cka_within_classes": Part(nothing if class_is_point else _within(y, x), within, 0.0),
        "cka_without_largest": Part(
            nothing if undefined else _of_some(y, x, kept), int(kept.sum()), 0.0
        ),
        "neighbours": Part(np.array(overlap), n, NEIGHBOURS / (n - 1)),
        "procrustes": Part(np.array(similarity), n, shuffled),
    }


def _hsics(y: Representation, x: Representation) -> np.ndarray:
    return np.stack([hsic(y.gram, x.gram, y.weights), y.own, x.own])


def _without_first(y: Representation, x: Representation) -> np.ndarray:
    cross = hsic(y.gram_without_first, x.gram_without_first, y.weights)
    return np.stack([cross, y.own_without_first, x.own_without_first])


def _within(y: Representation, x: Representation) -> np.ndarray:
    return np.stack([hsic_within(y, x), y.own_within, x.own_within])


def _of_some(y: Representation, x: Representation, kept: np.ndarray) -> np.ndarray:
    weights = y.weights * kept[:, None]
    return np.stack([hsic(a.gram, b.gram, weights) for a, b in ((y, x), (y, y), (x, x))])


def neighbour_overlap(y: Representation, x: Representation) -> float:
    """Mutual nearest neighbours (Huh et al. 2024, section 2): their overlap, from 0 to 1.

    The share of an example's 10 nearest neighbours in one representation that are also among its 10
    nearest in the other, averaged over examples; vectors are first scaled to length 1, as in their
    code. NaN for fewer than 12 examples, for which it could only be 1.
    """
    if y.n < NEIGHBOURS + 2:
        return np.nan
    return float((y.neighbours & x.neighbours).sum() / (NEIGHBOURS * y.n))


def procrustes(y: np.ndarray, x: np.ndarray) -> float:
    """Orthogonal Procrustes similarity of centred (n, features): ||Y'X||_* / (||Y||_F ||X||_F).

    ||.||_* is the sum of singular values; if both have norm 1, the squared Procrustes distance of
    Ding et al. (2021, section 3) is 2 minus twice this. Unrelated representations are far above 0
    unless there are many more examples than features.
    """
    singular = np.linalg.svd(y.T @ x, compute_uv=False)
    return float(singular.sum() / (np.linalg.norm(y) * np.linalg.norm(x)))
