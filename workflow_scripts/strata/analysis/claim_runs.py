"""The evidence for claims of the companion studies: their runs' predictions on eval examples.

Runs are compared on the same bootstrap samples of the examples, with the bounds of certified depths
(``claim_evidence.losses``). Seeds whose plain run failed say nothing and are left out; a run with
new weights that fails counts with what it lost.

If one of several places is chosen by its score (the best-probing block), the choice is as uncertain
as the scores: every place that may be the best is considered, and an interval goes from the lowest
of their ends to the highest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from strata.analysis.claim_evidence import Losses, Pair, losses, mean_of
from strata.analysis.claims import Reading
from strata.analysis.depth_bounds import Answers
from strata.study.states import State
from strata.study.variants import Variant

LABEL = "label"


def run_answers(paths: Sequence[str | Path], examples: pd.DataFrame) -> pd.DataFrame:
    """The predictions of runs on the examples that count.

    Parameters
    ----------
    paths : sequence of path-like
        The runs' predictions.parquet, in the folder of their variant and seed.
    examples : DataFrame
        Examples with the column example_id.

    Returns
    -------
    DataFrame
        One row per example in the order of `examples`: label, and one column per run, named like
        its state (``reinit1-3_n500-seed2``).
    """
    columns: dict[str, pd.Series] = {}
    for path in map(Path, dict.fromkeys(map(str, paths))):
        run = State.FORM.format(variant=path.parts[-3], seed=path.parts[-2].removeprefix("seed"))
        table = pd.read_parquet(path, columns=["example_id", LABEL, "prediction"])
        table = examples[["example_id"]].merge(table, on="example_id")
        columns.setdefault(LABEL, table[LABEL])
        columns[run] = table["prediction"]
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Part:
    """Runs of one part of a study, all trained on the same number of examples.

    Attributes
    ----------
    rows : DataFrame
        Rows of the part's table: series, position, variant, seed, train_examples, metric, failed.
    """

    pair: Pair
    rows: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        """The seeds whose plain run did not fail; all if the part has no plain run."""
        plain = self.rows[[Variant.parse(v).kind == "full" for v in self.rows["variant"]]]
        good = plain if plain.empty else plain[~plain["failed"].astype(bool)]
        rows = self.rows if plain.empty else good
        return sorted({int(seed) for seed in rows["seed"]})

    @property
    def examples(self) -> int:
        """The number of examples that the runs were trained on."""
        return int(self.rows["train_examples"].max())

    def series(self, name: str) -> pd.DataFrame:
        """One row per variant of a series, in order of position."""
        own = self.rows[self.rows["series"] == name]
        return own.drop_duplicates("variant").sort_values("position", kind="stable")

    def variants(self, name: str) -> list[str]:
        return list(self.series(name)["variant"])

    def answers(self, variants: Sequence[str]) -> Answers:
        """Scores of the seeds that count, one depth per variant."""
        return answers_of(self.pair, variants, self.seeds, str(self.rows["metric"].iloc[0]))


def answers_of(pair: Pair, variants: Sequence[str], seeds: Sequence[int], metric: str) -> Answers:
    """Scores of some runs, one depth per variant."""
    table = pair.tables["runs"]
    predictions = [
        np.stack([table[State.FORM.format(variant=v, seed=seed)].to_numpy() for v in variants])
        for seed in seeds
    ]
    return Answers.of(metric, table[LABEL].to_numpy(), np.stack(predictions), pair.settings)


def parts_by_size(pair: Pair, name: str) -> list[Part]:
    """A part's runs by the number of training examples, fewest first."""
    table = pair.tables.get(name)
    if table is None:
        return []
    return [Part(pair, rows) for _, rows in table.groupby("train_examples")]


def of_size(parts: Sequence[Part], examples: int) -> Part | None:
    """The part with this number of training examples."""
    return next((part for part in parts if part.examples == examples), None)


def reading(
    pair: Pair, ends: tuple[float, float, float], seeds: Sequence[int], note: str = ""
) -> Reading:
    """A value and its interval from some runs, as a reading."""
    value, low, high = map(float, ends)
    names = " ".join(map(str, seeds))
    return Reading(
        value, low, high, len(pair.tables["runs"]), names, pair.settings.about(len(seeds)), note
    )


def mean_gain(better: Answers, worse: Answers, pair: Pair) -> tuple[float, float, float]:
    """The mean over depths of one side's scores minus the other's, with its interval."""
    more, less = (mean_of(each, range(1, each.scores.shape[1] + 1)) for each in (better, worse))
    found = losses(more, less, pair.settings)
    return found.value[0], found.low[0], found.high[0]


def may_be_best(answers: Answers, pair: Pair) -> tuple[int, list[int]]:
    """The place with the best score, and all places that may have it, counted from 0.

    The best of several may be ahead by luck, so the differences' intervals are made to hold for all
    of them together.
    """
    best = int(answers.scores.mean(0).argmax())
    ahead = losses(answers.at(slice(best, best + 1)), answers, pair.settings).low_of_many
    return best, [place for place, low in enumerate(ahead) if low <= 0 or place == best]


def over_places(found: Losses, best: int, places: Sequence[int]) -> tuple[float, float, float]:
    """The loss at the best place, with an interval valid whichever of some places is the best."""
    own = list(places)
    return found.value[best], found.low[own].min(), found.high[own].max()
