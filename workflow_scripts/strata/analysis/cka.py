"""Linear centred kernel alignment (CKA) between the depths of two sets of representations.

    CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)),   HSIC(X, Y) = tr(K H L H)

with K = XX', L = YY' and H = I - 11'/n (Kornblith et al. 2019; Phang et al. 2021, appendix A, where
the 1/b in H is a misprint for 1/n; factors that depend only on n cancel). With centred features Xc,
tr(KHLH) = ||Xc' Yc||_F^2 = <Xc Xc', Yc Yc'>, so it can be computed in feature space or in Gram
space, whichever is cheaper. Besides that number the debiased estimator (Szekely and Rizzo 2014;
Song et al. 2012) needs only the row norms of the centred features, so both estimators come from the
same products.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from strata.analysis.centred import Centred, Held, Pool, TileMemory, row_slices, triangle

TILE = 512  # examples along a side of a Gram tile: large enough for BLAS, small enough for caches
CHUNK = 8192  # numbers added up in float32


@dataclass(frozen=True)
class Alignment:
    """CKA of every pair of depths, (depths of y, depths of x), by both estimators."""

    biased: np.ndarray
    debiased: np.ndarray


def cka(x: np.ndarray, y: np.ndarray, debiased: bool = False) -> float:
    """Linear CKA of two representations of the same examples.

    Parameters
    ----------
    x, y : ndarray of shape (examples, features)
        Representations with any number of features.
    debiased : bool, default False
        Whether to use the debiased estimator, which may be negative.

    Raises
    ------
    ValueError
        The arrays have other shapes, or there are fewer than 4 examples.
    """
    return float(cka_matrix([x], [y], debiased)[0, 0])


def cka_matrix(
    xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], debiased: bool = False
) -> np.ndarray:
    """Linear CKA of every x with every y, (len(xs), len(ys)).

    Parameters
    ----------
    xs, ys : sequence of ndarray
        Arrays of shape (examples, features); those in one sequence have the same shape.
    """
    both = alignment(np.asarray(xs), np.asarray(ys))
    return both.debiased if debiased else both.biased


def alignment(y: np.ndarray, x: np.ndarray, memory_mb: float = 2048, choices: int = 1) -> Alignment:
    """CKA of every depth of `y` with every depth of `x`.

    With 1,000 examples or more, values stored in float32 or float16 are multiplied in float32 and
    summed in float64, which is within 1e-6 of computing all in float64. A representation without
    variance gives NaN.

    Parameters
    ----------
    y, x : ndarray of shape (depths, examples, features)
        Arrays or memory maps of any float type; `y is x` is recognised and halves the work.
    memory_mb : float, default 2048
        Bound on the working memory, in MB; more means fewer passes over the data.
    choices : int, default 1
        Consecutive rows of each multiple-choice example. They share a prompt, so they are not
        independent. HSIC is computed at each choice position, over rows of different examples, and
        averaged over positions; the same holds for the HSIC of a depth with itself.

    Raises
    ------
    ValueError
        The arrays have other shapes or different numbers of examples, or there are fewer than 4
        examples.
    """
    n = examples_of(y, x, choices)
    if n < 4:
        raise ValueError(f"{n} examples are too few: debiased CKA needs at least 4.")
    with Pool() as pool:
        positions = []
        for choice in range(choices):
            ys = Centred(y[:, choice::choices], memory_mb, pool)
            xs = ys if y is x else Centred(x[:, choice::choices], memory_mb, pool)
            positions.append(_position(ys, xs, memory_mb))
    biased, debiased, varies_y, varies_x = zip(*positions, strict=True)
    varying = np.any(varies_y, axis=0)[:, None] & np.any(varies_x, axis=0)[None, :]
    both = (ratio(add_products(parts)) for parts in (biased, debiased))
    return Alignment(*(np.where(varying, matrix, np.nan) for matrix in both))


def examples_of(y: np.ndarray, x: np.ndarray, choices: int) -> int:
    """The number of examples of two stacks of representations, after checks.

    Raises
    ------
    ValueError
        The stacks have other shapes, different numbers of rows, or incomplete examples.
    """
    for name, values in (("y", y), ("x", x)):
        if values.ndim != 3:
            raise ValueError(
                f"{name} has shape {values.shape}, expected [depths, examples, features]."
            )
    if y.shape[1] != x.shape[1]:
        raise ValueError(f"y has {y.shape[1]} examples, x has {x.shape[1]}: they must be the same.")
    if y.shape[1] % choices:
        raise ValueError(f"{y.shape[1]} rows do not make whole examples of {choices} choices.")
    return y.shape[1] // choices


def gram_is_cheaper(y_shape: tuple[int, ...], x_shape: tuple[int, ...]) -> bool:
    """Whether n x n Gram matrices need fewer operations than d x d cross products.

    All pairs share the L Gram matrices, so for equal shapes Gram space wins for about n < L d.
    """
    (ly, n, dy), (lx, _, dx) = y_shape, x_shape
    gram = n * n * (ly * dy + lx * dx + ly * lx)
    feature = 2 * n * (ly * dy) * (lx * dx)
    return gram < feature


class Products(NamedTuple):
    """HSIC, or the terms that it is made of, up to a factor.

    Attributes
    ----------
    cross : ndarray of shape (..., depths of y, depths of x)
        Of each depth of y with each depth of x.
    self_y, self_x : ndarray of shape (..., depths)
        Of each depth with itself.
    """

    cross: np.ndarray
    self_y: np.ndarray
    self_x: np.ndarray


def add_products(parts: Iterable[Products]) -> Products:
    """The sum of all parts; no more than two of them are held at a time."""
    return reduce(lambda one, other: Products(*map(np.add, one, other)), parts)


def ratio(products: Products) -> np.ndarray:
    """CKA, (..., depths of y, depths of x)."""
    self_y, self_x = products.self_y[..., :, None], products.self_x[..., None, :]
    # One cannot divide by a debiased self-product that is 0 or negative.
    defined = (self_y > 0) & (self_x > 0)
    return np.where(
        defined, products.cross / np.sqrt(np.where(defined, self_y * self_x, 1)), np.nan
    )


def _position(
    y: Centred, x: Centred, memory_mb: float
) -> tuple[Products, Products, np.ndarray, np.ndarray]:
    """HSIC of independent rows by both estimators, and which depths of y and of x vary."""
    in_gram_space = gram_is_cheaper(y.shape, x.shape)
    products = _in_gram_space if in_gram_space else _in_feature_space
    biased = products(y, x, memory_mb)
    debiased = Products(
        biased.cross - _bias(y.norms @ x.norms.T, np.outer(y.totals, x.totals), y.n),
        biased.self_y - _bias((y.norms**2).sum(1), y.totals**2, y.n),
        biased.self_x - _bias((x.norms**2).sum(1), x.totals**2, x.n),
    )
    return biased, debiased, ~y.constant, ~x.constant


def _in_gram_space(y: Centred, x: Centred, memory_mb: float) -> Products:
    """Tiles of all Gram matrices at once; all pairs of depths are one product of flattened tiles.

    Data that fits into half the memory is centred tile by tile where it is, in a file or in memory:
    a copy would cost more than it saves. Of larger data, as many rows as fit into half the memory
    stay loaded while the rest streams past them, so that a file is read about (n / rows held) / 2
    times.
    """
    numbers = memory_mb * 2**20 / y.dtype.itemsize
    features, depths = y.features + x.features, y.depths + x.depths
    # For each thread a tile of all Gram matrices and the rows on both its sides, in a quarter of
    # it.
    each = numbers / 8 / y.pool.threads
    tile = max(16, int(min(TILE, each / (2 * features), (each / depths) ** 0.5)))
    width = y.depths * y.features + (0 if y is x else x.depths * x.features)
    held_rows = int(numbers / 2 / width)
    if held_rows >= y.n:
        return _grams_of(y, x, y, x, slice(0, y.n), tile)
    parts = []
    for rows in row_slices(y.n, max(1, held_rows // tile) * tile):
        held_y = held_x = None  # freed before the next rows are read
        held_y = Held(y, rows)
        held_x = held_y if y is x else Held(x, rows)
        parts.append(_grams_of(y, x, held_y, held_x, rows, tile))
    return add_products(parts)


def _grams_of(
    y: Centred,
    x: Centred,
    left_y: Centred | Held,
    left_x: Centred | Held,
    held: slice,
    tile: int,
) -> Products:
    """The products of some rows, given by `left_y` and `left_x`, with themselves and all later
    rows.
    """
    same, pool = y is x, y.pool
    # Memory for tiles is reused: fresh pages would cost as much as the sums do.
    spare: SimpleQueue[list[TileMemory]] = SimpleQueue()
    for _ in range(pool.threads):
        spare.put([TileMemory(side, tile) for side in ((y,) if same else (y, x))])

    def products(place: tuple[slice, slice]) -> Products:
        left, right = place
        # Later rows are not held.
        right_y, right_x = (left_y, left_x) if right.stop <= held.stop else (y, x)
        memory = spare.get()
        gram_y = gram_x = memory[0].gram(left_y, right_y, left, right)
        if not same:
            gram_x = memory[1].gram(left_x, right_x, left, right)
        if left == right:
            y.norms[:, left] = np.diagonal(gram_y, axis1=1, axis2=2)
            x.norms[:, left] = np.diagonal(gram_x, axis1=1, axis2=2)
        cross = _inner(gram_y, gram_x)
        selves = (cross, cross) if same else (_inner(gram_y, gram_y), _inner(gram_x, gram_x))
        spare.put(memory)
        # Gram matrices are symmetric: tiles off the diagonal count twice.
        weight = 1 if left == right else 2
        self_y, self_x = (weight * each.diagonal() for each in selves)
        return Products(weight * cross, self_y, self_x)

    within = list(triangle(held, tile))
    beyond = [
        (left, right)
        for right in row_slices(y.n, tile, held.stop)
        for left in row_slices(held.stop, tile, held.start)
    ]
    return add_products(pool.map(products, within + beyond))


def _inner(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of every matrix of one stack with every matrix of another, (len, len)."""
    first, second = first.reshape(len(first), -1), second.reshape(len(second), -1)
    # In parts, so that no float32 sum is long.
    parts = row_slices(first.shape[1], CHUNK)
    return sum((first[:, part] @ second[:, part].T).astype(np.float64) for part in parts)


