"""Hidden-state variability (Xie et al. 2022, section 3.1): how well a layer separates classes.

    nu = trace(Sigma_w pinv(Sigma_b)) / |Y|

where Sigma_w is the mean over classes of the covariance within a class, and Sigma_b the covariance
of the class means about their unweighted mean; lower is more specialised. With the |Y| x d matrix
of centred means M = U S V', pinv(Sigma_b) = |Y| V S^-2 V', so nu is a mean of squared distances
from the class means, measured along V in units of S.

Means of n_y rows are noisy, which moves them apart: on average M M' is too large by H diag(tr
Sigma_y / n_y) H, where H centres, and M Sigma_w M' by H diag(tr(Sigma_w Sigma_y) / n_y) H. So nu of
noise alone is not infinite, and grows with n. The corrected nu subtracts both (for two classes,
that gives the unbiased squared distance of Bai and Saranadasa 1996) and keeps the directions in
which more than two standard errors of noise are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from strata.analysis.correlations import mean_ranks
from strata.data.task import Task
from strata.runtime.errors import StrataError

# For what is computed at the same time, so that memory does not grow with the samples.
COLUMNS_AT_ONCE = 256
BEYOND_NOISE = 2.0  # standard errors


@dataclass(frozen=True)
class Classes:
    """The rows of each class, and a note for readers on how they were made."""

    rows: dict[str, np.ndarray]  # name -> row indices
    note: str = ""

    def codes(self, count: int) -> np.ndarray:
        """The class of each of `count` rows, -1 for those in none."""
        codes = np.full(count, -1)
        for y, rows in enumerate(self.rows.values()):
            codes[rows] = y
        return codes


def classes(task: Task, labels: np.ndarray, bins: int) -> Classes:
    """The classes of a task's rows.

    Classification: the labels. Multiple choice: right and wrong choices. Regression: quantile bins
    of the target (our choice; the authors' code treats every distinct value as a class).

    Parameters
    ----------
    labels : ndarray of shape (examples,)
        The examples' labels; an example has ``task.choices`` rows.
    bins : int
        The largest number of bins of a regression's target; equal values share a bin.

    Raises
    ------
    StrataError
        Fewer than two classes have at least two rows.
    """
    if task.kind.compares_rows:
        gold = (np.arange(task.choices) == labels[:, None]).reshape(-1)
        rows_of = {"wrong": np.flatnonzero(~gold), "right": np.flatnonzero(gold)}
    elif task.kind.continuous:
        # Equal values share a rank, the mean of theirs, and so a bin.
        each = (bins * (mean_ranks(labels) - 0.5) / len(labels)).astype(int)
        rows_of = {f"bin {i + 1}": np.flatnonzero(each == i) for i in np.unique(each)}
    else:
        rows_of = {name: np.flatnonzero(labels == i) for i, name in enumerate(task.labels or ())}
    kept = {name: rows for name, rows in rows_of.items() if len(rows) > 1}
    left_out = [f"'{name}' ({len(rows_of[name])})" for name in rows_of if name not in kept]
    note = f"left out, fewer than two examples: {', '.join(left_out)}" if left_out else ""
    if len(kept) < 2:
        raise StrataError(
            f"Variability compares classes, and of task '{task.name}' {len(kept)} "
            f"{'has' if len(kept) == 1 else 'have'} two or more training examples ({note or 'all'})"
            "; raise variability.max_examples, or give the task other cuts or bins."
        )
    return Classes(kept, note)


@dataclass(frozen=True)
class Scatter:
    """What the noise of class means consists of, each (classes,) or (samples, classes).

    Attributes
    ----------
    sizes : ndarray
        The number of rows of each class.
    own : ndarray
        Trace of the covariance within the class.
    shared : ndarray
        Trace of its product with Sigma_w, unbiased if rows are normal.
    squared : ndarray
        Trace of its square, unbiased if rows are normal.
    """

    sizes: np.ndarray
    own: np.ndarray
    shared: np.ndarray
    squared: np.ndarray


@dataclass(frozen=True)
class Values:
    """nu and the corrected nu of some samples, each (samples,).

    NaN if all class means are the same; `corrected` also if nothing is left of them.
    """

    nu: np.ndarray
    corrected: np.ndarray


def variability(vectors: np.ndarray, rows: Sequence[np.ndarray]) -> float:
    """nu of one depth.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        An array or memory map of any float type; all computation is in Vectors in float64.
    rows : sequence of ndarray
        The row indices of each class; at least two classes, none of them empty.

    Returns
    -------
    float
        nu; NaN if all class means are the same.
    """
    drawn = np.asarray(vectors[np.concatenate(rows)], dtype=np.float64)
    codes = np.repeat(np.arange(len(rows)), [len(numbers) for numbers in rows])
    return float(values_of_samples(drawn, codes[None]).nu[0])


def corrected_variability(vectors: np.ndarray, rows: Sequence[np.ndarray]) -> float:
    """nu of one depth, corrected for the noise of the class means; rows must be independent.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        As for ``variability``.
    rows : sequence of ndarray
        As for ``variability``, with at least two rows per class.

    Returns
    -------
    float
        The corrected nu; NaN if nothing is left beyond noise.
    """
    drawn = np.asarray(vectors[np.concatenate(rows)], dtype=np.float64)
    codes = np.repeat(np.arange(len(rows)), [len(numbers) for numbers in rows])
    found = values_of_samples(drawn, codes[None], scatter(drawn, codes))
    return float(found.corrected[0])


def scatter(vectors: np.ndarray, codes: np.ndarray, choices: int = 1) -> Scatter:
    """How far the rows of each class scatter.

    Rows of one multiple-choice example share a prompt. Its noise is in both means but not in their
    difference, so there the scatter is that of the right choice minus the mean of the wrong ones.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        Vectors in float64.
    codes : ndarray of shape (rows,)
        The class of each row, from 0, or -1.
    choices : int, default 1
        The number of consecutive rows per example; with several, code 1 is the right one.
    """
    count = int(codes.max()) + 1
    parts = [_centred(vectors[codes == y]) for y in range(count)]
    sizes = np.array([len(part) for part in parts])
    differ = [_right_less_wrong(vectors, codes, choices)] if choices > 1 else []
    if len(vectors) < vectors.shape[1]:  # as many coordinates as rows are equivalent
        basis, _ = np.linalg.qr(np.concatenate(parts).T)
        parts = [part @ basis for part in parts]
        differ = [each @ basis for each in differ]
    covariances = [part.T @ part / max(len(part) - 1, 1) for part in parts]
    within = sum(covariances) / count
    noisy = differ or parts
    free = np.array([max(len(each) - 1, 1) for each in noisy])
    if differ:
        covariances = [each.T @ each / n for each, n in zip(differ, free, strict=True)]
    own = np.array([np.trace(each) for each in covariances])
    shared = np.array([(within * each).sum() for each in covariances])
    squared = np.array([(each * each).sum() for each in covariances])
    # A covariance is not independent of itself, so its square is biased upwards.
    unbiased = free**2 / (np.maximum(free - 1, 1) * (free + 2.0)) * (squared - own**2 / free)
    unbiased = np.where(free > 1, np.maximum(unbiased, 0), 0)
    if differ:
        # Split between the two means, so that the sum is that of their difference.
        half = sizes / len(differ[0]) / 2
        return Scatter(sizes, own * half, shared * half, unbiased * half**2)
    return Scatter(sizes, own, shared + (unbiased - squared) / count, unbiased)


def _right_less_wrong(vectors: np.ndarray, codes: np.ndarray, choices: int) -> np.ndarray:
    """The differences (examples, features), centred."""
    of_examples = vectors.reshape(-1, choices, vectors.shape[1])
    weights = np.where(codes == 1, 1.0, -1 / (choices - 1)).reshape(-1, 1, choices)
    return _centred((weights @ of_examples)[:, 0])


def values_of_samples(
    vectors: np.ndarray, codes: np.ndarray, noise: Scatter | None = None
) -> Values:
    """nu and the corrected nu of several samples of the same rows.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        Vectors in float64.
    codes : ndarray of shape (samples, rows)
        The class of each row, from 0, or -1 if the sample does not have the row.
    noise : Scatter, optional
        Scatter of the classes; without it there is no correction.
    """
    count = int(codes.max()) + 1
    vectors = _centred(
        vectors
    )  # means are large compared with variance; values squared below are near 0
    step = max(1, COLUMNS_AT_ONCE // count)
    parts = [codes[begin : begin + step] for begin in range(0, len(codes), step)]
    found = [_of_some(vectors, part, count, noise) for part in parts]
    return Values(
        np.concatenate([values.nu for values in found]),
        np.concatenate([values.corrected for values in found]),
    )


def _of_some(vectors: np.ndarray, codes: np.ndarray, count: int, noise: Scatter | None) -> Values:
    """The values of few samples: one product with the rows serves them all."""
    members = (codes[:, None] == np.arange(count)[:, None]).astype(np.float64)
    sizes = np.maximum(members.sum(-1), 1)
    means = (members.reshape(-1, len(vectors)) @ vectors).reshape(*sizes.shape, -1)
    means /= sizes[..., None]
    axes = _axes(means)
    samples, features, rank = axes.directions.shape
    beside = axes.directions.transpose(1, 0, 2).reshape(features, -1)
    along = (vectors @ beside).reshape(-1, samples, rank).transpose(1, 0, 2)
    weights = (members / sizes[..., None]).mean(1)[..., None]
    centres = means @ axes.directions
    within = _turned(along * weights) @ along - _turned(centres) @ centres / count
    known = None if noise is None else replace(noise, sizes=sizes)
    return _from(axes, within, known)


def _turned(matrices: np.ndarray) -> np.ndarray:
    return matrices.transpose(0, 2, 1)


@dataclass(frozen=True)
class _Axes:
    """The class means' own axes in each sample: M - mean = U S V'.

    U has shape (samples, classes, rank), S (samples, rank) and V (samples, features, rank); axes in
    which the means do not differ have S = 0 and U = 0.
    """

    classes: np.ndarray
    lengths: np.ndarray
    directions: np.ndarray


def _axes(means: np.ndarray) -> _Axes:
    """The axes of class means (samples, classes, features)."""
    centred = means - means.mean(1, keepdims=True)
    classes, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    # The rank is at most |Y| - 1; anything beyond it is rounding.
    rank = min(means.shape[1] - 1, means.shape[2])
    scale = np.linalg.norm(means, axis=(1, 2))[:, None]
    real = lengths > scale * max(means.shape[1:]) * np.finfo(np.float64).eps
    lengths = np.where(real, lengths, 0)[:, :rank]
    classes = np.where(real[:, None], classes, 0)[:, :, :rank]
    return _Axes(classes, lengths, _turned(directions)[:, :, :rank])


def _from(axes: _Axes, within: np.ndarray, noise: Scatter | None) -> Values:
    """Values of samples, from their Sigma_w along the axes, (samples, rank, rank).

    Parameters
    ----------
    noise : Scatter or None
        The scatter, with sizes (samples, classes).
    """
    real = axes.lengths > 0
    squares = np.where(real, axes.lengths, np.inf) ** 2
    nu = (np.diagonal(within, axis1=1, axis2=2) / squares).sum(1)
    nu = np.where(real.any(1), nu, np.nan)
    corrected = np.full(len(nu), np.nan) if noise is None else _corrected(axes, within, noise)
    return Values(nu, corrected)


def _corrected(axes: _Axes, within: np.ndarray, noise: Scatter) -> np.ndarray:
    u, lengths = axes.classes, axes.lengths
    # Axes belong to centred means, so U'H = U'.
    between = _turned(u * (noise.own / noise.sizes)[..., None]) @ u
    between = np.eye(u.shape[2]) * lengths[:, None] ** 2 - between
    shared = _turned(u * (noise.shared / noise.sizes)[..., None]) @ u
    across = lengths[:, :, None] * lengths[:, None] * within - shared
    values, vectors = np.linalg.eigh(between)
    # Squared lengths of pure noise have this variance, and the largest of several is larger by
    # chance.
    variance = 2 * _turned(u**2) @ (noise.squared / noise.sizes**2)[..., None]
    error = np.sqrt(variance.max((1, 2)) * (lengths > 0).sum(1))
    left = values > BEYOND_NOISE * error[:, None]
    along = np.diagonal(_turned(vectors) @ across @ vectors, axis1=1, axis2=2)
    corrected = (along / np.where(left, values, np.inf) ** 2).sum(1)
    return np.where(left.any(1) & (corrected > 0), corrected, np.nan)


class Sums:
    """nu of every depth from rows that are read once and not kept.

    It needs a (features, features) matrix per depth.

    Parameters
    ----------
    depths, features : int
        Numbers of depths and features of the vectors to come.
    sizes : ndarray of shape (classes,)
        The number of rows of each class to come.
    """

    def __init__(self, depths: int, features: int, sizes: np.ndarray):
        self.sizes = np.asarray(sizes, dtype=np.float64)
        self.means = np.zeros((depths, len(sizes), features))
        self.within = np.zeros((depths, features, features))
        self.centre: np.ndarray | None = None

    def add(self, vectors: np.ndarray, codes: np.ndarray) -> None:
        """Add rows of all depths, (depths, rows, features), with their classes (rows,), or -1."""
        there = codes >= 0
        if not there.any():
            return
        codes = codes[there]
        members = (codes == np.arange(len(self.sizes))[:, None]).astype(np.float64)
        # square roots, since each weight occurs twice in a product
        weights = np.sqrt(1 / (len(self.sizes) * self.sizes[codes]))[:, None]
        if self.centre is None:  # sums of squares of values near 0 lose no digits
            self.centre = vectors[:, there].mean(1, dtype=np.float64)[:, None]
        for slot, centre in enumerate(self.centre):
            rows = vectors[slot][there].astype(np.float64) - centre
            self.means[slot] += members @ rows
            rows *= weights
            self.within[slot] += rows.T @ rows

    def values(self, noise: Sequence[Scatter]) -> Values:
        """The values from all rows, (depths,).

        Parameters
        ----------
        noise : sequence of Scatter
            The scatter at each depth, from some of the rows: it is the same for all rows.
        """
        means = self.means / self.sizes[:, None]
        axes = _axes(means)
        centres = means @ axes.directions
        within = _turned(axes.directions) @ self.within @ axes.directions
        within -= _turned(centres) @ centres / len(self.sizes)
        own = np.stack([each.own for each in noise])
        shared = np.stack([each.shared for each in noise])
        squared = np.stack([each.squared for each in noise])
        return _from(axes, within, Scatter(self.sizes, own, shared, squared))


def _centred(vectors: np.ndarray) -> np.ndarray:
    return vectors - vectors.mean(0)
