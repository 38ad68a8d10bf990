"""Tables of a study made by hand, for which it is known which of the papers' claims hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from strata.analysis.claim_evidence import Pair
from strata.analysis.claim_registry import CLAIMS, MEASURES
from strata.analysis.claim_tables import read_pair, readings_of
from strata.analysis.claims import Claim, Judged, Measure, OfStudy, Study, judge_claims
from strata.analysis.claims_phang import LOST_BELOW_LATE, UNLIKE_BELOW_LATE
from strata.analysis.skipping import spans
from strata.study.settings import ClaimSettings

SETTINGS = ClaimSettings(
    resamples=200, confidence=0.95, close=0.02, far=0.05, nearly_all=0.833, most=0.5, ends=0.25
)
FULL, BASELINE = 0.9, 0.5
CONFIGURATIONS = (
    "untuned", "tuned", "tuned-converged", "tuned-best", "tuned-orig", "tuned-orig-converged",
)  # fmt: skip
PHANG = ("cka", "truncation", "skipping")


@dataclass
class Facts:
    """What is true of a model on a task; by default nothing is lost and no depths are alike.

    Attributes
    ----------
    lost : mapping of str to callable or float
        What each configuration loses at each depth (a function of it, or a number); "full" loses
        nothing.
    skip : callable
        What skipping (first, last) loses.
    separation : mapping of str to float
        The separation of "late" and "two" blocks, and of "orig-late" and "orig-two".
    error : float
        The standard error of separations.
    borders : mapping of str to int
        early_end and late_begin of two blocks, late_begin of a late one.
    maps : mapping of str to callable
        For each comparison "ft-ft", "ft-orig", "ft1-ft2", the CKA of depths (y, x).
    failed : sequence of int
        Seeds of the runs that failed.
    """

    layers: int = 12
    n: int = 2000
    seeds: Sequence[int] = (1, 2)
    lost: Mapping[str, float | Callable[[int], float]] = field(default_factory=dict)
    skip: Callable[[int, int], float] = lambda first, last: 0.0
    separation: Mapping[str, float] = field(default_factory=dict)
    error: float = 0.01
    borders: Mapping[str, int] = field(default_factory=dict)
    agree: float = 1.0
    maps: Mapping[str, Callable[[int, int], float]] = field(default_factory=dict)
    failed: Sequence[int] = ()

    @property
    def labels(self) -> np.ndarray:
        return np.arange(self.n) % 2

    def predictions(self, loss: float) -> np.ndarray:
        """Predictions of a model that scores FULL minus `loss`; they include the full model's
        mistakes.
        """
        order = np.random.default_rng(0).permutation(self.n)
        wrong = order[: round((1 - FULL + loss) * self.n)]
        found = self.labels.copy()
        found[wrong] = 1 - found[wrong]
        return found

    def loss(self, configuration: str, depth: int) -> float:
        lost = self.lost.get(configuration, 0.0)
        if configuration == "untuned" and depth == self.layers:
            return 0.0
        return lost(depth) if callable(lost) else lost

    def answers(self) -> pd.DataFrame:
        keys = [
            (seed, name, depth)
            for seed in self.seeds
            for name in CONFIGURATIONS
            for depth in range(1, self.layers + 1)
        ]
        lost = [self.loss(name, depth) for _, name, depth in keys]
        return self._examples(pd.DataFrame(keys, columns=["seed", "configuration", "depth"]), lost)

    def skipped(self) -> pd.DataFrame:
        keys = [(seed, *span) for seed in self.seeds for span in spans(self.layers)]
        lost = [self.skip(first, last) for _, first, last in keys]
        return self._examples(pd.DataFrame(keys, columns=["seed", "first", "last"]), lost)

    def _examples(self, keys: pd.DataFrame, lost: Sequence[float]) -> pd.DataFrame:
        """A row an example of each key, with the predictions of a model that lost so much."""
        table = keys.loc[keys.index.repeat(self.n)].reset_index(drop=True)
        known = {loss: self.predictions(loss) for loss in set(lost)}
        return table.assign(
            label=np.tile(self.labels, len(keys)),
            prediction=np.concatenate([known[loss] for loss in lost]),
        )

    def truncation(self) -> pd.DataFrame:
        rows = [
            {"seed": seed, "configuration": name, "depth": depth}
            for seed in self.seeds
            for name in (*CONFIGURATIONS, "full")
            for depth in (range(1, self.layers + 1) if name != "full" else [self.layers])
        ]
        table = pd.DataFrame([*rows, {"configuration": "baseline"}])
        table["value"] = [
            BASELINE if name == "baseline" else FULL - (name != "full" and self.loss(name, depth))
            for name, depth in zip(table["configuration"], table["depth"], strict=True)
        ]
        failed = table["seed"].isin(self.failed)
        return table.assign(metric="accuracy", n_examples=self.n, failed=failed)

    def blocks(self) -> pd.DataFrame:
        rows = []
        for seed in (*self.seeds, None):
            for kind in ("late", "two"):
                name = kind if seed is not None else f"orig-{kind}"
                separation = self.separation.get(name, -0.3)
                place = "late_begin" if kind == "late" else "two_late_begin"
                rows.append(
                    {
                        "seed": seed, "kind": kind, "pooling": "raw", "separation": separation,
                        "separation_se": self.error, "found": separation > 2 * self.error,
                        "early_end": self.borders.get("early_end", 6),
                        "late_begin": self.borders.get(place, self.borders.get("late_begin", 7)),
                        "agree_early_end": self.agree, "agree_late_begin": self.agree,
                        "layers": self.layers, "n_examples": self.n, "failed": seed in self.failed,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)

    def cka(self) -> pd.DataFrame:
        states = [f"full-seed{seed}" for seed in self.seeds]
        compared = [("ft-orig", state, "pretrained") for state in states]
        compared += [("ft-ft", state, state) for state in states]
        compared += [("ft1-ft2", states[0], states[1])] if len(states) > 1 else []
        failed = {f"full-seed{seed}" for seed in self.failed}
        return pd.concat(
            cka_rows(
                self.maps.get(kind, lambda y, x: 0.3),
                (self.layers, self.layers),
                self.error,
                n_examples=self.n,
                y_state=y,
                x_state=x,
                failed=bool({y, x} & failed),
            )
            for kind, y, x in compared
        )

    def pair(self, model: str, task: str, skips: bool = True) -> Pair:
        tables = {
            "truncation": self.truncation(),
            "answers": self.answers(),
            "blocks": self.blocks(),
            "cka": self.cka(),
        }
        if skips:
            tables["skipped"] = self.skipped()
        return Pair(model, task, tables, SETTINGS)


def cka_rows(
    cka: Callable[[int, int], float], layers: tuple[int, int], error: float, **about: object
) -> pd.DataFrame:
    """The rows of one map, by a function of the depths (y, x)."""
    depths = [(y, x) for x in range(1, layers[1] + 1) for y in range(1, layers[0] + 1)]
    table = pd.DataFrame(depths, columns=["y_depth", "x_depth"])
    table["cka"] = [cka(y, x) for y, x in depths]
    return table.assign(pooling="raw", estimator="debiased", se=error, **about)


def across(
    models: Mapping[str, Facts], tasks: Sequence[str], cka: Callable[[int, int], float]
) -> pd.DataFrame:
    """The table of CKA between models, the same on all tasks."""
    names = list(models)
    return pd.concat(
        cka_rows(
            cka,
            (models[y].layers, models[x].layers),
            models[y].error,
            task=task,
            y_model=y,
            x_model=x,
            seed=seed,
            n_examples=models[y].n,
            failed=False,
        )
        for task in tasks
        for place, y in enumerate(names)
        for x in names[place + 1 :]
        for seed in models[y].seeds
    )


def measures_of(claim: Claim) -> list[Measure]:
    """What decides a claim; claims over tasks read two."""
    if isinstance(claim.source, OfStudy):
        return [UNLIKE_BELOW_LATE, LOST_BELOW_LATE]
    return [claim.source.measure]


def judged(
    facts: Mapping[tuple[str, str], Facts],
    architectures: Mapping[str, str] | None = None,
    analyses: Sequence[str] = PHANG,
    tables: Mapping[str, pd.DataFrame] | None = None,
    claims: str = "",
    skips: Sequence[str] | None = None,
) -> list[Judged]:
    """Every verdict on a study, from what is true of each (model, task).

    Parameters
    ----------
    architectures : mapping of str to str, optional
        The models' architectures; by default each is named like its model.
    claims : str
        The key or number of the claims that are judged; by default all.
    skips : sequence of str, optional
        Models whose layers are skipped; by default all.
    """
    models = list(dict.fromkeys(model for model, _ in facts))
    tasks = list(dict.fromkeys(task for _, task in facts))
    chosen = [claim for claim in CLAIMS if claims in ("", claim.key, claim.number)]
    used = {each for claim in chosen for each in measures_of(claim)}
    measures = {each: read for each, read in MEASURES.items() if each in used}
    readings = [
        read_pair(true.pair(m, t, skips is None or m in skips), measures, analyses)
        for (m, t), true in facts.items()
    ]
    study = Study(
        architectures=dict(architectures or {model: model for model in models}),
        tasks=tasks,
        analyses=analyses,
        readings=readings_of(pd.concat(readings)) if readings else {},
        tables=tables or {},
        settings=SETTINGS,
    )
    return judge_claims(chosen, study)


def verdict(found: Sequence[Judged], key: str, model: str = "", task: str = "") -> Judged:
    """The one verdict on a part of that key (or a whole), of a model and task."""
    own = [each for each in found if (each.claim.number if each.whole else each.claim.key) == key]
    (one,) = [each for each in own if each.model == model and each.task == task]
    return one
