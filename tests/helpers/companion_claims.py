"""Companion studies made by hand, for which it is known which of their papers' claims hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from helpers.claims import SETTINGS
from strata.analysis.claim_evidence import Pair
from strata.analysis.claim_registry import CLAIMS, MEASURES
from strata.analysis.claim_tables import read_pair, readings_of
from strata.analysis.claims import Judged, OfPairs, Study, judge_claims
from strata.analysis.selection import MEASURES as SELECTING
from strata.study.plans import PARTS, planned_runs, selection_variants
from strata.study.variants import Variant

BASELINE, FULL, NEW = 0.5, 0.9, 0.7  # scores: best constant, plain run, every layer new
MANY = 50_000  # examples of a size of None
REINIT = {
    "progressive": {"sizes": [500, "all"], "seeds": [1, 2], "step": 1},
    "kept_norms": {"sizes": ["all"], "seeds": [1, 2], "step": 2},
    "faster_layers": {"factor": 5, "sizes": ["all"], "seeds": [1, 2], "step": 2},
    "localized": {"block": 2, "stride": 2, "inverse": True, "size": 5000, "seeds": [1, 2]},
    "permutation": {"count": 10, "size": 5000, "seeds": [1]},
    "probing": {"sizes": [5000], "seeds": [1], "step": 1},
}


@dataclass
class Scores:
    """A model of six layers on a task, its companion studies, and what each of their runs scores.

    Attributes
    ----------
    score : callable
        A variant's score; None if it is the plain run's.
    n : int
        The number of eval examples.
    reinit : mapping or None
        Settings of partial reinitialisation; None without it.
    selected, shuffled : int
        Depths that nu selects, from labels and from shuffled labels.
    tops : sequence of int
        Numbers of layers that are trained.
    steady : callable
        The share of subsamples of (varied, level) that select `selected`; the rest select depth 1.
    seconds : float
        Seconds of nu.
    epoch, memory : callable
        Seconds of an epoch, and memory in MB, of (comparison, seed).
    """

    score: Callable[[Variant], float | None] = lambda variant: None
    n: int = 2000
    reinit: Mapping[str, object] | None = field(default_factory=lambda: dict(REINIT))
    selection: bool = True
    selected: int = 4
    shuffled: int = 6
    tops: Sequence[int] = (1, 2)
    steady: Callable[[str, int], float] = lambda varied, level: 1.0
    repeats: int = 20
    seconds: float = 5.0
    epoch: Callable[[str, int], float] = lambda comparison, seed: 20.0
    memory: Callable[[str, int], float] = lambda comparison, seed: 1000.0
    devices: tuple[str, str] = ("cpu", "cpu")
    layers: int = 6

    def of(self, variant: Variant) -> float:
        """The score of a variant."""
        found = self.score(variant)
        return FULL if found is None else found

    def predictions(self, score: float) -> np.ndarray:
        """Predictions with a score; a better run's mistakes are among a worse run's."""
        labels = np.arange(self.n) % 2
        wrong = np.random.default_rng(0).permutation(self.n)[: round((1 - score) * self.n)]
        labels[wrong] = 1 - labels[wrong]
        return labels

    def row(self, variant: Variant, seed: int) -> dict[str, object]:
        """A finished run in a table."""
        score = self.of(variant)
        return {
            "variant": str(variant),
            "seed": seed,
            "train_examples": variant.size or MANY,
            "metric": "accuracy",
            "value": score,
            "baseline": BASELINE,
            "failed": score < BASELINE + 0.03,
            "n_examples": self.n,
        }

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of a ``Pair``."""
        found: dict[str, pd.DataFrame] = {}
        for part in PARTS if self.reinit is not None else ():
            runs = planned_runs(part, self.reinit, self.layers)
            if runs:
                found[part] = pd.DataFrame(
                    [
                        {"series": p.series, "position": p.position, **self.row(p.variant, p.seed)}
                        for p in runs
                    ]
                )
        if self.selection:
            found |= self.selection_tables()
        runs = {
            (variant, seed)
            for table in found.values()
            if "variant" in table
            for variant, seed in table[["variant", "seed"]].dropna().itertuples(index=False)
        }
        answers = {"label": np.arange(self.n) % 2} | {
            f"{variant}-seed{int(seed)}": self.predictions(self.of(Variant.parse(variant)))
            for variant, seed in sorted(runs)
        }
        return found | ({"runs": pd.DataFrame(answers)} if runs else {})

    def selection_tables(self) -> dict[str, pd.DataFrame]:
        rows = []
        for plan in selection_variants(self.selected, self.layers, self.tops, False):
            for seed in (1, 2) if plan["variant"] else ():
                costs = {
                    "epoch_seconds": self.epoch(plan["comparison"], seed),
                    "peak_memory_mb": self.memory(plan["comparison"], seed),
                    "device": self.devices[1],
                }
                run = self.row(Variant.parse(plan["variant"]), seed)
                rows.append({**plan, **run, **costs})
            if not plan["variant"]:
                rows.append(plan)
        depths = {"depth_nu": self.selected, "depth_shuffled": self.shuffled}
        cost = {"device": self.devices[0], "examples": MANY, "seconds": self.seconds}
        return {
            "selection": pd.DataFrame(rows),
            "robustness": self.robustness(),
            "nu-finding": pd.DataFrame([depths]),
            "nu-cost": pd.DataFrame([cost]),
        }

    def robustness(self) -> pd.DataFrame:
        rows = []
        levels = [("size", 100), ("size", 1000), ("ratio", 1), ("ratio", 9), ("ratio", 99)]
        for varied, level in [*levels, ("size", 9999)]:
            about = {"varied": varied, "level": level, "examples": 1000, "measure": "nu"}
            about["repeats"] = 1 if level == 9999 else self.repeats
            share = 1.0 if level == 9999 else self.steady(varied, level)
            if share < 0:  # a level that is not possible
                rows.append(about | {"measure": None, "repeats": 0, "reason": "not possible: few"})
                continue
            for depth in range(1, self.layers + 1):
                own = {self.selected: share, 1: 1 - share}.get(depth, 0.0)
                rows += [about | {"depth": depth, "share": own, "measure": m} for m in SELECTING]
        return pd.DataFrame(rows).reindex(columns=[*about, "depth", "share", "reason"])

    def pair(self, task: str = "t", model: str = "bert", **settings: object) -> Pair:
        return Pair(model, task, self.tables(), replace(SETTINGS, **settings))


def judged(
    facts: Mapping[str, Scores],
    claims: str,
    model: str = "bert",
    analyses: Sequence[str] = ("reinit", "variability"),
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> list[Judged]:
    """The verdicts on claims with keys that start with `key`, on a study of one model.

    Parameters
    ----------
    facts : mapping of str to Facts
        What is true of each task.
    """
    chosen = [claim for claim in CLAIMS if claim.key.startswith(claims)]
    needed = {claim.source.measure for claim in chosen if isinstance(claim.source, OfPairs)}
    measures = {measure: MEASURES[measure] for measure in needed}
    readings = [
        read_pair(true.pair(task, model), measures, analyses) for task, true in facts.items()
    ]
    study = Study(
        architectures={model: model},
        tasks=list(facts),
        analyses=analyses,
        readings=readings_of(pd.concat(readings)),
        tables=tables or {},
        settings=SETTINGS,
    )
    return judge_claims(chosen, study)


def verdict(found: Sequence[Judged], key: str, task: str = "t") -> Judged:
    """The one verdict on a part of that key on a task."""
    (one,) = [e for e in found if not e.whole and e.claim.key == key and e.task == task]
    return one
