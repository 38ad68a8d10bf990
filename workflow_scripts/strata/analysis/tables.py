"""Tables of a study: tables of states joined, with the context that every number needs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from strata.evaluation.resampling import interval, resampled_scores
from strata.study.run_records import RunMetrics
from strata.study.settings import Sampling
from strata.study.states import State


def read_metrics(paths: Iterable[str | Path], seeds: Iterable[int]) -> dict[int, RunMetrics]:
    """The metrics of each seed's run, from its metrics.json."""
    return {seed: RunMetrics.read(path) for seed, path in zip(seeds, paths, strict=True)}


def read_tables(paths: Iterable[str | Path]) -> pd.DataFrame:
    """CSV tables with the same columns, as one table."""
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def join_tables(paths: Iterable[str | Path]) -> pd.DataFrame:
    """CSV tables joined as text; columns that one of them does not have are empty there.

    What looks like a number need not be one: "3" is a layer set.
    """
    parts = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
    return pd.concat(parts, ignore_index=True)


def flag_failed_states(table: pd.DataFrame, runs: Mapping[int, RunMetrics]) -> pd.DataFrame:
    """A CKA table with `failed`, which marks rows in which a state is a run that failed."""
    bad = {seed for seed, run in runs.items() if run.failed}
    failed = [
        State.parse(y).seed in bad or State.parse(x).seed in bad
        for y, x in zip(table["y_state"], table["x_state"], strict=True)
    ]
    return table.assign(failed=failed)


def with_intervals(
    scores: pd.DataFrame, predictions: pd.DataFrame, sampling: Sampling, places: Sequence[str]
) -> pd.DataFrame:
    """A run's scores with `low` and `high`, the bootstrap interval over examples of each.

    Parameters
    ----------
    scores : DataFrame
        With the places, metric and value.
    predictions : DataFrame
        What they are scores of: the places, label and prediction, a row an example.
    sampling : Sampling
        How intervals are made.
    places : sequence of str
        Columns that say which rows of predictions a score is of.
    """
    groups = {place: rows for place, rows in predictions.groupby([*places], sort=False)}
    chosen = [groups[place] for place in zip(*(scores[name] for name in places), strict=True)]
    labels = chosen[0]["label"].to_numpy()
    answers = np.stack([rows["prediction"].to_numpy() for rows in chosen])
    drawn = resampled_scores(scores["metric"].iloc[0], labels, answers, sampling)
    bounds = np.array([interval(values, sampling.confidence) for values in drawn])
    after = scores.columns.tolist().index("value") + 1
    table = scores.copy()
    table.insert(after, "low", bounds[:, 0])
    table.insert(after + 1, "high", bounds[:, 1])
    return table


def truncation_table(
    model: str, task: str, scores: pd.DataFrame, runs: Mapping[int, RunMetrics]
) -> pd.DataFrame:
    """All configurations of a model and task, with rows for the full model and the baseline.

    Parameters
    ----------
    scores : DataFrame
        Columns seed, configuration, depth, metric, value, low, high, degenerate, n, n_examples.
    runs : mapping of int to RunMetrics
        The metrics of each seed's run.
    """
    top, rows = int(scores["depth"].max()), int(scores["n"].iloc[0])
    extra = [
        {
            "seed": seed,
            "configuration": "full",
            "depth": top,
            "metric": run.metric,
            "value": run.score,
            "low": run.score_low,
            "high": run.score_high,
            "degenerate": run.degenerate,
            "n": rows,
            "n_examples": run.n_examples,
        }
        for seed, run in runs.items()
    ]
    any_run = next(iter(runs.values()))
    extra.append(
        {
            "seed": None,
            "configuration": "baseline",
            "depth": None,
            "metric": any_run.metric,
            "value": any_run.baseline,
            "degenerate": False,
            "n": rows,
            "n_examples": any_run.n_examples,
        }
    )
    table = pd.concat([scores, pd.DataFrame(extra)], ignore_index=True)
    table["failed"] = [seed in runs and runs[seed].failed for seed in table["seed"]]
    for column in ("seed", "depth"):
        table[column] = table[column].astype("Int64")
    table.insert(0, "model", model)
    table.insert(1, "task", task)
    return table


def skipping_table(
    model: str, task: str, scores: pd.DataFrame, runs: Mapping[int, RunMetrics]
) -> pd.DataFrame:
    """Every span's score of a model and task, with the full model's and the baseline's."""
    table = scores.copy()
    table.insert(0, "model", model)
    table.insert(1, "task", task)
    columns = table.columns.tolist()
    after = columns.index("high" if "high" in columns else "value") + 1
    table.insert(after, "full", [runs[seed].score for seed in table["seed"]])
    table.insert(after + 1, "baseline", [runs[seed].baseline for seed in table["seed"]])
    table["failed"] = [runs[seed].failed for seed in table["seed"]]
    return table
