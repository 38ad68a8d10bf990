"""A source's rows in the form of ``strata.data.task``, split."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata.data.task import SPLITS, Task
from strata.runtime.errors import StrataError
from strata.runtime.files import written_whole
from strata.sources.rows import SourceRows
from strata.study.task_types import TASK_TYPES

MIN_EXAMPLES = {
    "train": 2,
    "eval": 4,
}  # examples: tuning heads holds one out, debiased CKA needs four


def prepare(
    name: str,
    description: Mapping[str, Any],
    rows: Mapping[str, pd.DataFrame],
    places: Mapping[str, str],
    source: dict[str, Any],
    folder: str | Path,
) -> Task:
    """Convert a source's rows to the form of ``strata.data.task`` and write `folder`.

    Parameters
    ----------
    name : str
        The task's name in the registry.
    description : mapping of str to object
        The task's entry there (``type``, ``texts``, ``label``, ...).
    rows : mapping of str to DataFrame
        The source's rows of each split. Without "eval", `description["holdout"]` splits "train";
        without "train" there are no train examples.
    places : mapping of str to str
        The file (or hub split) that each split's rows are from, for messages.
    source : dict of str to object
        Where the task came from, kept in task.json.
    folder : path-like
        Where train.parquet, eval.parquet and task.json go.

    Raises
    ------
    StrataError
        There is a missing column, a text that is not a string, an unknown or missing label, or an
        empty split; the message names file, row and column.
    """
    kind = TASK_TYPES[description["type"]]
    frames, dropped = {}, {}
    for split in (s for s in SPLITS if s in rows):
        frame = rows[split]
        frames[split] = normalise(name, description, frame, split, places[split])
        dropped[split] = len(frame) - len(frames[split])
    if "eval" not in frames:
        frames = hold_out(frames["train"], **description["holdout"])
    for split in (s for s in SPLITS if s in rows or s == "eval"):
        if not len(frames[split]):
            origin = split if split in rows else "train"
            raise StrataError(
                f"Task '{name}' has no {split} examples: of the {len(rows[origin])} rows of "
                f"{places[origin]}, {dropped[origin]} are in no class, and none is left for this "
                "split; change 'cuts' or 'holdout'."
            )
    if "train" not in frames:  # nothing is trained on such a task
        frames["train"] = frames["eval"].iloc[:0]
    task = Task(
        name=name,
        type=description["type"],
        labels=_label_names(description),
        metric=description["metric"],
        choices=_choice_count(name, frames) if kind.compares_rows else 1,
        sizes={split: len(frames[split]) for split in SPLITS},
        dropped=dropped,
        source=source,
    )
    for split in SPLITS:
        with written_whole(Path(folder) / f"{split}.parquet") as partial:
            frames[split].to_parquet(partial, index=False)
    with written_whole(Path(folder) / "task.json") as partial:
        partial.write_text(json.dumps(asdict(task), indent=2) + "\n", encoding="utf-8")
    return task


def normalise(
    name: str, description: Mapping[str, Any], frame: pd.DataFrame, split: str, place: str
) -> pd.DataFrame:
    """One split's rows in that form: example_id, text_a, text_b or choices, label."""
    reader = SourceRows(name, frame, split, place)
    out: dict[str, np.ndarray | list[str] | list[list[str]]] = {
        "example_id": np.arange(len(frame), dtype=np.int64)
    }
    for column, template in zip(("text_a", "text_b"), description["texts"], strict=False):
        out[column] = reader.texts(template)
    kind = TASK_TYPES[description["type"]]
    if kind.compares_rows:
        out["choices"] = reader.choices(description["choices"])
        out["label"] = reader.classes(description["label"], None)
    elif kind.continuous:
        out["label"] = reader.numbers(description["label"])
    elif "cuts" in description:
        out["label"] = _cut(reader.numbers(description["label"]), description["cuts"])
    else:
        out["label"] = reader.classes(description["label"], _label_names(description))
    frame = pd.DataFrame(out)
    if "cuts" in description:
        frame = frame[frame["label"] >= 0].reset_index(drop=True)
    return frame


def hold_out(frame: pd.DataFrame, fraction: float, seed: int) -> dict[str, pd.DataFrame]:
    """Split rows into train and eval by a hash of seed and text.

    Stable: an example stays in its split when others are added, and copies of a text stay together.
    """
    texts = frame[[c for c in ("text_a", "text_b", "choices") if c in frame]]
    rows = texts.itertuples(index=False)
    shares = np.array([_share("\x1f".join(map(str, (seed, *row)))) for row in rows])
    held = shares < fraction
    return {
        "train": frame[~held].reset_index(drop=True),
        "eval": frame[held].reset_index(drop=True),
    }


def _share(text: str) -> float:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _label_names(description: Mapping[str, Any]) -> list[str] | None:
    if "cuts" in description:
        return [cut["name"] for cut in description["cuts"]]
    return [str(label) for label in description["labels"]] if "labels" in description else None


def _cut(values: np.ndarray, cuts: list[dict[str, Any]]) -> np.ndarray:
    """Class of each value: the cut with the value within its (exclusive) bounds, or -1."""
    classes = np.full(len(values), -1, dtype=np.int64)
    for index, cut in enumerate(cuts):
        inside = (values > cut.get("above", -np.inf)) & (values < cut.get("below", np.inf))
        classes[inside] = index
    return classes


def _choice_count(name: str, frames: Mapping[str, pd.DataFrame]) -> int:
    """The number of choices per example, after checking that it is the same and labels fit it."""
    counts = sorted({len(choices) for split in SPLITS for choices in frames[split]["choices"]})
    if len(counts) > 1 or counts[0] < 2:
        raise StrataError(
            f"Task '{name}' has examples with {' and '.join(map(str, counts))} choices; all "
            "examples of a multiple-choice task need the same number, two or more."
        )
    for split in SPLITS:
        beyond = frames[split][frames[split]["label"] >= counts[0]]
        if len(beyond):
            row = beyond.iloc[0]
            raise StrataError(
                f"Task '{name}' ({split}), row {row['example_id'] + 1}: the label is choice "
                f"{row['label']} (counted from 0), but there are {counts[0]} choices."
            )
    return counts[0]


def check_enough(name: str, labels: Mapping[str, pd.Series]) -> None:
    """Refuse splits from which nothing can be learned, or on which nothing can be scored.

    Parameters
    ----------
    labels : mapping of str to Series
        The labels of each split's examples.
    """
    for split, column in labels.items():
        count = len(column)
        if count < MIN_EXAMPLES[split]:
            problem = f"has {count} {split} examples, and needs {MIN_EXAMPLES[split]} or more"
        elif column.nunique() == 1:
            problem = f"has {count} {split} examples, and all have the same label"
        else:
            continue
        raise StrataError(
            f"Task '{name}' {problem}: change its 'splits', 'label', 'cuts' or 'holdout'."
        )
