"""Hidden-state variability (Xie et al. 2022, section 3.1): how much a layer knows of the classes.

    nu = trace(Sigma_w pinv(Sigma_b)) / |Y|

with Sigma_w the mean over classes of the covariance within a class, and Sigma_b that of the class
means about their unweighted mean; lower is more specialised. With the |Y| x d matrix of centred
means M = U S V', pinv(Sigma_b) = |Y| V S^-2 V', so nu is a mean of squared distances from the class
means, measured along V in units of S, and no d x d matrix is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.analysis.correlations import mean_ranks
from strata.data.task import Task
from strata.runtime.errors import StrataError
from strata.runtime.progress import Progress
from strata.study.settings import Sampling

ROWS_AT_ONCE = 1024  # rows that are projected together


@dataclass(frozen=True)
class Classes:
    """The rows of each class, and a note for readers on how they were made."""

    rows: dict[str, np.ndarray]  # name -> row numbers
    note: str = ""


def classes(task: Task, labels: np.ndarray, bins: int) -> Classes:
    """The classes of a task's rows.

    Classification: the labels. Multiple choice: right and wrong choices. Regression: quantile bins
    of the target (ours; the authors' code takes every distinct value for a class).

    Parameters
    ----------
    labels : [examples]; an example has ``task.choices`` rows.
    bins : of a regression's target, at most; equal values share one.

    Raises
    ------
    StrataError : fewer than two classes have two rows.
    """
    if task.kind.compares_rows:
        gold = (np.arange(task.choices) == labels[:, None]).reshape(-1)
        rows_of = {"wrong": np.flatnonzero(~gold), "right": np.flatnonzero(gold)}
    elif task.kind.continuous:
        # Equal values have one rank, the mean of theirs, and so one bin.
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


def variability(vectors: np.ndarray, rows: Sequence[np.ndarray]) -> float:
    """nu of one depth.

    Parameters
    ----------
    vectors : [rows, features], an array or memory map of any float type; one class at a time is
        read, and everything is computed in float64.
    rows : the row numbers of each class, two classes or more, none empty.

    Returns
    -------
    nu; NaN where all class means are the same.
    """
    return float(_values(vectors, rows, [np.ones((1, len(numbers))) for numbers in rows])[0])


def resampled(
    vectors: np.ndarray, rows: Sequence[np.ndarray], resamples: int, seed: int = 0
) -> np.ndarray:
    """nu of bootstrap samples of the examples of each class, [resamples]."""
    rng = np.random.default_rng(seed)
    sizes = [len(numbers) for numbers in rows]
    counts = [rng.multinomial(n, np.full(n, 1 / n), resamples) for n in sizes]
    return _values(vectors, rows, counts)


def variability_table(
    vectors: np.ndarray, depths: Sequence[int], groups: Classes, sampling: Sampling
) -> pd.DataFrame:
    """nu at every depth, and which depth is selected: the lowest of depths 1..L.

    Parameters
    ----------
    vectors : [depths, rows, features]
    sampling : of the examples of each class, and the confidence of the spread.

    Returns
    -------
    columns depth, nu, nu_low, nu_high (the spread of bootstrap samples about nu), selected,
    share_selected (of the resamples, how many select this depth), n (rows), classes, note.
    """
    rows, resamples = list(groups.rows.values()), sampling.resamples
    tails = [(1 - sampling.confidence) / 2, (1 + sampling.confidence) / 2]
    records, draws = [], []
    progress = Progress(len(depths), "depths")
    for slot, depth in enumerate(depths):
        drawn, nu = resampled(vectors[slot], rows, resamples), variability(vectors[slot], rows)
        # Resampling adds the noise of the class means a second time, which sets them farther apart
        # and nu lower: only the spread of the resamples is meaningful, not their level.
        low, high = nu + (np.quantile(drawn, tails) - drawn.mean())
        records.append({"depth": depth, "nu": nu, "nu_low": low, "nu_high": high})
        draws.append(drawn if depth > 0 else np.full(resamples, np.inf))
        progress.advance()
    table = pd.DataFrame(records)
    table["selected"] = table["depth"] == select(table)
    drawn = np.nan_to_num(np.stack(draws), nan=np.inf)
    table["share_selected"] = np.bincount(drawn.argmin(0), minlength=len(depths)) / resamples
    return table.assign(n=sum(map(len, rows)), classes=len(rows), note=groups.note)


def select(table: pd.DataFrame) -> int:
    """l*, the depth from 1 to L at which nu is lowest; the first of equals.

    Raises
    ------
    StrataError : nu is defined at no depth.
    """
    layers = table[(table["depth"] > 0) & table["nu"].notna()]
    if layers.empty:
        raise StrataError(
            "Variability is undefined at every depth: the classes' mean representations are the "
            "same; look at the task's texts and labels."
        )
    return int(layers["depth"].to_numpy()[layers["nu"].to_numpy().argmin()])


def _values(
    vectors: np.ndarray, rows: Sequence[np.ndarray], counts: Sequence[np.ndarray]
) -> np.ndarray:
    """nu where each row of a class counts so many times, [samples].

    Parameters
    ----------
    counts : of each class, [samples, rows]; a sample's sum is the class's number of rows.
    """
    drawn_rows = list(zip(rows, counts, strict=True))
    means = np.stack(
        [drawn @ _read(vectors, numbers) / len(numbers) for numbers, drawn in drawn_rows], axis=1
    )
    measures = [_measure(of_sample) for of_sample in means]
    # All samples' directions side by side: one product with a class's rows serves them all.
    directions = np.concatenate(measures, axis=1)
    first = np.cumsum([0] + [measure.shape[1] for measure in measures[:-1]])
    within = np.zeros(means.shape[:2])
    for y, (numbers, drawn) in enumerate(drawn_rows):
        part = _read(vectors, numbers)
        # Means dwarf variance: what is squared below is near 0 in every direction.
        centre = part.mean(0)
        part -= centre
        shifts = [
            (mean - centre) @ measure for mean, measure in zip(means[:, y], measures, strict=True)
        ]
        shift = np.concatenate(shifts)
        for begin in range(0, len(part), ROWS_AT_ONCE):
            some = slice(begin, begin + ROWS_AT_ONCE)
            along = (part[some] @ directions - shift) ** 2
            squares = np.add.reduceat(along, first, axis=1)
            within[:, y] += np.einsum("rb,br->b", squares, drawn[:, some])
        within[:, y] /= len(numbers)
    undefined = [not measure.any() for measure in measures]
    # (1/|Y|) over the classes, times |Y| of the pseudo-inverse, over |Y|
    return np.where(undefined, np.nan, within.mean(1))


def _read(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(vectors[rows], dtype=np.float64)


def _measure(means: np.ndarray) -> np.ndarray:
    """[features, rank]: the directions between class means, each in units of its spread.

    One direction of zeros where the means do not differ.
    """
    centred = means - means.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    # Rank is at most |Y| - 1; what is left beyond it is rounding.
    scale = np.linalg.norm(means)
    real = singular > scale * max(means.shape) * np.finfo(np.float64).eps
    return directions[real].T / singular[real] if real.any() else np.zeros((means.shape[1], 1))
