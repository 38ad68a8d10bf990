"""Which depth variability selects, and whether other measures agree.

Four measures each select a depth of 1..L: the lowest nu (the paper's l*); the lowest nu relative to
that of shuffled labels, which has the same geometry but no classes; the lowest nu corrected for the
noise of the class means; and the best cross-validated linear probe. A depth is claimed if all four
select it, in the sample and in at least 97.5 % of its half-samples (both ends of a 95 % interval:
of two equal depths either may be ahead). Half-samples are drawn from the examples without
replacement: their spread is the standard error at the full number, and no example is in one twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.analysis.probe import Labelling, folds_of, out_of_fold, score
from strata.analysis.variability import Scatter, Values, classes, scatter, values_of_samples
from strata.data.task import Task
from strata.runtime.errors import StrataError
from strata.runtime.progress import Progress

MEASURES = ("nu", "relative", "corrected", "probe")
SHUFFLES = 20
FOLDS = 5
AGREED = 0.975


class Labelled:
    """The rows that are measured, with their classes, shuffled labels, folds and halves.

    Parameters
    ----------
    task : Task
        The task; its examples have ``task.choices`` rows each.
    labels : ndarray of shape (examples,)
        Labels of all examples, which decide what the classes are.
    bins : int
        The number of bins of a regression's target.
    most : int, optional
        The largest number of examples that are measured; of more, a stratified sample is taken.

    Attributes
    ----------
    choices : int
        The number of rows per example.
    groups : Classes
        The classes of all rows.
    chosen, others : ndarray
        Indices of the examples that are measured, and of those that are not.
    rows : ndarray
        Indices, among the rows of the chosen examples, of those that are in a class.
    codes : ndarray of shape (1 + shuffles, rows)
        The class of each of these rows, then the same for shuffled labels.
    given : Labelling
        The same for the probe, with the targets of a regression.
    examples, strata, folds : ndarray
        For each of `rows`: its example, the stratum that is halved separately, and its fold.
    """

    def __init__(
        self, task: Task, labels: np.ndarray, bins: int, most: int | None = None, seed: int = 0
    ):
        rng, choices = np.random.default_rng(seed), task.choices
        self.choices = choices
        self.groups = classes(task, labels, bins)
        own = self.groups.codes(len(labels) * choices)
        strata = np.zeros(len(labels), int) if task.kind.compares_rows else own
        self.chosen = np.arange(len(labels))
        if most is not None and most < len(labels):
            self.chosen = np.sort(stratified(strata, most, rng))
        self.others = np.setdiff1d(np.arange(len(strata)), self.chosen)
        strata = strata[self.chosen]
        kept = np.flatnonzero(strata >= 0)
        labels = labels[self.chosen][kept]
        orders = [np.arange(len(kept)), *(rng.permutation(len(kept)) for _ in range(SHUFFLES))]
        self.rows = (kept[:, None] * choices + np.arange(choices)).reshape(-1)
        self.examples = np.repeat(kept, choices)
        self.strata = np.repeat(strata[kept], choices)
        self.folds = np.repeat(folds_of(strata[kept], FOLDS, seed), choices)
        if task.kind.compares_rows:
            gold = np.stack([labels[order] for order in orders])
            self.codes = (
                (gold[..., None] == np.arange(choices)).reshape(len(orders), -1).astype(int)
            )
        else:
            self.codes = np.stack([strata[kept][order] for order in orders])
        continuous = task.kind.continuous
        targets = np.stack([labels[order] for order in orders]) if continuous else None
        self.given = Labelling(self.codes, targets)

    def halves(self, count: int, seed: int = 0) -> np.ndarray:
        """Masks (count, rows) of the rows of half of each stratum's examples."""
        rng = np.random.default_rng(seed)
        examples, first = np.unique(self.examples, return_index=True)
        strata = self.strata[first]
        taken = np.zeros((count, self.examples.max() + 1), dtype=bool)
        for stratum in np.unique(strata):
            own = examples[strata == stratum]
            for each in taken:
                each[rng.permutation(own)[: max(1, len(own) // 2)]] = True
        return taken[:, self.examples]


def stratified(strata: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """About `count` of the indices of `strata`, from each stratum in proportion, at least two.

    Parameters
    ----------
    strata : ndarray of shape (examples,)
        The stratum of each example; -1 for those that are never taken.
    """
    there = int((strata >= 0).sum())
    taken = []
    for stratum in np.unique(strata[strata >= 0]):
        own = np.flatnonzero(strata == stratum)
        taken.append(rng.permutation(own)[: max(2, round(len(own) * count / there))])
    return np.concatenate(taken)


@dataclass(frozen=True)
class Depth:
    """The measures of one depth, and those of its half-samples, (halves,)."""

    nu: float
    corrected: float
    shuffled: np.ndarray
    probe: float
    probe_shuffled: np.ndarray
    halves: dict[str, np.ndarray]
    scatter: Scatter


def measure_depth(vectors: np.ndarray, labelled: Labelled, halves: np.ndarray) -> Depth:
    """Everything that is measured at one depth.

    Parameters
    ----------
    vectors : ndarray of shape (rows, features)
        Vectors of all rows of the task's examples.
    halves : ndarray of shape (halves, rows)
        Half-samples from ``labelled.halves``.
    """
    rows = np.asarray(vectors[labelled.rows], dtype=np.float64)
    codes, noise = labelled.codes, scatter(rows, labelled.codes[0], labelled.choices)
    own, shuffled = values_of_samples(rows, codes[:1], noise), values_of_samples(rows, codes[1:])
    half = values_of_samples(rows, np.where(halves, codes[0], -1), noise)
    # As many rows as in a half, since nu grows with their number.
    cut = np.resize(np.arange(len(halves)), len(codes) - 1)
    level = mean_of_defined(values_of_samples(rows, np.where(halves[cut], codes[1:], -1)).nu)
    predicted = out_of_fold(rows, labelled.given, labelled.folds)
    scores = score(labelled.given, predicted, slice(None))
    kept = labelled.given.first()
    probes = np.array([score(kept, predicted[:1], taken)[0] for taken in halves])
    return Depth(
        nu=float(own.nu[0]),
        corrected=float(own.corrected[0]),
        shuffled=shuffled.nu,
        probe=float(scores[0]),
        probe_shuffled=scores[1:],
        halves={
            "nu": half.nu,
            "relative": half.nu / level,
            "corrected": half.corrected,
            "probe": probes,
        },
        scatter=noise,
    )


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of values that are not NaN; NaN if all are."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else np.nan


def select(values: np.ndarray, measure: str) -> np.ndarray:
    """The index of the depth that a measure selects, the first among equals; -1 if all are NaN.

    Parameters
    ----------
    values : ndarray of shape (depths, ...)
        The measure's values.
    """
    signed = -values if measure == "probe" else values
    undefined = np.isnan(signed).all(0)
    return np.where(undefined, -1, np.nan_to_num(signed, nan=np.inf).argmin(0))


def variability_table(
    measured: Sequence[Depth],
    depths: Sequence[int],
    confidence: float,
    whole: Values | None = None,
    shrink: float = 1.0,
) -> pd.DataFrame:
    """Every measure at every depth, and which depth of 1..L each selects.

    Parameters
    ----------
    measured : sequence of Depth
        The measures of each depth.
    depths : sequence of int
        The depths' numbers.
    confidence : float
        Confidence of the intervals.
    whole : Values, optional
        nu and the corrected nu of all rows, if only some of them were measured.
    shrink : float, default 1.0
        Factor to intervals for the larger number of rows: sqrt(measured rows / all rows).

    Returns
    -------
    DataFrame
        Columns depth, nu, nu_low, nu_high (from half-samples, about nu), shuffled and shuffled_sd
        (nu of shuffled labels), relative (nu / shuffled, of the same rows), corrected,
        corrected_low, corrected_high, probe, probe_low, probe_high, probe_shuffled,
        probe_shuffled_sd, selected (nu's lowest, l*), share_shuffled (share of shuffled labellings
        with the lowest nu at this depth), share_<measure> (share of half-samples in which the
        measure selects the depth), share_all (share in which all measures select it).

    Raises
    ------
    StrataError
        nu is undefined at every depth.
    """
    table = pd.DataFrame([_row(each) for each in measured])
    if whole is not None:
        table["nu"], table["corrected"] = whole.nu, whole.corrected
    for name in ("nu", "corrected", "probe"):
        drawn = np.stack([each.halves[name] for each in measured], axis=1)
        low, high = _interval(drawn, confidence, shrink)
        place = table.columns.tolist().index(name) + 1
        table.insert(place, f"{name}_low", table[name] + low)
        table.insert(place + 1, f"{name}_high", table[name] + high)
    table.insert(0, "depth", list(depths))
    table["selected"] = table["depth"] == selected_depth(table, "nu")
    if not table["selected"].any():
        raise StrataError(
            "Variability is undefined at every depth: the classes' mean representations are the "
            "same; look at the task's texts and labels."
        )
    layers = np.flatnonzero(np.asarray(depths) > 0)
    places = [_places(np.stack([each.halves[m] for each in measured]), m, layers) for m in MEASURES]
    draws = _places(np.stack([each.shuffled for each in measured]), "nu", layers)
    table["share_shuffled"] = _shares(draws, len(table))
    for name, found in zip(MEASURES, places, strict=True):
        table[f"share_{name}"] = _shares(found, len(table))
    alike = np.where((np.stack(places) == places[0]).all(0), places[0], -1)
    table["share_all"] = _shares(alike, len(table))
    return table


def _row(depth: Depth) -> dict[str, float]:
    return {
        "nu": depth.nu,
        "shuffled": float(np.mean(depth.shuffled)),
        "shuffled_sd": float(np.std(depth.shuffled, ddof=1)),
        "relative": depth.nu / float(np.mean(depth.shuffled)),
        "corrected": depth.corrected,
        "probe": depth.probe,
        "probe_shuffled": float(np.mean(depth.probe_shuffled)),
        "probe_shuffled_sd": float(np.std(depth.probe_shuffled, ddof=1)),
    }


def _interval(drawn: np.ndarray, confidence: float, shrink: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end about the value, (depths,): half-samples give the spread, not the level."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    ends = np.full((2, drawn.shape[1]), np.nan)
    for slot, values in enumerate(drawn.T):
        there = values[~np.isnan(values)]
        if len(there):
            ends[:, slot] = shrink * (np.quantile(there, tails) - there.mean())
    return ends[0], ends[1]


def _places(drawn: np.ndarray, measure: str, layers: np.ndarray) -> np.ndarray:
    """The index in the table that each half-sample selects, -1 for none; (halves,)."""
    found = select(drawn[layers], measure)
    return np.where(found < 0, -1, layers[found])


def _shares(places: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(places[places >= 0], minlength=count) / len(places)


def selected_depth(table: pd.DataFrame, measure: str) -> int | None:
    """The depth of 1..L that a measure (or `shuffled`) selects; None if it is undefined."""
    layers = table[table["depth"] > 0]
    place = int(select(layers[measure].to_numpy(dtype=float), measure))
    return None if place < 0 else int(layers["depth"].iloc[place])


def finding_table(model: str, task: str, table: pd.DataFrame) -> pd.DataFrame:
    """One row: the depth of each measure, and the finding in words.

    Returns
    -------
    DataFrame
        Columns model, task, depth_nu, depth_shuffled, depth_relative, depth_corrected, depth_probe,
        agreed (share of half-samples in which all measures select the depth of the lowest nu),
        claimed (that depth, or none), finding.
    """
    depths = {name: selected_depth(table, name) for name in ("shuffled", *MEASURES)}
    agreed = float(table.loc[table["depth"] == depths["nu"], "share_all"].iloc[0])
    same = len({depths[name] for name in MEASURES}) == 1
    claimed = depths["nu"] if same and agreed >= AGREED else None
    found = {f"depth_{name}": depths[name] for name in ("nu", "shuffled", *MEASURES[1:])}
    row = {"model": model, "task": task, **found, "agreed": agreed, "claimed": claimed}
    row["finding"] = f"{model} on {task}: {_words(depths, same, agreed, claimed)}"
    whole = [*found, "claimed"]
    return pd.DataFrame([row]).astype(dict.fromkeys(whole, "Int64"))


def _words(depths: dict[str, int | None], same: bool, agreed: float, claimed: int | None) -> str:
    def at(name: str) -> str:
        return "nowhere defined" if depths[name] is None else f"at depth {depths[name]}"

    words = (
        f"variability is lowest at depth {depths['nu']}, of shuffled labels {at('shuffled')}, "
        f"relative to them {at('relative')}; without the noise of class means it is lowest "
        f"{at('corrected')}, and a linear probe is best {at('probe')}"
    )
    if claimed is not None:
        return f"{words}: all say depth {claimed}, in {agreed:.0%} of half-samples."
    if same:
        return f"{words}: together in only {agreed:.0%} of half-samples, so none is claimed."
    return f"{words}: they differ, so none is claimed."


def measure_depths(vectors: np.ndarray, labelled: Labelled, resamples: int) -> list[Depth]:
    """``measure_depth`` for every depth of vectors (depths, rows, features)."""
    halves, progress, found = labelled.halves(resamples), Progress(len(vectors), "depths"), []
    for of_depth in vectors:
        found.append(measure_depth(of_depth, labelled, halves))
        progress.advance()
    return found
