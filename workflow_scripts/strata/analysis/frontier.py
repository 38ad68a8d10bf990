"""The frontier: the score of each layer set, which of them are certified, and what they cost.

Choosing and judging are separate. The examples that choose fix one candidate per size and category
(as it is, with its head tuned, or trained after the cut) before those that judge are used. Then
sizes are tried from the largest down until one is not certified (``depth_bounds.fixed_sequence``),
so that neither many methods nor many sizes cost confidence. A verdict is about this one model, the
run's, since its weights are what is cut. Sets that were not chosen have scores and intervals, but
no verdict.

Tuned heads were trained longer than the model, so they are certified against the full model and
against the full model with its head tuned. In the same way, a model trained after its cut is also
compared with the whole model trained as long, if the study has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from strata.study.layer_sets import AS_IS, HEAD, METHODS, TRAINED, CutModel, LayerSet
from strata.study.run_records import RunMetrics
from strata.study.settings import SummarySettings
from strata.study.trained_cuts import TrainedCut

FULL, NOT_CHOSEN, FAILED = "full", "not chosen", "failed run"
NAMES = dict.fromkeys(["layers", "next_layers"], str)  # "3" is a layer set, not a number
CONFIGURATIONS = {AS_IS: "layers", HEAD: "layers-head", TRAINED: "layers-trained"}
COSTS = [
    "latency_ms", "latency_p95_ms", "latency_ratio", "examples_per_second", "speed_ratio",
    "parameters", "file_mb", "memory_mb", "device", "threads",
]  # fmt: skip
COLUMNS = [
    "model", "task", "seed", "method", "layers", "size", "done", "name", "way", "steps",
    "seconds", "seconds_in_all", "metric", "baseline",
    "choose_score", "choose_loss", "n_choose", "value", "low", "high", "difference",
    "difference_low", "difference_high", "lower_bound", "upper_bound", "from_tuned",
    "from_tuned_low", "from_tuned_high", "examples_needed", "n_examples", "chosen", "verdict",
    *COSTS,
]  # fmt: skip
ANSWER_COLUMNS = [
    "model", "task", "seed", "done", "metric", "n_examples", "n_choose", "total_layers", "full",
    "layers", "size", "name", "way", "steps", "seconds_in_all", "value", "difference",
    "difference_low", "difference_high", "lower_bound", "next_layers", "next_name",
    "next_verdict", "next_difference", "next_low", "next_high",
    "next_from_tuned", "next_from_tuned_low", "next_from_tuned_high", "next_examples", "baseline",
    "tolerance", "confidence", "exported", "note",
    *COSTS, "full_latency_ms", "full_examples_per_second", "full_parameters", "full_file_mb",
]  # fmt: skip


@dataclass(frozen=True)
class RunSets:
    """A run's predictions without some of its layers.

    Attributes
    ----------
    proposals : DataFrame
        The table of ``layer_selection.proposals``.
    answers : DataFrame
        The table of ``set_heads.answers_of_sets``.
    trained : sequence of DataFrame
        Tables of ``cut_training.answers_of_cut``, one for each model trained after its cut.
    seconds : mapping of str to float
        Seconds of training of each of those, by name, and of the run itself under "full", if known.
    """

    proposals: pd.DataFrame
    answers: pd.DataFrame
    metrics: RunMetrics
    trained: Sequence[pd.DataFrame] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def whole(self) -> str:
        """The set of all layers, as text."""
        return str(max(LayerSet.parse(text) for text in self.answers["layers"].unique()))

    @property
    def categories(self) -> list["Category"]:
        """As it is; with tuned heads, if there are any; trained after the cut, if there are any."""
        there = [done for done in (AS_IS, HEAD) if (self.answers["done"] == done).any()]
        return [*map(self._cut, there), *([self._trained()] if self.trained else [])]

    @property
    def reference(self) -> pd.DataFrame:
        """The full model's predictions on the examples that judge."""
        own = self.answers[(self.answers["done"] == AS_IS) & (self.answers["part"] == JUDGE)]
        return own[own["layers"] == self.whole]

    def _cut(self, done: str) -> "Category":
        full = {"method": FULL, "size": len(LayerSet.parse(self.whole)), "layers": self.whole}
        rows = self.proposals[["method", "size", "layers"]]
        rows = pd.concat([rows, pd.DataFrame([full])], ignore_index=True)
        names = [str(CutModel(LayerSet.parse(text), done == HEAD)) for text in rows["layers"]]
        own = self.answers[self.answers["done"] == done]
        name_of = dict(zip(rows["layers"], names, strict=True))
        own = own.assign(name=own["layers"].map(name_of))
        return Category(done, rows.assign(name=names), own[own["name"].notna()])

    def _trained(self) -> "Category":
        cuts = [TrainedCut.parse(table["name"].iloc[0]) for table in self.trained]
        rows = []
        for cut in cuts:
            layers = str(cut.kept)
            found = set(self.proposals.loc[self.proposals["layers"] == layers, "method"])
            seconds, full = self.seconds.get(str(cut)), self.seconds.get(FULL)
            rows.append(
                {
                    "method": next((method for method in METHODS if method in found), FULL),
                    "size": len(cut.kept),
                    "layers": layers,
                    "name": str(cut),
                    "way": cut.way,
                    "steps": cut.steps,
                    "seconds": seconds,
                    "seconds_in_all": _added(seconds, full if cut.about.needs_full else 0.0),
                }
            )
        return Category(TRAINED, pd.DataFrame(rows), pd.concat(self.trained, ignore_index=True))


