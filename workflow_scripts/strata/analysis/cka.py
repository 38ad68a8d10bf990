"""Linear centred kernel alignment (CKA) between the depths of two sets of representations.

    CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)),   HSIC(X, Y) = tr(K H L H)

with K = XX', L = YY' and H = I - 11'/n (Kornblith et al. 2019; Phang et al. 2021, appendix A,
where the 1/b in H is a slip for 1/n; factors that depend on n alone cancel). With centred
features Xc, tr(KHLH) = ||Xc' Yc||_F^2 = <Xc Xc', Yc Yc'>, so it can be had in feature space or in
Gram space, whichever is cheaper. The debiased estimator (Szekely and Rizzo 2014; Song et al. 2012)
needs, beyond that one number, only the row norms of the centred features, so both estimators come
from the same products.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self, TypeVar

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

TILE = 512  # examples along a side of a Gram tile: large enough for BLAS, small enough for caches
CHUNK = 8192  # numbers of a float32 sum
MIN_FLOAT32_EXAMPLES = 1000  # examples, from which on float32 products save time worth having
Item = TypeVar("Item")
Result = TypeVar("Result")


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
    xs, ys : arrays [examples, features], those of one sequence of one shape.
    """
    both = alignment(np.asarray(xs), np.asarray(ys))
    return both.debiased if debiased else both.biased


def alignment(y: np.ndarray, x: np.ndarray, memory_mb: float = 2048) -> Alignment:
    """CKA of every depth of `y` with every depth of `x`.

    From 1,000 examples on, values stored in float32 or float16 are multiplied in float32 and summed
    in float64, which is within 1e-6 of all in float64. A representation without variance gives NaN.

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
    with _Pool() as pool:
        ys = _Centred(y, memory_mb, pool)
        xs = ys if y is x else _Centred(x, memory_mb, pool)
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


class _Pool:
    """As many threads as BLAS would use, each of which calls a BLAS of one thread.

    So reading, centring and summing run side by side, too, and no number depends on how many
    threads there are (but where memory is so short that more threads have smaller tiles).
    """

    def __enter__(self) -> Self:
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        self.threads = max((pool["num_threads"] for pool in pools), default=1)
        self._limits = threadpool_limits(1, "blas")
        self._executor = ThreadPoolExecutor(self.threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        return list(self._executor.map(work, items))


class _Centred:
    """[depths, examples, features], read some examples at a time and centred.

    Products of many examples are taken in float32 where the values are stored in it (or in less),
    which is twice as fast; whatever is summed over many products is summed in float64.

    Attributes
    ----------
    norms : [depths, examples], squared lengths of the centred rows; filled while products are made.
    """

    def __init__(self, values: np.ndarray, memory_mb: float, pool: _Pool):
        self.values, self.pool = values, pool
        self.depths, self.n, self.features = values.shape
        single = values.dtype.itemsize <= 4 and self.n >= MIN_FLOAT32_EXAMPLES
        self.dtype = np.dtype(np.float32 if single else np.float64)
        # Small enough that reading never rivals the products' own memory.
        each = self.depths * self.features * self.dtype.itemsize
        self.step = max(1, int(memory_mb * 2**20 / 16 / each))
        self.means = np.stack(pool.map(self._mean, range(self.depths)))
        self.norms = np.empty((self.depths, self.n))

    def _mean(self, depth: int) -> np.ndarray:
        total = np.zeros(self.features)
        for rows in row_slices(self.n, self.step):
            total += self.values[depth, rows].sum(0, dtype=np.float64)
        return (total / self.n).astype(self.dtype)

    def part(self, depth: int, rows: slice, memory: np.ndarray) -> np.ndarray:
        """[rows, features] of one depth, in `memory`."""
        centred = memory[: rows.stop - rows.start]
        return np.subtract(self.values[depth, rows], self.means[depth], centred)

    def read(self, rows: slice) -> np.ndarray:
        """[depths, rows, features], a depth a thread; not to be called by one of them."""
        centred = np.empty((self.depths, rows.stop - rows.start, self.features), self.dtype)
        self.pool.map(lambda depth: self.part(depth, rows, centred[depth]), range(self.depths))
        return centred

    @property
    def totals(self) -> np.ndarray:
        return self.norms.sum(axis=1)

    @property
    def constant(self) -> np.ndarray:
        """Depths where what differs between rows is rounding in the stored type."""
        scale = self.n * (self.means.astype(np.float64) ** 2).sum(axis=1)
        return self.totals <= (8 * np.finfo(self.values.dtype).eps) ** 2 * scale


def row_slices(n: int, size: int, begin: int = 0) -> Iterator[slice]:
    for start in range(begin, n, size):
        yield slice(start, min(start + size, n))


# cross [depths of y, depths of x], and of each with itself [depths of y], [depths of x]
Products = tuple[np.ndarray, np.ndarray, np.ndarray]


def _add(parts: Iterable[Products]) -> Products:
    cross, self_y, self_x = (sum(column) for column in zip(*parts, strict=True))
    return cross, self_y, self_x


class _Held:
    """Some rows of all depths, centred and kept in memory; their `part` is `_Centred`'s."""

    def __init__(self, centred: _Centred, rows: slice):
        self.begin, self.values = rows.start, centred.read(rows)

    def part(self, depth: int, rows: slice, memory: np.ndarray) -> np.ndarray:
        return self.values[depth, rows.start - self.begin : rows.stop - self.begin]


