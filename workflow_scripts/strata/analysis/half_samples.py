"""CKA of half-samples of the examples; its spread is the standard error of CKA.

A half-sample is m // 2 of m examples, drawn without replacement. The variance of an average over
it, given the m, equals that of an average over all m (the factor 1/h - 1/m is 1/m at h = m/2). To
first order the same holds for a ratio of U-statistics such as CKA (Politis and Romano 1994 on
subsampling). A bootstrap would draw examples twice; the duplicates are alike in any representation
and raise debiased CKA.

With w the 0/1 weights of a half-sample of h examples, K and L Gram matrices, and K', L' the same
without their diagonals, HSIC of its examples needs only sums over all examples:

    biased:    w'(K∘L)w - 2/h sum_i w_i (Kw)_i (Lw)_i + (w'Kw)(w'Lw) / h^2
    debiased:  the same sums of K' and L', with 2/(h-2) and 1/((h-1)(h-2)) (Song et al. 2012)

So all half-samples of all pairs of depths come from one pass over tiles of the Gram matrices:
(K∘L)W with W the weights of all half-samples, and KW = X(X'W), which needs no Gram matrix.
"""

from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np

from strata.analysis.centred import Centred, Pool, TileMemory, row_slices, triangle
from strata.analysis.cka import Products, add_products, examples_of, ratio

MOST = 4000  # the most examples for half-samples: the cost grows with the square
FEWEST = 8  # examples; debiased CKA needs half as many
ROWS = 512  # rows of a product with all half-samples
TILE = 256  # examples along a side of a tile: products of all pairs of depths stay in caches


@dataclass(frozen=True)
class HalfSamples:
    """CKA of every half-sample.

    Attributes
    ----------
    biased, debiased : ndarray of shape (resamples, depths of y, depths of x)
        CKA by each estimator; NaN where a half-sample leaves it undefined.
    scale : float
        Factor from the spread over half-samples to the standard error at the full number of
        examples: 1, or sqrt(m / n) if half-samples are drawn from m of n examples.
    """

    biased: np.ndarray
    debiased: np.ndarray
    scale: float


def standard_error(values: np.ndarray, scale: float) -> np.ndarray:
    """The standard error of values (resamples, ...) from half-samples: their scaled spread.

    It is NaN where a half-sample leaves a value undefined.
    """
    return scale * values.std(axis=0, ddof=1)


def half_samples(
    y: np.ndarray,
    x: np.ndarray,
    resamples: int = 100,
    seed: int = 0,
    memory_mb: float = 2048,
    choices: int = 1,
) -> HalfSamples:
    """CKA of every depth of `y` with every depth of `x`, in every half-sample of the examples.

    Which examples a half-sample has depends only on their number, `resamples` and `seed`, so
    different states have the same half-samples, and values computed from two states are paired.
    With more than 4,000 examples, half-samples are drawn from a fixed 4,000.

    Parameters
    ----------
    y, x : ndarray of shape (depths, examples, features)
        As for `cka.alignment`; rows of an example stay together.
    resamples : int, default 100
        Number of half-samples.
    seed : int, default 0
        Draws the half-samples.
    memory_mb : float, default 2048
        As for `cka.alignment`.
    choices : int, default 1
        As for `cka.alignment`.

    Raises
    ------
    ValueError
        The arrays have other shapes or different numbers of examples, or there are fewer than 8
        examples or fewer than 2 half-samples.
    """
    n = examples_of(y, x, choices)
    if n < FEWEST:
        raise ValueError(f"{n} examples are too few: half-samples need at least {FEWEST}.")
    if resamples < 2:
        raise ValueError(
            f"{resamples} half-samples are too few for a standard error: at least 2 are needed."
        )
    picked, weights = draw_halves(n, resamples, seed)
    with Pool() as pool:
        positions = []
        for choice in range(choices):
            ys = Centred(y[:, choice::choices], memory_mb, pool, picked)
            xs = ys if y is x else Centred(x[:, choice::choices], memory_mb, pool, picked)
            positions.append(_position(ys, xs, weights.astype(ys.dtype), memory_mb))
    biased, debiased, varies_y, varies_x = zip(*positions, strict=True)
    varying = np.any(varies_y, axis=0)[:, None] & np.any(varies_x, axis=0)[None, :]
    first, second = (
        np.where(varying, ratio(add_products(each)), np.nan) for each in (biased, debiased)
    )
    return HalfSamples(first, second, 1.0 if picked is None else (MOST / n) ** 0.5)


