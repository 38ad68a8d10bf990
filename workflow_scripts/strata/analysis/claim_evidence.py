"""The evidence for claims about one model on one task: finished tables and stored predictions.

****Scores** are compared on the same bootstrap samples of the examples, with the bounds of
certified depths (``depth_bounds``) on both sides. The interval of the smallest or largest of
several differences is valid whichever of them it is: if all lower ends are above a threshold, so is
the smallest; its upper end is the smallest of the upper ends, each corrected for multiplicity.

****CKA** has a standard error in every cell (from half-samples of the examples). For a mean of
cells, and for a difference of two means, the errors are assumed to add up in the worst way (the
mean of the standard errors; the sum of both means' errors), because all cells share their examples
and the tables do not say how their errors correlate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from pyarrow.parquet import read_schema

from strata.analysis.claims import NAN, Reading
from strata.analysis.depth_bounds import ARRAYS, Answers
from strata.analysis.tables import read_tables
from strata.study.settings import ClaimSettings, Sampling
from strata.study.states import PRETRAINED, State

NO_RUN = "a run that beats the baseline"
ENCODER = "the encoder that was fine-tuned (its model's 'pretrained')"
TRAIN = "examples to train on (the task's 'splits.train')"
ORIG = str(PRETRAINED)


@dataclass(frozen=True)
class Pair:
    """A model on a task: its tables, and the predictions behind its scores.

    Attributes
    ----------
    tables : mapping of str to DataFrame
        By name, as in the study's files: "cka", "blocks", "truncation", "skipping"; "answers"
        (seed, configuration, depth, label, prediction) and "skipped" (seed, first, last, label,
        prediction), with examples in the same order everywhere.
    """

    model: str
    task: str
    tables: Mapping[str, pd.DataFrame]
    settings: ClaimSettings
    _answers: dict[str, Answers] = field(default_factory=dict, repr=False, compare=False)

    @property
    def good(self) -> list[int]:
        """Seeds of the runs that did not fail; the others are left out."""
        full = self.tables["truncation"].query("configuration == 'full'")
        return [int(seed) for seed in full.loc[~full["failed"].astype(bool), "seed"]]

    @property
    def layers(self) -> int:
        if "truncation" in self.tables:
            return int(self.tables["truncation"]["depth"].max())
        return int(self.tables["blocks"]["layers"].max())

    @property
    def metric(self) -> str:
        return str(self.tables["truncation"]["metric"].iloc[0])

    @property
    def baseline(self) -> float:
        table = self.tables["truncation"]
        return float(table.loc[table["configuration"] == "baseline", "value"].iloc[0])

    def has(self, configuration: str) -> bool:
        return bool((self.tables["truncation"]["configuration"] == configuration).any())

    def lacking(self, reads: Sequence[str]) -> str:
        """What the study would need for a measure that reads missing things; empty if nothing is
        missing.
        """
        for name in reads:
            there = name in set(self.tables["cka"]["x_state"]) if name == ORIG else self.has(name)
            if not there:
                return TRAIN if name == "tuned" else ENCODER
        return ""

    def answers(self, configuration: str) -> Answers:
        """Scores of the runs that did not fail, at depths 1..L of a configuration."""
        if configuration not in self._answers:
            table = self.tables["answers"]
            chosen = table[table["configuration"] == configuration]
            self._answers[configuration] = self._scored(chosen, ["depth"])
        return self._answers[configuration]

    def full(self) -> Answers:
        """Scores of the full models: UNTUNED at depth L."""
        return self.answers("untuned").at(slice(-1, None))

    def skipped(self) -> dict[tuple[int, int], Answers]:
        """Scores of the models without each span (first, last)."""
        table = self.tables["skipped"]
        if "skipped" not in self._answers:
            self._answers["skipped"] = self._scored(table, ["first", "last"])
        spans = table[["first", "last"]].drop_duplicates().sort_values(["first", "last"])
        scored = self._answers["skipped"]
        return {
            (int(first), int(last)): scored.at(slice(place, place + 1))
            for place, (first, last) in enumerate(spans.itertuples(index=False))
        }

    def _scored(self, table: pd.DataFrame, keys: list[str]) -> Answers:
        seeds = [table[table["seed"] == seed] for seed in self.good]
        predictions = np.stack(
            [
                np.stack([own["prediction"].to_numpy() for _, own in of_seed.groupby(keys)])
                for of_seed in seeds
            ]
        )
        _, first = next(iter(seeds[0].groupby(keys)))
        return Answers.of(self.metric, first["label"].to_numpy(), predictions, self.settings)

    def reading(self, value: float, low: float, high: float, note: str = "") -> Reading:
        """A reading of the runs that did not fail."""
        table, seeds = self.tables.get("truncation", self.tables.get("blocks")), self.seeds
        assert table is not None
        return Reading(
            value=float(value),
            low=float(low),
            high=float(high),
            n_examples=int(table["n_examples"].max()),
            seeds=" ".join(map(str, seeds)),
            about=self.settings.about(len(seeds)),
            note=note,
        )

    @property
    def seeds(self) -> list[int]:
        """Like `good`, from whichever table exists."""
        if "truncation" in self.tables:
            return self.good
        blocks = self.tables["blocks"].dropna(subset="seed")
        kept = blocks[~blocks["failed"].astype(bool)]
        return sorted({int(seed) for seed in kept["seed"]})


def evidence_tables(
    files: Mapping[str, Sequence[str | Path]], seeds: Sequence[int]
) -> dict[str, pd.DataFrame]:
    """The tables of a ``Pair`` from the study's files.

    Parameters
    ----------
    files : mapping of str to sequence of path-like
        Files by the name of their table. CSV files are read as they are. Parquet files are
        predictions, one file per seed: those named "skipped" make that table, all others are parts
        of "answers".
    """
    tables, answers = {}, []
    for name, paths in files.items():
        if all(Path(path).suffix == ".csv" for path in paths):
            tables[name] = read_tables(paths)
            continue
        read = _read_answers(paths, seeds)
        if name == "skipped":
            tables[name] = read
        else:
            answers.append(read)
    if answers:
        table = pd.concat(answers, ignore_index=True)
        tables["answers"] = table.astype({"configuration": "category"})
    return tables


def _read_answers(paths: Sequence[str | Path], seeds: Sequence[int]) -> pd.DataFrame:
    """Predictions without logits, from one file per seed."""
    keys = ["configuration", "depth", "first", "last"]
    parts = []
    for seed, path in zip(seeds, paths, strict=True):
        there = [name for name in keys if name in read_schema(path).names]
        columns = [*there, "example_id", "label", "prediction"]
        # Bootstrap samples are paired by the examples' positions.
        table = pd.read_parquet(path, columns=columns).sort_values("example_id", kind="stable")
        parts.append(_compact(table.drop(columns="example_id")).assign(seed=np.int64(seed)))
    return pd.concat(parts, ignore_index=True)


def _compact(table: pd.DataFrame) -> pd.DataFrame:
    """Integers in as few bytes as possible: 24 depths of 40,000 examples are many rows."""
    whole = table.select_dtypes("integer")
    return table.assign(**{str(n): pd.to_numeric(whole[n], downcast="integer") for n in whole})


# ---------------------------------------------------------------- depths


def end_count(layers: int, share: float) -> int:
    """How many depths at either end are called early or late: at least two."""
    return max(2, ceil(share * layers - 1e-9))


def early_depths(layers: int, share: float) -> range:
    return range(1, end_count(layers, share) + 1)


def late_depths(layers: int, share: float) -> range:
    return range(layers - end_count(layers, share) + 1, layers + 1)


# ---------------------------------------------------------------- scores


@dataclass(frozen=True)
class Losses:
    """What several cuts lose, each (cuts,): the mean over runs, and a two-sided interval of each.

    Attributes
    ----------
    low_of_many, high_of_many : ndarray
        Interval ends at a confidence that holds for all cuts together.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_of_many: np.ndarray
    high_of_many: np.ndarray