def _in_gram_space(y: _Centred, x: _Centred, memory_mb: float) -> Products:
    """Tiles of all Grams at once; the pairs of depths are then one product of flattened tiles.

    What half the memory holds is centred tile by tile, in file or memory: a copy would cost more
    than it saves. Of more, as many rows as half the memory holds stay loaded while the rest streams
    past them, so that a file is read about (n / rows held) / 2 times.
    """
    numbers = memory_mb * 2**20 / y.dtype.itemsize
    features, depths = y.features + x.features, y.depths + x.depths
    # A tile of all Grams, and the rows on both its sides, for each thread, in a quarter of it.
    each = numbers / 8 / y.pool.threads
    tile = max(16, int(min(TILE, each / (2 * features), (each / depths) ** 0.5)))
    width = y.depths * y.features + (0 if y is x else x.depths * x.features)
    held_rows = int(numbers / 2 / width)
    if held_rows >= y.n:
        return _grams_of(y, x, y, x, slice(0, y.n), tile)
    parts = []
    for rows in row_slices(y.n, max(1, held_rows // tile) * tile):
        held_y = held_x = None  # freed before the next are read
        held_y = _Held(y, rows)
        held_x = held_y if y is x else _Held(x, rows)
        parts.append(_grams_of(y, x, held_y, held_x, rows, tile))
    return _add(parts)


def _grams_of(
    y: _Centred,
    x: _Centred,
    left_y: _Centred | _Held,
    left_x: _Centred | _Held,
    held: slice,
    tile: int,
) -> Products:
    """The products of some rows, given by `left_y` and `left_x`, with themselves and all later."""
    same, pool = y is x, y.pool
    # Memory for tiles, used again: fresh pages would cost as much as the sums do.
    spare: SimpleQueue[list[_TileMemory]] = SimpleQueue()
    for _ in range(pool.threads):
        spare.put([_TileMemory(side, tile) for side in ((y,) if same else (y, x))])

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
        # Grams are symmetric: tiles beside the diagonal count twice.
        weight = 1 if left == right else 2
        self_y, self_x = (weight * each.diagonal() for each in selves)
        return weight * cross, self_y, self_x

    within = list(_triangle(held, tile))
    beyond = [
        (left, right)
        for right in row_slices(y.n, tile, held.stop)
        for left in row_slices(held.stop, tile, held.start)
    ]
    return _add(pool.map(products, within + beyond))


class _TileMemory:
    """What one thread needs for a tile of the Grams of all depths."""

    def __init__(self, centred: _Centred, tile: int):
        self.depths = centred.depths
        self.grams = np.empty(centred.depths * tile * tile, centred.dtype)
        self.sides = np.empty((2, tile, centred.features), centred.dtype)

    def gram(
        self, left_of: _Centred | _Held, right_of: _Centred | _Held, left: slice, right: slice
    ) -> np.ndarray:
        """[depths, rows, columns], until the next is asked for."""
        rows, columns = left.stop - left.start, right.stop - right.start
        grams = self.grams[: self.depths * rows * columns].reshape(self.depths, rows, columns)
        for depth in range(self.depths):
            first = left_of.part(depth, left, self.sides[0])
            # The same array twice: BLAS then does half of the work.
            second = first if left == right else right_of.part(depth, right, self.sides[1])
            np.matmul(first, second.T, grams[depth])
        return grams


def _triangle(side: slice, size: int) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover a square's diagonal and what is above it, and little below: (rows, columns).

    Along the diagonal they are smaller.
    """
    for large in row_slices(side.stop, size, side.start):
        for left in row_slices(large.start, size, side.start):
            yield left, large
        for right in row_slices(large.stop, max(size // 2, 1), large.start):
            if right.start > large.start:
                yield slice(large.start, right.start), right
            yield right, right


def _inner(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of every matrix of one stack with every one of another, [len, len]."""
    first, second = first.reshape(len(first), -1), second.reshape(len(second), -1)
    # In parts, so that no float32 sum is long.
    parts = row_slices(first.shape[1], CHUNK)
    return sum((first[:, part] @ second[:, part].T).astype(np.float64) for part in parts)


def _squares(stack: np.ndarray) -> np.ndarray:
    """Squared Frobenius norms of a stack of matrices."""
    return np.einsum("...ij,...ij->...i", stack, stack).sum(-1, dtype=np.float64)


def _in_feature_space(y: _Centred, x: _Centred, memory_mb: float) -> Products:
    """Cross products of features, for as many depths of y a pass as half the memory holds."""
    same = y is x
    each = y.features * (x.depths * x.features + y.features) * y.dtype.itemsize
    group = max(1, int(memory_mb * 2**20 / 2 / each))
    cross = np.zeros((y.depths, x.depths))
    self_y = np.zeros(y.depths)
    for depths in row_slices(y.depths, group):
        # With y is x the products of later depths with earlier ones are there already.
        begin = depths.start if same else 0
        cross[depths, begin:], self_y[depths] = _feature_products(y, x, depths, begin)
    if same:
        cross = np.triu(cross) + np.triu(cross, 1).T
        return cross, cross.diagonal(), cross.diagonal()
    return cross, self_y, _feature_norms(x, memory_mb)


def _feature_products(
    y: _Centred, x: _Centred, depths: slice, begin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Squared norms of the cross products of some depths of y with x's from `begin` and themselves.

    Where y is x, those with depths before a depth's own are left at 0, and so are the latter.
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


def _feature_norms(x: _Centred, memory_mb: float) -> np.ndarray:
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
    """What the debiased estimator takes off: from row norms and their totals."""
    return n / (n - 2) * row_products - total_products / ((n - 1) * (n - 2))


def _ratio(cross: np.ndarray, self_y: np.ndarray, self_x: np.ndarray) -> np.ndarray:
    norm = np.outer(self_y, self_x)
    # A debiased self-product at or below 0 leaves nothing to divide by.
    defined = (self_y[:, None] > 0) & (self_x[None, :] > 0)
    return np.where(defined, cross / np.sqrt(np.where(defined, norm, 1.0)), np.nan)
