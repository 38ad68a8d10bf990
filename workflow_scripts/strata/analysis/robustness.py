"""How much the selected depth depends on the number of examples and the balance of classes.

Xie et al. 2022 say that variability selects well with few examples and unbalanced classes. Here
every measure selects a depth from random subsamples: of the requested sizes, with unchanged class
shares, and of one size with the smallest class made rarer than the others by given factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.probe import folds_of, out_of_fold, score
from strata.analysis.selection import (
    FOLDS,
    MEASURES,
    SHUFFLES,
    Labelled,
    mean_of_defined,
    select,
    selected_depth,
    stratified,
)
from strata.analysis.variability import scatter, values_of_samples
from strata.runtime.progress import Progress
from strata.study.settings import RobustnessSettings

# Enough for ten examples of the rarest class at 1:99.
RATIO_EXAMPLES = 1000
FEWEST = 10  # rows per class


@dataclass(frozen=True)
class Setting:
    """What is varied, and the subsamples' rows; none, with a reason, if it is not possible.

    Attributes
    ----------
    varied : str
        What is varied: "size" or "ratio".
    level : int
        The number of examples, or how many times rarer the smallest class is.
    rarest : int
        The number of rows of the rarest class.
    """

    varied: str
    level: int
    examples: int
    rarest: int
    samples: Sequence[np.ndarray]
    reason: str = ""


def settings_of(labelled: Labelled, asked: RobustnessSettings, seed: int = 0) -> list[Setting]:
    """The subsamples of every requested size and ratio."""
    rng, choices = np.random.default_rng(seed), labelled.choices
    strata, count = labelled.strata[::choices], len(labelled.rows) // choices
    found = []
    for size in asked.sizes:
        if size < count:
            drawn = [stratified(strata, size, rng) for _ in range(asked.repeats)]
            found.append(_setting("size", size, drawn, labelled.codes[0], choices))
    if choices > 1:
        reason = "not possible: an example has one right choice and the same number of wrong ones"
        return [*found, *(Setting("ratio", r, 0, 0, [], reason) for r in asked.ratios)]
    sizes = np.bincount(strata)
    wanted = [_shares(sizes, ratio) for ratio in asked.ratios]
    most = min([RATIO_EXAMPLES, *(int((sizes / shares).min()) for shares in wanted)])
    for ratio, shares in zip(asked.ratios, wanted, strict=True):
        counts = np.round(most * shares).astype(int)
        counts[sizes.argmax()] += most - counts.sum()
        drawn = [_drawn(strata, counts, rng) for _ in range(asked.repeats)]
        found.append(_setting("ratio", ratio, drawn, labelled.codes[0], choices))
    return found


def _shares(sizes: np.ndarray, ratio: int) -> np.ndarray:
    parts = np.full(len(sizes), float(ratio))
    parts[sizes.argmin()] = 1
    return parts / parts.sum()


def _drawn(strata: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate(
        [rng.permutation(np.flatnonzero(strata == y))[:n] for y, n in enumerate(counts)]
    )


def _setting(
    varied: str, level: int, drawn: list[np.ndarray], codes: np.ndarray, choices: int
) -> Setting:
    rows = [
        (np.sort(examples)[:, None] * choices + np.arange(choices)).reshape(-1)
        for examples in drawn
    ]
    examples, rarest = len(drawn[0]), int(np.bincount(codes[rows[0]]).min())
    if rarest >= FEWEST:
        return Setting(varied, level, examples, rarest, rows)
    reason = f"not possible: {rarest} of the rarest class, fewer than {FEWEST} rows"
    return Setting(varied, level, examples, rarest, [], reason)


def values_of_subsample(
    rows: np.ndarray, labelled: Labelled, chosen: np.ndarray, seed: int
) -> list[float]:
    """Each of `MEASURES`, from a subsample alone.

    Parameters
    ----------
    rows : ndarray of shape (rows, features)
        All rows of `labelled`, in float64.
    chosen : ndarray
        Indices of the subsample's rows, with all rows of its examples, ascending.
    """
    rng, choices = np.random.default_rng(seed), labelled.choices
    part, given = rows[chosen], labelled.given.take(chosen)
    own, shuffled = given.codes[:1], given.codes[1:]
    if choices == 1:  # within the subsample, because class shares differ there
        shuffled = np.stack([rng.permutation(own[0]) for _ in range(SHUFFLES)])
    values = values_of_samples(part, own, scatter(part, own[0], choices))
    level = mean_of_defined(values_of_samples(part, shuffled).nu)
    folds = np.repeat(folds_of(labelled.strata[chosen][::choices], FOLDS, seed), choices)
    kept = given.first()
    probe = score(kept, out_of_fold(part, kept, folds), slice(None))
    nu = float(values.nu[0])
    return [nu, nu / level, float(values.corrected[0]), float(probe[0])]


def robustness_table(
    vectors: np.ndarray,
    labelled: Labelled,
    settings: Sequence[Setting],
    whole: pd.DataFrame,
) -> pd.DataFrame:
    """Which depths each measure selects from the subsamples.

    Parameters
    ----------
    vectors : ndarray of shape (depths, rows, features)
        Vectors of all rows of the chosen examples.
    whole : DataFrame
        The table for all examples, which is the largest size.

    Returns
    -------
    DataFrame
        One row per setting, measure and depth: columns varied, level, examples, rarest, repeats,
        measure, depth, share (of the repeats that select the depth), undefined (share that select
        none), reason (why there are no repeats; then there is one row without measure and depth).
    """
    depths = whole["depth"].to_numpy()
    found = [np.full((len(depths), len(s.samples), len(MEASURES)), np.nan) for s in settings]
    progress = Progress(len(depths), "depths")
    for slot, of_depth in enumerate(vectors):
        if depths[slot] > 0:
            rows = np.asarray(of_depth[labelled.rows], dtype=np.float64)
            for values, setting in zip(found, settings, strict=True):
                for i, chosen in enumerate(setting.samples):
                    values[slot, i] = values_of_subsample(rows, labelled, chosen, i)
        progress.advance()
    records: list[dict[str, Any]] = []
    for values, setting in zip(found, settings, strict=True):
        records += _records(setting, values[depths > 0], depths[depths > 0])
    return pd.DataFrame([*records, *_whole_records(whole, labelled)])


def _records(setting: Setting, values: np.ndarray, depths: np.ndarray) -> list[dict[str, Any]]:
    """The table's rows for one setting, from values (depths, repeats, measures)."""
    about = {
        "varied": setting.varied,
        "level": setting.level,
        "examples": setting.examples,
        "rarest": setting.rarest,
        "repeats": len(setting.samples),
    }
    if setting.reason:
        return [about | {"reason": setting.reason}]
    records = []
    for m, measure in enumerate(MEASURES):
        places = select(values[:, :, m], measure)
        undefined = float((places < 0).mean())
        for slot, depth in enumerate(depths):
            of_depth = {"measure": measure, "depth": depth, "share": float((places == slot).mean())}
            records.append(about | of_depth | {"undefined": undefined, "reason": ""})
    return records


def _whole_records(whole: pd.DataFrame, labelled: Labelled) -> list[dict[str, Any]]:
    """The same for all measured examples: a single selection."""
    examples = len(labelled.rows) // labelled.choices
    about = {"varied": "size", "level": examples, "examples": examples, "repeats": 1}
    about["rarest"] = int(np.bincount(labelled.codes[0]).min())
    records = []
    for measure in MEASURES:
        selected = selected_depth(whole, measure)
        for depth in whole.loc[whole["depth"] > 0, "depth"]:
            of_depth = {"measure": measure, "depth": depth, "share": float(depth == selected)}
            of_depth["undefined"] = float(selected is None)
            records.append(about | of_depth | {"reason": ""})
    return records