def losses(full: Answers, cut: Answers, sampling: Sampling) -> Losses:
    """The full model's score (or another reference's) minus that of each cut.

    Parameters
    ----------
    full, cut : Answers
        Scores of the same runs and examples; `full` has one depth, or those of `cut`.
    """
    tail = (1 - sampling.confidence) / 2
    ends = []
    for error in (tail, tail / cut.scores.shape[1]):
        gain, loss = cut.less(full, 1 - error), full.less(cut, 1 - error)
        # Each bound includes one extra example that counts against it.
        ends += [loss.low, -gain.low]
    return Losses(gain.difference * -1, *ends)


def mean_of(answers: Answers, depths: Sequence[int]) -> Answers:
    """The mean over some depths (from 1) as one depth."""
    places = [depth - 1 for depth in depths]
    return answers.each(lambda part: part[:, places].mean(1, keepdims=True))


def at_own_depths(answers: Answers, depths: Sequence[int]) -> Answers:
    """Each run at its own depth (from 1), as one depth."""
    rows, places = np.arange(len(depths)), np.asarray(depths) - 1
    return answers.each(lambda part: part[rows, places][:, None])


def joined(answers: Sequence[Answers]) -> Answers:
    """Several scores one after the other, as depths."""
    parts = {name: np.concatenate([getattr(a, name) for a in answers], axis=1) for name in ARRAYS}
    return Answers(**parts, of_recipe=answers[0].of_recipe)