def draw_halves(n: int, resamples: int, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Which examples each half-sample has.

    Returns
    -------
    tuple of ndarray or None and ndarray
        Indices of the m examples that half-samples are drawn from (None for all), and 0/1 weights
        (m, resamples).
    """
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.choice(n, MOST, replace=False)) if n > MOST else None
    m = min(n, MOST)
    weights = np.zeros((m, resamples), np.int8)
    for half in range(resamples):
        weights[rng.choice(m, m // 2, replace=False), half] = 1
    return picked, weights


def _position(
    y: Centred, x: Centred, weights: np.ndarray, memory_mb: float
) -> tuple[Products, Products, np.ndarray, np.ndarray]:
    """HSIC of independent rows in every half-sample by both estimators, and which depths vary."""
    h = y.n // 2
    linear = _linear_sums(y, x, weights, memory_mb)
    squares = _tile_sums(y, x, weights, memory_mb)
    biased, debiased = [], []
    for square, diagonal, rows, totals, totals_off, rows_off in zip(squares, *linear, strict=True):
        biased.append(square + diagonal - 2 / h * rows + totals / h**2)
        debiased.append(square - 2 / (h - 2) * rows_off + totals_off / ((h - 1) * (h - 2)))
    return Products(*biased), Products(*debiased), ~y.constant, ~x.constant


def _linear_sums(
    y: Centred, x: Centred, weights: np.ndarray, memory_mb: float
) -> tuple[Products, ...]:
    """Sums that need no Gram matrix; fills in the `norms` of both sides.

    Returns
    -------
    tuple of Products
        With w a half-sample, k the diagonal of K, and K' = K without it: sum w_i k_i l_i, sum w_i
        (Kw)_i (Lw)_i, (w'Kw)(w'Lw), (w'K'w)(w'L'w), sum w_i (K'w)_i (L'w)_i, each of shape
        (resamples, ...).
    """
    sides = (y,) if y is x else (y, x)
    projected = [_projected(side, weights) for side in sides]
    numbers = sum(s.depths * (s.features + 12 * weights.shape[1]) for s in sides)
    step = max(1, int(memory_mb * 2**20 / 4 / numbers / y.dtype.itemsize))
    sums: list[Products] = []
    for rows in row_slices(y.n, step):
        of = [_weighted(*each, rows, weights[rows]) for each in zip(sides, projected, strict=True)]
        parts = [_crossed(*pair) for pair in zip(of[0], of[-1], strict=True)]
        sums = [add_products(pair) for pair in zip(sums, parts, strict=True)] if sums else parts
    diagonal, linear, off = sums
    totals = [(own.astype(np.float64) ** 2).sum(1).T for own in projected]
    traces = [weights.T @ side.norms.T for side in sides]
    totals_off = [total - trace for total, trace in zip(totals, traces, strict=True)]
    squared = (_crossed(own[0][..., None], own[-1][..., None]) for own in (totals, totals_off))
    return (diagonal, linear, *squared, off)


def _projected(side: Centred, weights: np.ndarray) -> np.ndarray:
    """X'W of every depth, (depths, features, resamples); fills in `side.norms`."""

    def of_depth(depth: int) -> np.ndarray:
        total = np.zeros((side.features, weights.shape[1]))
        for rows in row_slices(side.n, ROWS):
            part = side.part(depth, rows, np.empty((ROWS, side.features), side.dtype))
            side.norms[depth, rows] = np.einsum("nd,nd->n", part, part)
            total += part.T @ weights[rows]
        return total.astype(side.dtype)

    return np.stack(side.pool.map(of_depth, range(side.depths)))


def _weighted(
    side: Centred, projected: np.ndarray, rows: slice, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w∘k, w∘Kw and w∘K'w at some rows, each (resamples, depths, rows)."""
    count = rows.stop - rows.start
    memory = np.empty((side.depths, count, side.features), side.dtype)

    def of_depth(depth: int) -> np.ndarray:
        return side.part(depth, rows, memory[depth]) @ projected[depth]

    linear = np.stack(side.pool.map(of_depth, range(side.depths)))
    linear = np.ascontiguousarray(linear.transpose(2, 0, 1), np.float64)
    chosen = weights.T[:, None, :].astype(np.float64)
    diagonal = chosen * side.norms[:, rows]
    linear *= chosen
    return diagonal, linear, linear - diagonal


def _crossed(y: np.ndarray, x: np.ndarray) -> Products:
    """Inner products over rows of every depth with every other, from (resamples, depths, rows)."""
    return Products(y @ x.swapaxes(1, 2), (y**2).sum(-1), (x**2).sum(-1))


def _tile_sums(y: Centred, x: Centred, weights: np.ndarray, memory_mb: float) -> Products:
    """w'(K'∘L')w for every pair of depths and half-sample w, by tiles of the Gram matrices."""
    same, pool, resamples = y is x, y.pool, weights.shape[1]
    tile = _tile(y, x, resamples, memory_mb)
    spare: SimpleQueue[_Memory] = SimpleQueue()
    for _ in range(pool.threads):
        spare.put(_Memory(y, x, tile, resamples))

    def of_tile(place: tuple[slice, slice]) -> Products:
        memory = spare.get()
        sums = memory.sums(*place, weights)
        spare.put(memory)
        return sums

    total = add_products(pool.each(of_tile, triangle(slice(0, y.n), tile)))
    cross, self_y, self_x = (np.moveaxis(values, -1, 0) for values in total)
    if same:
        cross = np.triu(cross) + np.triu(cross, 1).swapaxes(1, 2)
        self_y = self_x = np.diagonal(cross, axis1=1, axis2=2)
    return Products(cross, self_y, self_x)


def _tile(y: Centred, x: Centred, resamples: int, memory_mb: float) -> int:
    """Side of a tile such that what all threads need for one fits into half the memory."""
    numbers = memory_mb * 2**20 / y.dtype.itemsize / 2 / y.pool.threads
    deepest = max(y.depths, x.depths)
    square = y.depths + x.depths + deepest
    linear = 2 * (y.features + x.features) + 2 * deepest * resamples
    return max(16, int(min(TILE, (numbers / 2 / square) ** 0.5, numbers / 2 / linear)))


class _Memory:
    """The memory that one thread needs for a tile of the Gram matrices of all depths."""

    def __init__(self, y: Centred, x: Centred, tile: int, resamples: int):
        self.y, self.x, self.same = y, x, y is x
        self.grams_y = TileMemory(y, tile)
        self.grams_x = self.grams_y if self.same else TileMemory(x, tile)
        self.resamples = resamples
        self.stack = np.empty(max(y.depths, x.depths) * tile * tile, y.dtype)

    def sums(self, left: slice, right: slice, weights: np.ndarray) -> Products:
        """What a tile adds, with resamples last; only the upper triangle if y is x."""
        gram_y = gram_x = self._off_diagonal(self.grams_y, self.y, left, right)
        if not self.same:
            gram_x = self._off_diagonal(self.grams_x, self.x, left, right)
        sides = weights[left], weights[right]
        cross = np.zeros((len(gram_y), len(gram_x), self.resamples))
        for i, own in enumerate(gram_y):
            begin = i if self.same else 0
            cross[i, begin:] = self._weighted(own, gram_x[begin:], *sides)
        grams = () if self.same else (gram_y, gram_x)
        selves = [self._weighted(gram, gram, *sides) for gram in grams] or [np.zeros((1, 1))] * 2
        # Gram matrices are symmetric: tiles off the diagonal count twice.
        factor = 1 if left == right else 2
        return Products(factor * cross, factor * selves[0], factor * selves[1])

    def _off_diagonal(
        self, memory: TileMemory, side: Centred, left: slice, right: slice
    ) -> np.ndarray:
        grams = memory.gram(side, side, left, right)
        if left == right:
            np.einsum("lii->li", grams)[:] = 0
        return grams

    def _weighted(
        self, first: np.ndarray, second: np.ndarray, left: np.ndarray, right: np.ndarray
    ) -> np.ndarray:
        """u'(A∘B)v for every matrix of `second`; u and v are columns of `left` and `right`."""
        stack = self.stack[: second.size].reshape(second.shape)
        np.multiply(first, second, stack)
        columns = (stack.reshape(-1, second.shape[2]) @ right).reshape(len(second), *left.shape)
        return np.einsum("krb,rb->kb", columns, left).astype(np.float64)
