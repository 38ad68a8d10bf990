"""What is measured: each work with its contestants, the first of which is Strata."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """One row group of the table.

    Attributes
    ----------
    name, size : str
        Name and size, for the table.
    prepare : callable
        Writes into a folder, once, what all contestants read.
    contestants : mapping of str to callable
        By name, a function that takes that folder and returns what is run and timed. Its own time
        does not count.
    goals : mapping of str to float
        By contestant, how many times as long as Strata it should take at least (below 1: at most).
    gflop : float or None
        Operations of the least work that gives the answer, in 1e9.
    scale : mapping of str to float
        By contestant, the number of runs that its time stands for, if it does one of many equal
        parts.
    reference : callable or None
        The true result in float64, computed once; compared by `error`.
    error : callable or None
        Takes result and reference, and returns the largest error.
    notes : mapping of str to str
        By contestant, what a reader must know.
    warm_up : bool
        Whether an untimed run comes first.
    """

    name: str
    size: str
    prepare: Callable[[Path], None]
    contestants: Mapping[str, Callable[[Path], Run]]
    goals: Mapping[str, float] = field(default_factory=dict)
    gflop: float | None = None
    scale: Mapping[str, float] = field(default_factory=dict)
    reference: Callable[[Path], Any] | None = None
    error: Callable[[Any, Any], float] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    warm_up: bool = True


def largest_difference(result: np.ndarray, reference: np.ndarray) -> float:
    """Largest absolute difference where the reference is not NaN."""
    known = ~np.isnan(reference)
    return float(np.abs(result - reference)[known].max())


def every() -> dict[str, Work]:
    """All works in the order of the table, by a short key."""
    from works import cka, depths, training, variability

    return {**cka.WORKS, **depths.WORKS, **training.WORKS, **variability.WORKS}
