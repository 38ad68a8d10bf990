"""The frontier: what each layer set scores, which of them may be cut to, and what they cost.

Choosing and judging are apart. The examples that choose fix one candidate a size and category (as
it is, or with its head tuned) before those that judge are looked at. Then sizes are tried from
L - 1 down until one is not certified (``depth_bounds.fixed_sequence``), so that neither many
methods nor many sizes cost confidence. A verdict is about this very model, the run's: its weights
are what is cut. Sets that were not chosen have scores and intervals, and no verdict.

Tuned heads were trained longer than the model, so they are certified against the full model and
against the full model with its head tuned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.analysis.calibration import mean_loss
from strata.analysis.depth_bounds import Answers, Bounds, examples_needed, fixed_sequence
from strata.analysis.summary import CANNOT_BE_TOLD, CERTIFIED, LOSES_MORE
from strata.data.parts import CHOOSE, JUDGE
from strata.data.task import Task
from strata.evaluation.metrics import baseline_score, score
from strata.evaluation.prediction_files import logits_of
from strata.evaluation.resampling import interval
from strata.study.layer_sets import AS_IS, HEAD, METHODS, CutModel, LayerSet
from strata.study.run_records import RunMetrics
from strata.study.settings import SummarySettings

FULL, NOT_CHOSEN, FAILED = "full", "not chosen", "failed run"
NAMES = dict.fromkeys(["layers", "next_layers"], str)  # "3" is a layer set, and no number
COSTS = [
    "latency_ms", "latency_p95_ms", "latency_ratio", "examples_per_second", "speed_ratio",
    "parameters", "file_mb", "memory_mb", "device", "threads",
]  # fmt: skip
COLUMNS = [
    "model", "task", "seed", "method", "layers", "size", "done", "name", "metric", "baseline",
    "choose_score", "choose_loss", "n_choose", "value", "low", "high", "difference",
    "difference_low", "difference_high", "lower_bound", "upper_bound", "from_tuned",
    "from_tuned_low", "from_tuned_high", "examples_needed", "n_examples", "chosen", "verdict",
    *COSTS,
]  # fmt: skip
ANSWER_COLUMNS = [
    "model", "task", "seed", "done", "metric", "n_examples", "n_choose", "total_layers", "full",
    "layers", "size", "name", "value", "difference", "difference_low", "difference_high",
    "lower_bound", "next_layers", "next_verdict", "next_difference", "next_low", "next_high",
    "next_from_tuned", "next_from_tuned_low", "next_from_tuned_high", "next_examples", "baseline",
    "tolerance", "confidence", "exported", "note",
    *COSTS, "full_latency_ms", "full_examples_per_second", "full_parameters", "full_file_mb",
]  # fmt: skip


@dataclass(frozen=True)
class RunSets:
    """What a run answers without some of its layers.

    Attributes
    ----------
    proposals : of ``layer_selection.proposals``.
    answers : of ``set_heads.answers_of_sets``.
    """

    proposals: pd.DataFrame
    answers: pd.DataFrame
    metrics: RunMetrics

    @property
    def whole(self) -> str:
        """All layers, in words."""
        return str(max(LayerSet.parse(text) for text in self.answers["layers"].unique()))

    @property
    def categories(self) -> list[str]:
        """AS_IS and, where there was something to tune on, HEAD."""
        return [done for done in (AS_IS, HEAD) if (self.answers["done"] == done).any()]

    def of(self, done: str, part: str) -> dict[str, pd.DataFrame]:
        """Layers -> what was answered of a part's examples, in order."""
        own = self.answers[(self.answers["done"] == done) & (self.answers["part"] == part)]
        return {str(layers): table for layers, table in own.groupby("layers", sort=False)}


def choose_candidates(proposals: pd.DataFrame) -> list[str]:
    """One set a size, by what it scores on the examples that choose.

    Parameters
    ----------
    proposals : columns method, size, layers, choose_score and choose_loss, of one category.

    Returns
    -------
    layers of sizes 1 to L - 1; of equal scores the lower loss, then the method that METHODS names
    first.
    """
    order = proposals.assign(place=[METHODS.index(method) for method in proposals["method"]])
    order = order.sort_values(
        ["size", "choose_score", "choose_loss", "place"],
        ascending=[True, False, True, True],
        kind="stable",
    )
    return order.drop_duplicates("size")["layers"].tolist()


def judge_candidates(
    cut: Answers, references: Sequence[Answers], settings: SummarySettings
) -> tuple[list[Bounds], list[str]]:
    """Verdicts on candidates of sizes 1..L, the last of which is the whole.

    Parameters
    ----------
    cut : scores of the candidates, [runs, sizes].
    references : what each is compared with, [runs, 1]; the first is the full model.

    Returns
    -------
    bounds against each reference; the verdicts on sizes 1 to L - 1.
    """
    bounds = [cut.less(reference, settings.confidence) for reference in references]
    smallest = fixed_sequence([each.low for each in bounds], settings.tolerance)
    sizes = np.arange(1, len(bounds[0].low))
    more = np.where(bounds[0].high[:-1] < -settings.tolerance, LOSES_MORE, CANNOT_BE_TOLD)
    return bounds, np.where(sizes >= smallest, CERTIFIED, more).tolist()


