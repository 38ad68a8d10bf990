"""Representations read a few rows at a time and centred, and tiles of their Gram matrices."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

MIN_FLOAT32_EXAMPLES = 1000  # examples; with fewer, float32 products save too little time
Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool:
    """As many threads as BLAS would use, each calling BLAS with a single thread.

    So reading, centring and summing also run in parallel, and no number depends on how many threads
    there are (unless memory is so short that more threads have smaller tiles).
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
        return list(self.each(work, items))

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Like `map`, but yields one result after another in the items' order and keeps none."""
        return self._executor.map(work, items)


class Centred:
    """Representations (depths, examples, features), read some examples at a time and centred.

    Products of many examples are computed in float32 if the values are stored in it (or in less),
    which is twice as fast; sums over many products are in float64.

    Parameters
    ----------
    picked : ndarray, optional
        Indices of the examples that are used, among those of `values`; by default all.

    Attributes
    ----------
    norms : ndarray of shape (depths, examples)
        Squared lengths of the centred rows, filled in while products are computed.
    """

    def __init__(
        self, values: np.ndarray, memory_mb: float, pool: Pool, picked: np.ndarray | None = None
    ):
        self.values, self.pool, self.picked = values, pool, picked
        self.depths, self.n, self.features = values.shape
        if picked is not None:
            self.n = len(picked)
        single = values.dtype.itemsize <= 4 and self.n >= MIN_FLOAT32_EXAMPLES
        self.dtype = np.dtype(np.float32 if single else np.float64)
        # Small enough that reading needs little memory compared with the products.
        each = self.depths * self.features * self.dtype.itemsize
        self.step = max(1, int(memory_mb * 2**20 / 16 / each))
        self.means = np.stack(pool.map(self._mean, range(self.depths)))
        self.norms = np.empty((self.depths, self.n))

    def _mean(self, depth: int) -> np.ndarray:
        total = np.zeros(self.features)
        for rows in row_slices(self.n, self.step):
            total += self._stored(depth, rows).sum(0, dtype=np.float64)
        return (total / self.n).astype(self.dtype)

    def _stored(self, depth: int, rows: slice) -> np.ndarray:
        return self.values[depth, rows if self.picked is None else self.picked[rows]]

    def part(self, depth: int, rows: slice, memory: np.ndarray) -> np.ndarray:
        """The rows (rows, features) of one depth, in `memory`."""
        centred = memory[: rows.stop - rows.start]
        return np.subtract(self._stored(depth, rows), self.means[depth], centred)

    def read(self, rows: slice) -> np.ndarray:
        """Rows (depths, rows, features), one depth per thread; not to be called in a thread."""
        centred = np.empty((self.depths, rows.stop - rows.start, self.features), self.dtype)
        self.pool.map(lambda depth: self.part(depth, rows, centred[depth]), range(self.depths))
        return centred

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.depths, self.n, self.features

    @property
    def totals(self) -> np.ndarray:
        return self.norms.sum(axis=1)

    @property
    def constant(self) -> np.ndarray:
        """Depths at which rows differ only by rounding in the stored type."""
        scale = self.n * (self.means.astype(np.float64) ** 2).sum(axis=1)
        return self.totals <= (8 * np.finfo(self.values.dtype).eps) ** 2 * scale


def row_slices(n: int, size: int, begin: int = 0) -> Iterator[slice]:
    for start in range(begin, n, size):
        yield slice(start, min(start + size, n))


class Held:
    """Some rows of all depths, centred and kept in memory, with the same `part` as `Centred`."""

    def __init__(self, centred: Centred, rows: slice):
        self.begin, self.values = rows.start, centred.read(rows)

    def part(self, depth: int, rows: slice, memory: np.ndarray) -> np.ndarray:
        return self.values[depth, rows.start - self.begin : rows.stop - self.begin]


class TileMemory:
    """The memory that one thread needs for a tile of the Gram matrices of all depths."""

    def __init__(self, centred: Centred, tile: int):
        self.depths = centred.depths
        self.grams = np.empty(centred.depths * tile * tile, centred.dtype)
        self.sides = np.empty((2, tile, centred.features), centred.dtype)

    def gram(
        self, left_of: Centred | Held, right_of: Centred | Held, left: slice, right: slice
    ) -> np.ndarray:
        """A tile (depths, rows, columns), valid until the next call."""
        rows, columns = left.stop - left.start, right.stop - right.start
        grams = self.grams[: self.depths * rows * columns].reshape(self.depths, rows, columns)
        for depth in range(self.depths):
            first = left_of.part(depth, left, self.sides[0])
            # Passing the same array twice lets BLAS do half of the work.
            second = first if left == right else right_of.part(depth, right, self.sides[1])
            np.matmul(first, second.T, grams[depth])
        return grams


def triangle(side: slice, size: int) -> Iterator[tuple[slice, slice]]:
    """Tiles (rows, columns) that cover a square's diagonal, everything above, and little below it.

    Tiles along the diagonal are smaller.
    """
    for large in row_slices(side.stop, size, side.start):
        for left in row_slices(large.start, size, side.start):
            yield left, large
        for right in row_slices(large.stop, max(size // 2, 1), large.start):
            if right.start > large.start:
                yield slice(large.start, right.start), right
            yield right, right
