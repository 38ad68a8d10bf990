"""The frontier in other formats: what a candidate loses as float32 or int8 ONNX, and its verdict.

Candidates are those of the frontier: fixed by the examples that choose, before those that judge are
used. Formats are fixed by the config. So each category and format has its own sequence, as each
category has in torch: the whole model in that format first, then L - 1 layers, L - 2, … until one
is not certified to lose less than the tolerance against the full model in torch. Taking the best of
several formats by these scores would be biased.
"""

import numpy as np
import pandas as pd

from strata.analysis.frontier import (
    COSTS,
    FAILED,
    FULL,
    Category,
    RunSets,
    candidates_of,
    judged,
)
from strata.data.parts import CHOOSE, JUDGE
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.prediction_files import logits_of
from strata.evaluation.resampling import interval, resampled_scores
from strata.study.layer_sets import AS_IS, METHODS
from strata.study.settings import Sampling, SummarySettings

TORCH = "torch"
FROM_TORCH = ["from_torch", "from_torch_low", "from_torch_high", "agreement", "max_difference"]
MEASURED_COLUMNS = ["format", "metric", "value", "low", "high", *FROM_TORCH, "n_examples", *COSTS]
COLUMNS = [
    "model", "task", "seed", "format", "method", "layers", "size", "done", "name", "metric",
    "baseline", "choose_score", "choose_loss", "n_choose", "value", "low", "high", "difference",
    "difference_low", "difference_high", "lower_bound", "upper_bound", "from_tuned",
    "from_tuned_low", "from_tuned_high", *FROM_TORCH, "examples_needed", "n_examples", "verdict",
    *COSTS, "measured_as",
]  # fmt: skip


def beside_torch(
    own: pd.DataFrame, torch: pd.DataFrame, task: Task, sampling: Sampling
) -> dict[str, float]:
    """A format's predictions compared with torch's, for the same layers and examples.

    Parameters
    ----------
    own, torch : DataFrame
        Tables of ``predictions.answers``.

    Returns
    -------
    dict of str to float
        The score with its interval over examples (value, low, high); its paired difference from
        torch's (from_torch, from_torch_low, from_torch_high); the share of equal predictions
        (agreement; NaN for a regression); the largest difference of a logit (max_difference).
    """
    labels = own["label"].to_numpy()
    both = np.stack([own["prediction"].to_numpy(), torch["prediction"].to_numpy()])
    drawn, drawn_torch = resampled_scores(task.metric, labels, both, sampling)
    value, of_torch = (score(task.metric, labels, each).value for each in both)
    low, high = interval(drawn, sampling.confidence)
    worse, better = interval(drawn - drawn_torch, sampling.confidence)
    return {
        "value": value,
        "low": low,
        "high": high,
        "from_torch": value - of_torch,
        "from_torch_low": worse,
        "from_torch_high": better,
        "agreement": np.nan if task.kind.continuous else float(np.mean(both[0] == both[1])),
        "max_difference": float(np.abs(logits_of(own) - logits_of(torch)).max()),
    }


def candidates_of_run(run: RunSets, task: Task, most: int) -> list[str]:
    """The whole model and the candidates of each category, by name, the largest first.

    Parameters
    ----------
    most : int
        The largest number of sizes per category, evenly spread from the largest to the smallest.
    """
    names = []
    for category in run.categories:
        table, chosen = candidates_of(category, task)
        places = np.linspace(len(chosen) - 1, 0, min(most, len(chosen))).round().astype(int)
        (whole,) = table.loc[table["method"] == FULL, "name"]
        names += [whole, *(chosen[place] for place in places)]
    return names


def frontier_of_formats(
    run: RunSets, answers: pd.DataFrame, costs: pd.DataFrame, task: Task, settings: SummarySettings
) -> pd.DataFrame:
    """One row per candidate and format, including the whole model.

    Parameters
    ----------
    run : RunSets
        The run that `answers` are from.
    answers : DataFrame
        Columns name, format and those of ``predictions.answers``, for the examples that judge.
    costs : DataFrame
        One row per layer set and format.

    Returns
    -------
    DataFrame
        COLUMNS, without model, task and seed.
    """
    formats, tables = list(dict.fromkeys(answers["format"])), []
    for category in run.categories:
        for form in formats:
            own = _in_format(category, answers, form)
            table = judged(own, _reference(run, answers), task, settings).assign(format=form)
            tables.append(_as_they_are(table, form))
    table = pd.concat(tables, ignore_index=True)
    beside = [
        beside_torch(_of(answers, name, form), _of(answers, name, TORCH), task, settings)
        for name, form in table[["name", "format"]].itertuples(index=False)
    ]
    for column in FROM_TORCH:
        table[column] = [row[column] for row in beside]
    if run.metrics.failed:
        table["verdict"] = FAILED
    known = ["layers", "format", *COSTS, "measured_as"]
    table = table.merge(costs[known], on=["layers", "format"], how="left")
    return table.reindex(columns=COLUMNS[3:])


def _of(answers: pd.DataFrame, name: str, form: str) -> pd.DataFrame:
    return answers[(answers["name"] == name) & (answers["format"] == form)]


def _whole(category: Category) -> str:
    (name,) = category.rows.loc[category.rows["method"] == FULL, "name"]
    return str(name)


def _reference(run: RunSets, answers: pd.DataFrame) -> pd.DataFrame:
    """The predictions of the full model in torch."""
    (as_is,) = (each for each in run.categories if each.done == AS_IS)
    return _of(answers, _whole(as_is), TORCH)


def _in_format(category: Category, answers: pd.DataFrame, form: str) -> Category:
    """A category's cut models that have predictions in a format.

    The whole model in torch stays the reference; in another format it is one of the candidates.
    """
    whole = _whole(category)
    rows = category.rows.drop_duplicates("name")
    rows = rows[rows["name"].isin(answers["name"])]
    own = answers[(answers["format"] == form) & answers["name"].isin(rows["name"])]
    choosing = category.answers[
        (category.answers["part"] == CHOOSE) & category.answers["name"].isin(rows["name"])
    ]
    parts = [own.assign(part=JUDGE), choosing]
    if form != TORCH:
        in_torch = [_of(answers, whole, TORCH).assign(part=JUDGE), _named(choosing, whole)]
        tried = _named(rows, whole).assign(method=METHODS[0], name=f"{whole}.{form}")
        rows = pd.concat([rows, tried], ignore_index=True)
        parts = [_renamed(each, whole, f"{whole}.{form}") for each in parts] + in_torch
    return Category(category.done, rows, pd.concat(parts, ignore_index=True))


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["name"] == name]


def _renamed(table: pd.DataFrame, name: str, to: str) -> pd.DataFrame:
    return table.assign(name=table["name"].mask(table["name"] == name, to))


def _as_they_are(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """One row per cut model, by its own name; the whole model in torch has a row only for torch."""
    if form == TORCH:
        return table
    table = table[table["method"] != FULL]
    tried = table["name"].str.endswith(f".{form}")
    names = table["name"].str.removesuffix(f".{form}")
    return table.assign(method=table["method"].mask(tried, FULL), name=names)