@dataclass(frozen=True)
class Category:
    """Cut models that were treated in the same way.

    Attributes
    ----------
    done : str
        What was done to them: AS_IS, HEAD or TRAINED.
    rows : DataFrame
        Columns method, size, layers, name and more; method FULL has all layers.
    answers : DataFrame
        Columns name, part (CHOOSE, JUDGE) and those of ``predictions.answers``.
    """

    done: str
    rows: pd.DataFrame
    answers: pd.DataFrame

    def of(self, part: str) -> dict[str, pd.DataFrame]:
        """The predictions on a part's examples, in order, by name."""
        own = self.answers[self.answers["part"] == part]
        return {str(name): table for name, table in own.groupby("name", sort=False)}


def _added(seconds: float | None, more: float | None) -> float:
    return np.nan if seconds is None or more is None else seconds + more


def choose_candidates(proposals: pd.DataFrame) -> list[str]:
    """The best set of each size, by the examples that choose.

    Parameters
    ----------
    proposals : DataFrame
        Columns method, size, name, choose_score and choose_loss, of one category.

    Returns
    -------
    list of str
        Names, the smallest size first. Ties go to the lower loss, then to the method that METHODS
        names first.
    """
    order = proposals.assign(place=[METHODS.index(method) for method in proposals["method"]])
    order = order.sort_values(
        ["size", "choose_score", "choose_loss", "place"],
        ascending=[True, False, True, True],
        kind="stable",
    )
    return order.drop_duplicates("size")["name"].tolist()


def judge_candidates(
    cut: Answers, references: Sequence[Answers], settings: SummarySettings
) -> tuple[list[Bounds], list[str]]:
    """Verdicts on one candidate per size, the smallest first; the last entry is a whole model.

    Parameters
    ----------
    cut : Answers
        Scores of the candidates and, last, of a whole model, (runs, sizes + 1).
    references : sequence of Answers
        What each is compared with, (runs, 1); the first is the full model.

    Returns
    -------
    tuple of list of Bounds and list of str
        Bounds against each reference, and the verdicts on the candidates.
    """
    bounds = [cut.less(reference, settings.confidence) for reference in references]
    smallest = fixed_sequence([each.low for each in bounds], settings.tolerance)
    sizes = np.arange(1, len(bounds[0].low))
    more = np.where(bounds[0].high[:-1] < -settings.tolerance, LOSES_MORE, CANNOT_BE_TOLD)
    return bounds, np.where(sizes >= smallest, CERTIFIED, more).tolist()


def frontier_of_run(
    run: RunSets, task: Task, costs: pd.DataFrame, settings: SummarySettings
) -> pd.DataFrame:
    """One row per method, size and category, and one for the whole model in each category.

    Parameters
    ----------
    costs : DataFrame
        The table of ``export.costs``, one row per set.

    Returns
    -------
    DataFrame
        COLUMNS, without model, task and seed.
    """
    parts = [judged(each, run.reference, task, settings) for each in run.categories]
    table = pd.concat(parts, ignore_index=True)
    if run.metrics.failed:
        table["verdict"] = FAILED
    table = table.merge(costs[["layers", *COSTS]], on="layers", how="left")
    return table.reindex(columns=COLUMNS[3:])


def candidates_of(category: Category, task: Task) -> tuple[pd.DataFrame, list[str]]:
    """A category's rows with the choosing scores, and its candidates' names, the smallest first."""
    worth = {name: _worth(own, task) for name, own in category.of(CHOOSE).items()}
    table = category.rows.assign(
        choose_score=[worth[name][0] for name in category.rows["name"]],
        choose_loss=[worth[name][1] for name in category.rows["name"]],
    )
    return table, choose_candidates(table[table["method"] != FULL])


