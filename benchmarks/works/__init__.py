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
    name, size : for the table.
    prepare : writes what all contestants read into a folder, once.
    contestants : name -> given that folder, what is run and timed. What it does before it returns
        that is not timed.
    goals : contestant -> how many times as long as Strata it should take at least (a floor: at
        most, below 1).
    gflop : operations of the least work that gives the answer, in 1e9, or None.
    scale : contestant -> runs that its time stands for, where it does one part of many alike.
    reference : the true result in float64, computed once; compared by `error`.
    error : (result, reference) -> the largest error.
    notes : contestant -> what a reader must know.
    warm_up : whether a run that is not counted comes first.
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
    """Largest absolute difference where the reference is a number."""
    known = ~np.isnan(reference)
    return float(np.abs(result - reference)[known].max())


def every() -> dict[str, Work]:
    """All works in the order of the table, by a short key."""
    from works import cka, depths, training, variability

    return {**cka.WORKS, **depths.WORKS, **training.WORKS, **variability.WORKS}
