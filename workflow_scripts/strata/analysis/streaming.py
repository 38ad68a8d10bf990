"""Variability from all examples of a large set, keeping only a sample's vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strata.analysis.dump import Source, of_window
from strata.analysis.variability import Scatter, Sums, Values
from strata.runtime.progress import Progress
from strata.study.settings import ForwardSettings

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Kept:
    """The rows that are kept: vectors (depths, rows, features), and the class of each, or -1."""

    vectors: np.ndarray
    codes: np.ndarray


def values_of_all(
    kept: Kept,
    source: Source,
    codes: np.ndarray,
    noise: Sequence[Scatter],
    forward: ForwardSettings,
) -> Values:
    """nu and the corrected nu at every depth, from the kept rows and those of a source together.

    Parameters
    ----------
    source : Source
        The source of the other rows, which pass through the encoder once and are not kept.
    codes : ndarray of shape (rows of the source,)
        The class of each row, or -1.
    noise : sequence of Scatter
        The scatter at each depth, from the kept rows.
    """
    count = int(max(kept.codes.max(), codes.max())) + 1
    sizes = np.array([(kept.codes == y).sum() + (codes == y).sum() for y in range(count)])
    depths, rows, features = kept.vectors.shape
    sums = Sums(depths, features, sizes)
    for begin in range(0, rows, ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        sums.add(kept.vectors[:, part], kept.codes[part])
    progress = Progress(len(source.rows), "rows")
    for window in source.rows.windows(ROWS_AT_ONCE):
        vectors = of_window(source, window, ["mean"], forward)[0]["mean"]
        sums.add(vectors, codes[window.start : window.stop])
        progress.advance(len(window))
    return sums.values(noise)