def judged(
    category: Category, reference: pd.DataFrame, task: Task, settings: SummarySettings
) -> pd.DataFrame:
    """A category's rows with choosing scores, scores, differences and verdicts.

    Parameters
    ----------
    reference : DataFrame
        The full model's predictions on the examples that judge.
    """
    table, chosen = candidates_of(category, task)
    answers_of, labels = category.of(JUDGE), reference["label"].to_numpy()
    names = list(dict.fromkeys(table["name"]))
    answered = [*(answers_of[name] for name in names), reference]
    scored = _scores(task.metric, labels, answered, settings)
    full = _at(scored, [-1])
    by_name = _scored(names, scored, full, len(labels), settings)
    references = [full]
    wholes = choose_candidates(table[table["method"] == FULL].assign(method=METHODS[0]))
    if category.done != AS_IS and wholes:
        last = _at(scored, [names.index(wholes[0])])
        references.append(last)
        _from_tuned(by_name, scored.less(last, settings.confidence), len(labels), settings)
    candidates = _at(scored, [*map(names.index, chosen), -1])
    bounds, verdicts = judge_candidates(candidates, references, settings)
    worst = np.minimum.reduce([each.low for each in bounds])
    for name, bound, verdict in zip(chosen, worst, verdicts, strict=False):
        by_name[name] |= {"lower_bound": float(bound), "verdict": verdict, "chosen": True}
    rows = pd.DataFrame([by_name[name] for name in table["name"]], index=table.index)
    table = pd.concat([table, rows], axis=1)
    table.loc[table["method"] == FULL, "verdict"] = ""
    return table.assign(
        done=category.done,
        metric=task.metric,
        baseline=baseline_score(task.metric, task.type, labels),
        n_choose=len(next(iter(category.of(CHOOSE).values()))),
        n_examples=len(labels),
    )


def _worth(own: pd.DataFrame, task: Task) -> tuple[float, float]:
    """Score and mean loss of a set's predictions."""
    labels = own["label"].to_numpy()
    value = score(task.metric, labels, own["prediction"].to_numpy()).value
    return value, mean_loss(labels, logits_of(own), task)


def _scores(
    metric: str, labels: np.ndarray, tables: Sequence[pd.DataFrame], settings: SummarySettings
) -> Answers:
    predictions = np.stack([own["prediction"].to_numpy() for own in tables])
    return Answers.of(metric, labels, predictions[None], settings)


def _at(scored: Answers, places: Sequence[int]) -> Answers:
    """The scores of some sets."""
    return scored.each(lambda part: part[:, list(places)])


def _scored(
    names: Sequence[str],
    scored: Answers,
    reference: Answers,
    n_examples: int,
    settings: SummarySettings,
) -> dict[str, dict[str, object]]:
    """Scores and paired differences from the full model, with their intervals, by name.

    Parameters
    ----------
    scored : Answers
        Scores of the names, in order, and of the full model.
    """
    against: Bounds = scored.less(reference, settings.confidence)
    needed = examples_needed(against.error, n_examples, settings.tolerance)
    found: dict[str, dict[str, object]] = {}
    for place, name in enumerate(names):
        low, high = interval(scored.drawn[0, place], settings.confidence)
        worse, better = interval(against.drawn[place], settings.confidence)
        found[name] = {
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
    """Add to each row how it compares with the whole model that was treated in the same way."""
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
    rows = []
    for (seed, done), own in table.groupby(["seed", "done"], sort=False):
        good = table.loc[(table["verdict"] != FAILED) & (table["done"] == done), "seed"]
        of_seed = table[(table["seed"] == seed) & (table["method"] == FULL)]
        as_is = of_seed[of_seed["done"] == AS_IS].iloc[0]
        full = of_seed[of_seed["done"] == done].iloc[0] if done == HEAD else as_is
        row = {
            **full[["model", "task", "metric", "n_examples", "n_choose", "baseline"]],
            "seed": seed,
            "done": done,
            "total_layers": full["size"],
            "full": as_is["value"],
            "tolerance": settings.tolerance,
            "confidence": settings.confidence,
            "exported": bool(len(good)) and seed == good.iloc[0],
            "note": "",
        }
        rows.append(row | _answer(own, full))
    return pd.DataFrame(rows).reindex(columns=ANSWER_COLUMNS)


def _answer(own: pd.DataFrame, full: pd.Series) -> dict[str, object]:
    """The answer of one run and category; the whole model if no smaller one is certified."""
    if (own["verdict"] == FAILED).any():
        return {"note": FAILED}
    chosen = own[own["chosen"]].drop_duplicates("size").sort_values("size")
    certified = chosen[chosen["verdict"] == CERTIFIED]
    found = certified.iloc[0] if len(certified) else full
    kept = [
        "layers", "size", "name", "way", "steps", "seconds_in_all", "value", "difference",
        "difference_low", "difference_high",
    ]  # fmt: skip
    answer: dict[str, object] = {**found[[*kept, *COSTS]]}
    if len(certified):
        answer["lower_bound"] = found["lower_bound"]
    after = chosen[chosen["size"] < found["size"]]
    if len(after):
        following = after.iloc[-1]
        answer |= {
            "next_layers": following["layers"],
            "next_name": following["name"],
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
    """The rows for which no other row is at least as good and as cheap, and better in one.

    Parameters
    ----------
    points : DataFrame
        Columns `value` and the one named by `cost`.
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
            "configuration": own["done"].map(CONFIGURATIONS),
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