def least(found: Losses) -> tuple[float, float, float]:
    """The smallest of the losses, with its interval."""
    return found.value.min(), found.low.min(), found.high_of_many.min()


def largest(found: Losses) -> tuple[float, float, float]:
    """The largest of the losses, with its interval."""
    return found.value.max(), found.low_of_many.max(), found.high.max()


def only(found: Losses) -> tuple[float, float, float]:
    """The one loss, with its interval."""
    return found.value[0], found.low[0], found.high[0]


# ---------------------------------------------------------------- similarity


@dataclass(frozen=True)
class Cells:
    """Debiased CKA of two states' depths, (depths of y, depths of x), and its standard error."""

    value: np.ndarray
    error: np.ndarray

    def at(self, y: Sequence[int], x: Sequence[int]) -> "Cells":
        """The cells of some depths, counted from 1."""
        places = np.ix_([depth - 1 for depth in y], [depth - 1 for depth in x])
        return Cells(self.value[places], self.error[places])


def cells(cka: pd.DataFrame, **wanted: object) -> Cells | None:
    """The cells of one comparison in a CKA table; None if a run failed or the table lacks it.

    Parameters
    ----------
    **wanted : object
        Columns and values that identify the comparison.
    """
    keep = (cka["estimator"] == "debiased") & (cka["pooling"] == "raw")
    for column, value in wanted.items():
        keep &= cka[column] == value
    rows = cka[keep]
    if rows.empty or rows["failed"].astype(bool).any():
        return None
    wide = rows.pivot(index="y_depth", columns="x_depth", values=["cka", "se"])
    return Cells(wide["cka"].to_numpy(dtype=float), wide["se"].to_numpy(dtype=float))


def state_cells(pair: Pair, y_state: object, x_state: object) -> Cells | None:
    """The cells (``cells``) of two states of a pair."""
    return cells(pair.tables["cka"], y_state=str(y_state), x_state=str(x_state))


def state_of(seed: int) -> str:
    return str(State.of_seed(seed))


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error over examples."""

    value: float
    error: float

    def less(self, other: "Estimate") -> "Estimate":
        """The difference, with the error that opposite errors would give."""
        return Estimate(self.value - other.value, self.error + other.error)


def mean_cell(part: Cells) -> Estimate:
    """The mean of some cells, with the error that equal errors would give."""
    return Estimate(float(part.value.mean()), float(part.error.mean()))


def likest(part: Cells, confidence: float) -> Estimate:
    """The mean over rows of each row's largest cell.

    The largest of several estimates tends to be too large: each error is widened to one that holds
    for all of them together.
    """
    count, tail = part.value.shape[1], (1 - confidence) / 2
    wider = NormalDist().inv_cdf(1 - tail / count) / NormalDist().inv_cdf(1 - tail)
    rows, best = np.arange(len(part.value)), part.value.argmax(1)
    errors = part.error[rows, best]
    return Estimate(float(part.value[rows, best].mean()), float(wider * errors.mean()))


def over_runs(estimates: Sequence[Estimate], sampling: Sampling) -> tuple[float, float, float]:
    """The mean over runs with its two-sided interval.

    With fewer than five runs it is over examples alone, with the runs' errors taken to be the same
    (they have the same examples); with five or more it is Student's t over runs and examples, as
    for certified depths.
    """
    values = np.array([each.value for each in estimates])
    error = float(np.mean([each.error for each in estimates]))
    mean, count, level = float(values.mean()), len(values), (1 + sampling.confidence) / 2
    if not sampling.of_recipe(count):
        reach = NormalDist().inv_cdf(level) * error
    else:
        from scipy.special import stdtrit  # only for a study of many seeds

        between = float(values.var(ddof=1)) / count
        reach = float(stdtrit(count - 1, level)) * sqrt(between + error**2)
    return mean, mean - reach, mean + reach


def unknown(pair: Pair, note: str) -> Reading:
    """A reading that the study should have but does not: the claim cannot be told."""
    return pair.reading(NAN, NAN, NAN, note)


def absent(pair: Pair, missing: str) -> Reading:
    """A reading that the study does not have at all, with what it would need."""
    return replace(pair.reading(NAN, NAN, NAN), missing=missing)
