"""The frontier's answers in words: the smallest certified models, for the end of a run."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from strata.analysis.frontier import FAILED
from strata.analysis.summary import LOSES_MORE
from strata.analysis.words import points_of, rounded
from strata.study.layer_sets import AS_IS, HEAD, TRAINED
from strata.study.trained_cuts import WAYS

HOW = {
    AS_IS: "without any training",
    HEAD: "with its head tuned",
    TRAINED: "trained after the cut",
}
WHOLE = {HEAD: "all layers with the head tuned", TRAINED: "all layers trained as long"}


def frontier_text(answers: pd.DataFrame) -> str:
    """The smallest certified model of each pair, as it is and with a tuned head, run by run."""
    lines = []
    for (model, task), of_pair in answers.groupby(["model", "task"], sort=False):
        first = of_pair.iloc[0]
        lines.append(
            f"{model} on {task}: the smallest model that loses less than "
            f"{points_of(first['tolerance'])}, with {first['confidence']:.0%} confidence (layers "
            f"chosen on {first['n_choose']:,} examples, judged on {first['n_examples']:,} others)"
        )
        for seed, own in of_pair.groupby("seed", sort=False):
            lines += _of_run(seed, own)
    return "\n".join(lines)


def _of_run(seed: object, own: pd.DataFrame) -> Iterator[str]:
    if (own["note"] == FAILED).any():
        yield f"  seed {seed}: FAILED, its score does not beat the baseline, so there is no answer"
        return
    for _, row in own.iterrows():
        yield f"  seed {seed}, {HOW[row['done']]}: {_answer(row)}"


def _answer(row: pd.Series) -> str:
    """A run's answer in one category, and why the next smaller model is not certified."""
    if row["size"] == row["total_layers"]:
        words = f"none smaller than all {row['total_layers']:.0f} layers"
    else:
        words = (
            f"{_named(row)} ({row['size']:.0f} of {row['total_layers']:.0f}{_training(row)}), "
            f"{_points(row, 'difference')}, at worst {100 * row['lower_bound']:+.1f}; "
            f"{row['latency_ratio']:.2f} times as fast on one text ({row['latency_ms']:.1f} ms, "
            f"{row['device']}, {row['threads']:.0f} threads), {row['speed_ratio']:.2f} times in "
            f"batches; {row['parameters'] / 1e6:.1f}M of {row['full_parameters'] / 1e6:.1f}M "
            f"parameters, {row['file_mb']:.0f} of {row['full_file_mb']:.0f} MB"
        )
    if pd.isna(row["next_layers"]):
        return words
    following = row["next_name"] if row["done"] == TRAINED else f"layers {row['next_layers']}"
    lost = _points(row, "next")
    if pd.notna(row["next_from_tuned"]):
        lost += f"; {_points(row, 'next_from_tuned')} from {WHOLE[row['done']]}"
    if row["next_verdict"] == LOSES_MORE:
        return f"{words}; {following} lose more ({lost})"
    unsure = f"{words}; for {following} it cannot be told ({lost})"
    if np.isinf(row["next_examples"]):
        return f"{unsure}; with a tolerance of 0, no number of examples certifies a set"
    return (
        f"{unsure}: if nothing is lost, showing it takes about {rounded(row['next_examples']):,} "
        f"examples, and there are {row['n_examples']:,.0f}"
    )


def _named(row: pd.Series) -> str:
    return str(row["name"]) if row["done"] == TRAINED else f"layers {row['layers']}"


def _training(row: pd.Series) -> str:
    """How it was trained, and for how long, including the models that it needed."""
    if row["done"] != TRAINED:
        return ""
    seconds = row["seconds_in_all"]
    took = "" if pd.isna(seconds) else f" ({seconds / 60:.1f} minutes of training in all)"
    return f"; {WAYS[row['way']].words}, {row['steps']:.0f} steps{took}"


def _points(row: pd.Series, name: str) -> str:
    """A difference with its interval; for `next` the difference from the full model."""
    parts = [name, f"{name}_low", f"{name}_high"]
    if name == "next":
        parts[0] = "next_difference"
    value, low, high = (100 * row[part] for part in parts)
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