def frontier_of_run(
    run: RunSets, task: Task, costs: pd.DataFrame, settings: SummarySettings
) -> pd.DataFrame:
    """A row a method, size and category, and one for the whole model in each category.

    Parameters
    ----------
    costs : of ``export.costs``, a row a set.

    Returns
    -------
    COLUMNS, without model, task and seed.
    """
    parts = [_category(run, done, task, settings) for done in run.categories]
    table = pd.concat(parts, ignore_index=True)
    if run.metrics.failed:
        table["verdict"] = FAILED
    table = table.merge(costs[["layers", *COSTS]], on="layers", how="left")
    return table.reindex(columns=COLUMNS[3:])


def _category(run: RunSets, done: str, task: Task, settings: SummarySettings) -> pd.DataFrame:
    whole = run.whole
    table = run.proposals[["method", "size", "layers"]]
    full = {"method": FULL, "size": len(LayerSet.parse(whole)), "layers": whole}
    table = pd.concat([table, pd.DataFrame([full])], ignore_index=True)
    choosing = {layers: _worth(own, task) for layers, own in run.of(done, CHOOSE).items()}
    table["choose_score"] = [choosing[layers][0] for layers in table["layers"]]
    table["choose_loss"] = [choosing[layers][1] for layers in table["layers"]]
    chosen = [*choose_candidates(table[table["method"] != FULL]), whole]

    judged = run.of(done, JUDGE)
    labels = judged[whole]["label"].to_numpy()
    sets = list(dict.fromkeys(table["layers"]))
    scored = _scores(task.metric, labels, [judged[layers] for layers in sets], settings)
    reference = _scores(task.metric, labels, [run.of(AS_IS, JUDGE)[whole]], settings)
    by_layers = _scored(sets, scored, reference, len(labels), settings)
    candidates = _at(scored, [sets.index(layers) for layers in chosen])
    last = _at(scored, [sets.index(whole)])
    references = [reference]
    if done == HEAD:
        references.append(last)
        _from_tuned(by_layers, scored.less(last, settings.confidence), len(labels), settings)
    bounds, verdicts = judge_candidates(candidates, references, settings)
    worst = np.minimum.reduce([each.low for each in bounds])
    said = dict(zip(chosen[:-1], zip(worst, verdicts, strict=False), strict=False))
    for layers, (bound, verdict) in said.items():
        by_layers[layers] |= {"lower_bound": float(bound), "verdict": verdict, "chosen": True}
    rows = pd.DataFrame([by_layers[layers] for layers in table["layers"]])
    table = pd.concat([table, rows], axis=1)
    table.loc[table["layers"] == whole, "verdict"] = ""
    names = [CutModel(LayerSet.parse(layers), done == HEAD) for layers in table["layers"]]
    return table.assign(
        done=done,
        name=list(map(str, names)),
        metric=task.metric,
        baseline=baseline_score(task.metric, task.type, labels),
        n_choose=len(run.of(done, CHOOSE)[whole]),
        n_examples=len(labels),
    )


def _worth(own: pd.DataFrame, task: Task) -> tuple[float, float]:
    """Score and mean loss of a set's answers."""
    labels = own["label"].to_numpy()
    value = score(task.metric, labels, own["prediction"].to_numpy()).value
    return value, mean_loss(labels, logits_of(own), task)


def _scores(
    metric: str, labels: np.ndarray, tables: Sequence[pd.DataFrame], settings: SummarySettings
) -> Answers:
    predictions = np.stack([own["prediction"].to_numpy() for own in tables])
    return Answers.of(metric, labels, predictions[None], settings)


def _at(scored: Answers, places: Sequence[int]) -> Answers:
    """Those of some sets."""
    return scored.each(lambda part: part[:, list(places)])


def _scored(
    sets: Sequence[str],
    scored: Answers,
    reference: Answers,
    n_examples: int,
    settings: SummarySettings,
) -> dict[str, dict[str, object]]:
    """Layers -> score and paired difference from the full model, with their intervals."""
    against: Bounds = scored.less(reference, settings.confidence)
    needed = examples_needed(against.error, n_examples, settings.tolerance)
    found: dict[str, dict[str, object]] = {}
    for place, layers in enumerate(sets):
        low, high = interval(scored.drawn[0, place], settings.confidence)
        worse, better = interval(against.drawn[place], settings.confidence)
        found[layers] = {
            "value": float(scored.scores[0, place]),
            "low": low,
            "high": high,
            "difference": float(against.difference[place]),
            "difference_low": worse,
            "difference_high": better,
            "lower_bound": float(against.low[place]),
            "upper_bound": float(against.high[place]),
            "examples_needed": float(needed[place]),
            "chosen": False,
            "verdict": NOT_CHOSEN,
        }
    return found


