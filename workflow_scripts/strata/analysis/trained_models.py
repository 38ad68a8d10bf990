"""Predictions of models that were trained after their cut, and how long training took."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from strata.analysis.frontier import FULL


def trained_models(
    answers: Sequence[str | Path], records: Sequence[str | Path], full: Mapping[int, str | Path]
) -> tuple[dict[int, list[pd.DataFrame]], dict[int, dict[str, float]]]:
    """Tables of predictions, and seconds of training, by seed.

    Parameters
    ----------
    answers, records : sequence of path-like
        The answers.parquet and run.json of each model, in the same order.
    full : mapping of int to path-like
        The full model's run.json by seed; if the model came fine-tuned, it has no seconds.

    Returns
    -------
    tuple of dict of int to list of DataFrame and dict of int to dict of str to float
        Tables of ``cut_training.answers_of_cut`` by seed, and seconds by seed and name (or FULL).
    """
    tables: dict[int, list[pd.DataFrame]] = {seed: [] for seed in full}
    seconds: dict[int, dict[str, float]] = {seed: {} for seed in full}
    for seed, path in full.items():
        if (taken := _read(path).get("wall_seconds")) is not None:
            seconds[seed][FULL] = float(taken)
    for table, record in zip(answers, records, strict=True):
        about = _read(record)
        seed = int(about["seed"])
        tables[seed].append(pd.read_parquet(table))
        seconds[seed][about["variant"]] = float(about["wall_seconds"])
    return tables, seconds


def _read(path: str | Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))