def _squares(stack: np.ndarray) -> np.ndarray:
    """Squared Frobenius norms of a stack of matrices."""
    return np.einsum("...ij,...ij->...i", stack, stack).sum(-1, dtype=np.float64)


def _in_feature_space(y: Centred, x: Centred, memory_mb: float) -> Products:
    """Cross products of features, for as many depths of y per pass as fit into half the memory."""
    same = y is x
    each = y.features * (x.depths * x.features + y.features) * y.dtype.itemsize
    group = max(1, int(memory_mb * 2**20 / 2 / each))
    cross = np.zeros((y.depths, x.depths))
    self_y = np.zeros(y.depths)
    for depths in row_slices(y.depths, group):
        # If y is x, the products of later depths with earlier ones are already there.
        begin = depths.start if same else 0
        cross[depths, begin:], self_y[depths] = _feature_products(y, x, depths, begin)
    if same:
        cross = np.triu(cross) + np.triu(cross, 1).T
        return Products(cross, cross.diagonal(), cross.diagonal())
    return Products(cross, self_y, _feature_norms(x, memory_mb))


def _feature_products(
    y: Centred, x: Centred, depths: slice, begin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Squared norms of the cross products of some depths of y with x's from `begin`, and with
    themselves.

    If y is x, products with earlier depths are left at 0, and so are those with themselves.
    """
    same, count = y is x, depths.stop - depths.start
    sums = np.zeros((count, x.depths - begin, y.features, x.features), y.dtype)
    selves = np.zeros((0 if same else count, y.features, y.features), y.dtype)
    pairs = [(i, j) for i in range(count) for j in range(i if same else 0, x.depths - begin)]
    for rows in row_slices(y.n, min(y.step, x.step)):
        part_y = y.read(rows)
        part_x = part_y if same else x.read(rows)

        def add(
            pair: tuple[int, int], part_y: np.ndarray = part_y, part_x: np.ndarray = part_x
        ) -> None:
            i, j = pair
            sums[i, j] += part_y[depths.start + i].T @ part_x[begin + j]

        def add_self(i: int, part_y: np.ndarray = part_y) -> None:
            selves[i] += part_y[depths.start + i].T @ part_y[depths.start + i]

        y.pool.map(add, pairs)
        y.pool.map(add_self, range(len(selves)))
        if depths.start == 0:
            y.norms[:, rows] = np.einsum("lnd,lnd->ln", part_y, part_y)
    cross = np.array(y.pool.map(_squares, sums))
    return cross, np.zeros(count) if same else _squares(selves)


def _feature_norms(x: Centred, memory_mb: float) -> np.ndarray:
    """Squared norms of the products of features of each depth with themselves."""
    group = max(1, int(memory_mb * 2**20 / 4 / (x.features**2 * x.dtype.itemsize)))
    norms = np.zeros(x.depths)
    for depths in row_slices(x.depths, group):
        selves = np.zeros((depths.stop - depths.start, x.features, x.features), x.dtype)
        for rows in row_slices(x.n, x.step):
            part = x.read(rows)
            if depths.start == 0:
                x.norms[:, rows] = np.einsum("lnd,lnd->ln", part, part)
            selves += np.matmul(part[depths].transpose(0, 2, 1), part[depths])
        norms[depths] = _squares(selves)
    return norms


def _bias(row_products: np.ndarray, total_products: np.ndarray, n: int) -> np.ndarray:
    """What the debiased estimator subtracts, from row norms and their totals."""
    return n / (n - 2) * row_products - total_products / ((n - 1) * (n - 2))