def _from_tuned(
    found: dict[str, dict[str, object]], against: Bounds, n_examples: int, settings: SummarySettings
) -> None:
    """Add to each set how it compares with the whole model whose head is tuned, too."""
    needed = examples_needed(against.error, n_examples, settings.tolerance)
    for place, row in enumerate(found.values()):
        low, high = interval(against.drawn[place], settings.confidence)
        row |= {
            "from_tuned": float(against.difference[place]),
            "from_tuned_low": low,
            "from_tuned_high": high,
            "examples_needed": max(float(needed[place]), float(str(row["examples_needed"]))),
        }


def frontier_answers(table: pd.DataFrame, settings: SummarySettings) -> pd.DataFrame:
    """The smallest certified model of each run and category (ANSWER_COLUMNS).

    `exported` marks the run that ``layers-auto`` is cut from: the first that did not fail.
    """
    good = table.loc[table["verdict"] != FAILED, "seed"]
    rows = []
    for (seed, done), own in table.groupby(["seed", "done"], sort=False):
        full = own[own["method"] == FULL].iloc[0]
        row = {
            **full[["model", "task", "metric", "n_examples", "n_choose", "baseline"]],
            "seed": seed,
            "done": done,
            "total_layers": full["size"],
            "full": table.loc[
                (table["seed"] == seed) & (table["method"] == FULL) & (table["done"] == AS_IS),
                "value",
            ].iloc[0],
            "tolerance": settings.tolerance,
            "confidence": settings.confidence,
            "exported": bool(len(good)) and seed == good.iloc[0],
            "note": "",
        }
        rows.append(row | _answer(own, full))
    return pd.DataFrame(rows).reindex(columns=ANSWER_COLUMNS)


def _answer(own: pd.DataFrame, full: pd.Series) -> dict[str, object]:
    """The answer of one run and category; the whole model where no smaller one is certified."""
    if (own["verdict"] == FAILED).any():
        return {"note": FAILED}
    chosen = own[own["chosen"]].drop_duplicates("size").sort_values("size")
    certified = chosen[chosen["verdict"] == CERTIFIED]
    found = certified.iloc[0] if len(certified) else full
    kept = ["layers", "size", "name", "value", "difference", "difference_low", "difference_high"]
    answer: dict[str, object] = {**found[[*kept, *COSTS]]}
    if len(certified):
        answer["lower_bound"] = found["lower_bound"]
    after = chosen[chosen["size"] < found["size"]]
    if len(after):
        following = after.iloc[-1]
        answer |= {
            "next_layers": following["layers"],
            "next_verdict": following["verdict"],
            "next_difference": following["difference"],
            "next_low": following["difference_low"],
            "next_high": following["difference_high"],
            "next_from_tuned": following["from_tuned"],
            "next_from_tuned_low": following["from_tuned_low"],
            "next_from_tuned_high": following["from_tuned_high"],
            "next_examples": following["examples_needed"],
        }
    costs = ("latency_ms", "examples_per_second", "parameters", "file_mb")
    return answer | {f"full_{cost}": full[cost] for cost in costs}


def front(points: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows of which no other is at least as good and as cheap, and better in one.

    Parameters
    ----------
    points : with `value` and the column `cost`.
    """
    order = points.dropna(subset=[cost]).sort_values([cost, "value"], ascending=[True, False])
    before = order["value"].cummax().shift(fill_value=-np.inf)
    return order[order["value"] > before]


def in_summary(answers: pd.DataFrame, settings: SummarySettings) -> pd.DataFrame:
    """The answers of the exported run as rows of summary.csv, under its columns' names."""
    own = answers[answers["exported"]]
    return pd.DataFrame(
        {
            "model": own["model"],
            "task": own["task"],
            "configuration": ["layers" if done == AS_IS else "layers-head" for done in own["done"]],
            "metric": own["metric"],
            "n_examples": own["n_examples"],
            "seeds": own["seed"],
            "baseline": own["baseline"],
            "full": own["full"],
            "layers": own["total_layers"],
            "parameters": own["full_parameters"],
            "certified_depth": own["size"],
            "certified_layers": own["layers"],
            "certified_value": own["value"],
            "certified_difference": own["difference"],
            "certified_bound": own["lower_bound"],
            "certified_parameters_saved": own["full_parameters"] - own["parameters"],
            "certified_latency_ms": own["latency_ms"],
            "certified_examples_per_second": own["examples_per_second"],
            "certified_file_mb": own["file_mb"],
            "claim": "this checkpoint" if settings.given else "this run",
        }
    )
