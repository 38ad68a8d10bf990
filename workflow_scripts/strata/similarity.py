"""Linear centred kernel alignment (CKA) between the depths of two sets of representations.

    CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)),   HSIC(X, Y) = tr(K H L H)

with K = XX', L = YY' and H = I - 11'/n (Kornblith et al. 2019; Phang et al. 2021, appendix A,
where the 1/b in H is a slip for 1/n; factors that depend on n alone cancel). With centred
features Xc, tr(KHLH) = ||Xc' Yc||_F^2 = <Xc Xc', Yc Yc'>, so it can be had in feature space or in
Gram space, whichever is cheaper. The debiased estimator (Szekely and Rizzo 2014; Song et al. 2012)
needs, beyond that one number, only the row norms of the centred features, so both estimators come
from the same products.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

TILE = 512  # examples along a side of a Gram tile: large enough for BLAS, small enough for memory


@dataclass(frozen=True)
class Alignment:
    """CKA of every pair of depths, [depths of y, depths of x], by both estimators."""

    biased: np.ndarray
    debiased: np.ndarray


def cka(x: np.ndarray, y: np.ndarray, debiased: bool = False) -> float:
    """Linear CKA of two representations of the same examples.

    Parameters
    ----------
    x, y : [examples, features], any number of features each.
    debiased : the debiased estimator, which may be negative.

    Raises
    ------
    ValueError : other shapes; fewer than 4 examples.
    """
    return float(cka_matrix([x], [y], debiased)[0, 0])


def cka_matrix(
    xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], debiased: bool = False
) -> np.ndarray:
    """Linear CKA of every x with every y, [len(xs), len(ys)].

    Parameters
    ----------
    xs, ys : arrays [examples, features], those of one sequence alike in shape.
    """
    both = alignment(np.asarray(xs), np.asarray(ys))
    return both.debiased if debiased else both.biased


def alignment(y: np.ndarray, x: np.ndarray, memory_mb: float = 2048) -> Alignment:
    """CKA of every depth of `y` with every depth of `x`.

    Accumulated in float64. A representation without variance gives NaN.

    Parameters
    ----------
    y, x : [depths, examples, features], arrays or memory maps, of any float type; `y is x` is
        recognised and halves the work.
    memory_mb : bound on the working memory; more means fewer passes over the data.

    Raises
    ------
    ValueError : other shapes; different numbers of examples; fewer than 4 examples.
    """
    for name, values in (("y", y), ("x", x)):
        if values.ndim != 3:
            raise ValueError(
                f"{name} has shape {values.shape}, expected [depths, examples, features]."
            )
    if y.shape[1] != x.shape[1]:
        raise ValueError(f"y has {y.shape[1]} examples, x has {x.shape[1]}: they must be the same.")
    n = y.shape[1]
    if n < 4:
        raise ValueError(f"{n} examples are too few: debiased CKA needs at least 4.")
    ys = _Centred(y, memory_mb)
    xs = ys if y is x else _Centred(x, memory_mb)
    products = _in_gram_space if gram_is_cheaper(y.shape, x.shape) else _in_feature_space
    cross, self_y, self_x = products(ys, xs, memory_mb)
    biased = _ratio(cross, self_y, self_x)
    debiased = _ratio(
        cross - _bias(ys.norms @ xs.norms.T, np.outer(ys.totals, xs.totals), n),
        self_y - _bias((ys.norms**2).sum(1), ys.totals**2, n),
        self_x - _bias((xs.norms**2).sum(1), xs.totals**2, n),
    )
    for both in (biased, debiased):
        both[ys.constant, :] = np.nan
        both[:, xs.constant] = np.nan
    return Alignment(biased, debiased)


def gram_is_cheaper(y_shape: tuple[int, ...], x_shape: tuple[int, ...]) -> bool:
    """Whether n x n Gram matrices take fewer operations than d x d cross products.

    All pairs share the L Grams, so for equal shapes Gram space wins while n < L d (about).
    """
    (ly, n, dy), (lx, _, dx) = y_shape, x_shape
    gram = n * n * (ly * dy + lx * dx + ly * lx)
    feature = 2 * n * (ly * dy) * (lx * dx)
    return gram < feature


class _Centred:
    """[depths, examples, features], read in blocks of examples, centred, in float64."""

    def __init__(self, values: np.ndarray, memory_mb: float):
        self.values = values
        self.depths, self.n, self.features = values.shape
        self.means = np.zeros((self.depths, 1, self.features))
        # Small enough that reading never rivals the products' own memory.
        self.step = max(1, int(memory_mb * 2**20 / 8 / (8 * self.depths * self.features)))
        for rows in blocks(self.n, self.step):
            self.means += values[:, rows].sum(axis=1, keepdims=True, dtype=np.float64) / self.n
        self.norms = np.empty((self.depths, self.n))
        for rows in blocks(self.n, self.step):
            part = self.read(rows)
            self.norms[:, rows] = np.einsum("lnd,lnd->ln", part, part)
        self.totals = self.norms.sum(axis=1)
        # What is left of equal rows after rounding in the stored type is not variance.
        scale = self.n * (self.means**2).sum(axis=(1, 2))
        self.constant = self.totals <= (8 * np.finfo(values.dtype).eps) ** 2 * scale

    def read(self, rows: slice) -> np.ndarray:
        part = self.values[:, rows].astype(np.float64)
        part -= self.means
        return part


def blocks(n: int, size: int) -> Iterator[slice]:
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


Products = tuple[np.ndarray, np.ndarray, np.ndarray]


def _in_gram_space(y: _Centred, x: _Centred, memory_mb: float) -> Products:
    """Tiles of all Grams at once; the pairs of depths are then one product of flattened tiles.

    As many rows as half the memory holds stay loaded while the rest streams past them, so the
    file is read about (n / rows held) / 2 times.
    """
    same = y is x
    width = y.depths * y.features + (0 if same else x.depths * x.features)
    tile = min(TILE, max(16, int((memory_mb * 2**20 / 8 / (8 * (y.depths + x.depths))) ** 0.5)))
    held_rows = max(tile, int(memory_mb * 2**20 / 2 / (8 * width)) // tile * tile)
    cross = np.zeros((y.depths, x.depths))
    self_y, self_x = np.zeros(y.depths), np.zeros(x.depths)
    for held in blocks(y.n, held_rows):
        held_y = held_x = right_y = right_x = None  # freed before the next are read
        held_y = y.read(held)
        held_x = held_y if same else x.read(held)
        for right in blocks(y.n - held.start, tile):
            right = slice(right.start + held.start, right.stop + held.start)
            inside = right.stop <= held.stop
            local = slice(right.start - held.start, right.stop - held.start)
            right_y = held_y[:, local] if inside else y.read(right)
            right_x = right_y if same else held_x[:, local] if inside else x.read(right)
            for left in blocks(min(held.stop - held.start, local.start + tile), tile):
                # Grams are symmetric: tiles right of the diagonal count twice.
                weight = 1 if left.start == local.start else 2
                gram_y = _tile(held_y[:, left], right_y)
                gram_x = gram_y if same else _tile(held_x[:, left], right_x)
                cross += weight * (gram_y @ gram_x.T)
                self_y += weight * np.einsum("lt,lt->l", gram_y, gram_y)
                if not same:
                    self_x += weight * np.einsum("lt,lt->l", gram_x, gram_x)
    return cross, self_y, self_y if same else self_x


def _tile(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.matmul(left, right.transpose(0, 2, 1)).reshape(len(left), -1)


def _in_feature_space(y: _Centred, x: _Centred, memory_mb: float) -> Products:
    """Cross products of features, for as many depths of y a pass as half the memory holds."""
    same = y is x
    each = 8 * y.features * (x.depths * x.features + y.features)
    group = max(1, int(memory_mb * 2**20 / 2 / each))
    step = min(max(y.step // 2, 1), max(x.step // 2, 1))
    cross = np.zeros((y.depths, x.depths))
    self_y = np.zeros(y.depths)
    for depths in blocks(y.depths, group):
        # With y is x the products of later depths with earlier ones are there already.
        begin = depths.start if same else 0
        sums, own = _feature_products(y, x, depths, begin, step)
        cross[depths, begin:] = np.einsum("gfld,gfld->gl", sums, sums)
        self_y[depths] = np.einsum("gfe,gfe->g", own, own)
    if same:
        cross = np.triu(cross) + np.triu(cross, 1).T
        return cross, self_y, self_y
    return cross, self_y, _feature_norms(x, memory_mb)


def _feature_products(
    y: _Centred, x: _Centred, depths: slice, begin: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """[group, dy, Lx, dx] cross products with x's depths from `begin`, and [group, dy, dy]."""
    count = depths.stop - depths.start
    sums = np.zeros((count, y.features, (x.depths - begin) * x.features))
    own = np.zeros((count, y.features, y.features))
    for rows in blocks(y.n, step):
        part_y = y.read(rows)
        part_x = part_y if y is x else x.read(rows)
        # One row an example, all depths side by side: one product serves every depth of x.
        beside = part_x[begin:].transpose(1, 0, 2).reshape(part_x.shape[1], -1)
        for i, depth in enumerate(range(depths.start, depths.stop)):
            sums[i] += part_y[depth].T @ beside
            own[i] += part_y[depth].T @ part_y[depth]
    return sums.reshape(count, y.features, -1, x.features), own


def _feature_norms(x: _Centred, memory_mb: float) -> np.ndarray:
    group = max(1, int(memory_mb * 2**20 / 4 / (8 * x.features**2)))
    norms = np.zeros(x.depths)
    for depths in blocks(x.depths, group):
        own = np.zeros((depths.stop - depths.start, x.features, x.features))
        for rows in blocks(x.n, x.step):
            part = x.read(rows)[depths]
            own += np.matmul(part.transpose(0, 2, 1), part)
        norms[depths] = np.einsum("gfe,gfe->g", own, own)
    return norms


def _bias(row_products: np.ndarray, total_products: np.ndarray, n: int) -> np.ndarray:
    """What the debiased estimator takes off: from row norms and their totals."""
    return n / (n - 2) * row_products - total_products / ((n - 1) * (n - 2))


def _ratio(cross: np.ndarray, self_y: np.ndarray, self_x: np.ndarray) -> np.ndarray:
    norm = np.outer(self_y, self_x)
    # A debiased self-product at or below 0 leaves nothing to divide by.
    defined = (self_y[:, None] > 0) & (self_x[None, :] > 0)
    return np.where(defined, cross / np.sqrt(np.where(defined, norm, 1.0)), np.nan)
