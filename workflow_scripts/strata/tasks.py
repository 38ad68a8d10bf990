"""Tasks: from a source's rows to one form, and from that form to examples.

A task in `data/tasks/{task}/` is ``train.parquet`` and ``eval.parquet`` with the columns
``example_id`` (row in the source split, from 0), ``text_a``, ``text_b`` (pairs only) or
``choices`` (multiple choice only: a list of texts) and ``label`` (class or gold index, or a
float), and ``task.json``, which says what they are.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata.jobs import StrataError, written_whole

SPLITS = ("train", "eval")
FEWEST = {"train": 2, "eval": 4}  # examples: heads hold one out, debiased CKA needs four
FIELD = re.compile(r"\{([^{}]+)\}")  # of a template: {column}
MOST_CHOICES = 2**16
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")  # JSON can write it, no file in UTF-8 can hold it


@dataclass(frozen=True)
class Task:
    """What a prepared task is: its kind, label names, metric, and where it came from.

    Attributes
    ----------
    choices : rows an encoder reads for each example; 1 but for multiple choice.
    sizes : split -> examples; `dropped` : split -> rows that are in no class of the cuts.
    source : provenance, with the commit that a hub revision resolved to.
    """

    name: str
    type: str
    labels: list[str] | None
    metric: str
    choices: int
    sizes: dict[str, int]
    dropped: dict[str, int]
    source: dict[str, Any]

    @property
    def num_labels(self) -> int:
        """Outputs of the head: classes, or 1 for regression and multiple choice."""
        return len(self.labels) if self.type == "classification" else 1

    @classmethod
    def read(cls, path: str | Path) -> "Task":
        """Read a task.json."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def read_examples(path: str | Path, limit: int | None = None, seed: int = 0) -> pd.DataFrame:
    """The examples of a prepared split, or `limit` of them, drawn with `seed`, in order."""
    frame = pd.read_parquet(path)
    if limit is None or limit >= len(frame):
        return frame
    rows = np.sort(np.random.default_rng(seed).choice(len(frame), limit, replace=False))
    return frame.iloc[rows].reset_index(drop=True)


def prepare(
    name: str,
    description: Mapping[str, Any],
    rows: Mapping[str, pd.DataFrame],
    places: Mapping[str, str],
    source: dict[str, Any],
    folder: str | Path,
) -> Task:
    """Bring a source's rows to the one form and write `folder`.

    Parameters
    ----------
    name : the task's name in the registry.
    description : its entry there (``type``, ``texts``, ``label``, ...).
    rows : split -> the source's rows; without "eval", `description["holdout"]` splits "train".
    places : split -> the file (or hub split) the rows are from, for messages.
    source : provenance, kept in task.json.
    folder : where train.parquet, eval.parquet and task.json go.

    Raises
    ------
    StrataError : a missing column, a text that is not a string, an unknown or missing label, an
        empty split; names file, row and column.
    """
    frames, dropped = {}, {}
    for split in (s for s in SPLITS if s in rows):
        frame = rows[split]
        frames[split] = normalise(name, description, frame, split, places[split])
        dropped[split] = len(frame) - len(frames[split])
    if "eval" not in frames:
        frames = hold_out(frames["train"], **description["holdout"])
    for split in SPLITS:
        if not len(frames[split]):
            origin = split if split in rows else "train"
            raise StrataError(
                f"Task '{name}' has no {split} examples: of the {len(rows[origin])} rows of "
                f"{places[origin]}, {dropped[origin]} are in no class, and none is left for it; "
                "change 'cuts' or 'holdout'."
            )
    task = Task(
        name=name,
        type=description["type"],
        labels=_label_names(description),
        metric=description["metric"],
        choices=_choice_count(name, frames) if description["type"] == "multiple-choice" else 1,
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


def check_enough(name: str, labels: Mapping[str, pd.Series]) -> None:
    """Refuse splits from which nothing can be learnt, or against which nothing can be scored.

    Parameters
    ----------
    labels : split -> the labels of its examples.
    """
    for split, own in labels.items():
        if len(own) < FEWEST[split]:
            problem = f"has {len(own)} {split} examples, and needs {FEWEST[split]} or more"
        elif own.nunique() == 1:
            problem = f"has {len(own)} {split} examples, and all have the same label"
        else:
            continue
        raise StrataError(
            f"Task '{name}' {problem}: change its 'splits', 'label', 'cuts' or 'holdout'."
        )


def normalise(
    name: str, description: Mapping[str, Any], frame: pd.DataFrame, split: str, place: str
) -> pd.DataFrame:
    """One split's rows in the one form: example_id, text_a, text_b or choices, label."""
    reader = _Rows(name, frame, split, place)
    out = {"example_id": np.arange(len(frame), dtype=np.int64)}
    for column, template in zip(("text_a", "text_b"), description["texts"], strict=False):
        out[column] = reader.texts(template)
    if description["type"] == "multiple-choice":
        out["choices"] = reader.choices(description["choices"])
        out["label"] = reader.classes(description["label"], None)
    elif description["type"] == "regression":
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

    Stable: an example stays on its side when others are added, and copies of a text are together.
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


def _whole(text: str) -> int | None:
    """The whole number that a text spells, as 3 or 3.0, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _cut(values: np.ndarray, cuts: list[dict[str, Any]]) -> np.ndarray:
    """Class of each value: the cut whose bounds (exclusive) hold it, or -1."""
    classes = np.full(len(values), -1, dtype=np.int64)
    for index, cut in enumerate(cuts):
        inside = (values > cut.get("above", -np.inf)) & (values < cut.get("below", np.inf))
        classes[inside] = index
    return classes


def _choice_count(name: str, frames: Mapping[str, pd.DataFrame]) -> int:
    """Choices an example has: the same number everywhere, and every label one of them."""
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


class _Rows:
    """Reads columns of a source's rows; every complaint names file, row (from 1) and column."""

    def __init__(self, task: str, frame: pd.DataFrame, split: str, place: str):
        self.task, self.frame, self.split, self.place = task, frame, split, place
        if not len(frame):
            raise StrataError(f"Task '{task}': {place}, its {split} split, is empty.")

    def _fail(self, column: str, row: int, problem: str) -> None:
        raise StrataError(
            f"Task '{self.task}' ({self.split}): {self.place}, row {row + 1}, column "
            f"'{column}': {problem}."
        )

    def column(self, name: str) -> list[Any]:
        if name not in self.frame.columns:
            raise StrataError(
                f"Task '{self.task}' ({self.split}): {self.place} has no column '{name}'; it has "
                f"{', '.join(map(str, self.frame.columns))}."
            )
        return self.frame[name].tolist()

    def texts(self, template: str) -> list[str]:
        """One text a row from a column's name, or from a template with {columns}."""
        fields = _fields(template)
        if not fields:
            return self._strings(template)
        columns = {field: self._strings(field) for field in fields}
        return [
            _filled(template, {field: columns[field][row] for field in fields})
            for row in range(len(self.frame))
        ]

    def choices(self, templates: str | list[str]) -> list[list[str]]:
        """The choices of each row.

        From a list of columns or templates, one a choice; or from a single one, in which a column
        that holds a list gives a choice for each of its elements.
        """
        if isinstance(templates, list):
            return [list(row) for row in zip(*map(self.texts, templates), strict=True)]
        fields = _fields(templates) or [templates]
        template = templates if _fields(templates) else f"{{{templates}}}"
        columns = {field: self.column(field) for field in fields}
        spread = [f for f in fields if isinstance(columns[f][0], list | tuple | np.ndarray)]
        if len(spread) != 1:
            raise StrataError(
                f"Task '{self.task}' ({self.split}): {self.place}: the choices '{templates}' need "
                f"exactly one column that holds a list; {len(spread)} of "
                f"{', '.join(fields)} do."
            )
        fixed = {field: self._strings(field) for field in fields if field not in spread}
        out = []
        for row, elements in enumerate(columns[spread[0]]):
            if not isinstance(elements, list | tuple | np.ndarray):
                self._fail(spread[0], row, f"the choices are {_shown(elements)}, not a list")
            for element in elements:
                self._check_string(spread[0], row, element)
            values = {field: fixed[field][row] for field in fixed}
            out.append([_filled(template, {**values, spread[0]: e}) for e in elements])
        return out

    def numbers(self, column: str) -> np.ndarray:
        values = np.empty(len(self.frame))
        for row, value in enumerate(self.column(column)):
            try:
                values[row] = float(value)
            except (TypeError, ValueError, OverflowError):
                self._fail(column, row, f"the label {_shown(value)} is not a number")
            if not np.isfinite(values[row]):
                self._fail(column, row, f"the label is missing ({value!r})")
        return values

    def classes(self, column: str, names: list[str] | None) -> np.ndarray:
        """Class indices from names or indices; with no names, from indices alone."""
        index = {name: i for i, name in enumerate(names or ())}
        classes = np.empty(len(self.frame), dtype=np.int64)
        for row, value in enumerate(self.column(column)):
            classes[row] = self._class(column, row, value, index)
        return classes

    def _class(self, column: str, row: int, value: Any, index: dict[str, int]) -> int:
        text = str(value).strip()
        if text in ("True", "False") and text not in index:
            text = text.lower()
        if text in index:
            return index[text]
        number = _whole(text)
        if str(number) in index:
            return index[str(number)]  # the name "1", read as 1.0
        if number == -1 or text in ("", "None", "nan", "NaN", "<NA>"):
            self._fail(
                column,
                row,
                f"the label is missing ({value!r}); choose a split that has labels, a test split "
                "often has none",
            )
        # Names that are numbers themselves leave no room for indices: a 0 among "1", "2".
        indices = number is not None and not (index and all(map(str.isdecimal, index)))
        if indices and 0 <= number < (len(index) or MOST_CHOICES):
            return number
        allowed = ", ".join(index) if index else "whole numbers from 0"
        self._fail(column, row, f"unknown label {_shown(value)}; allowed are {allowed}")

    def _strings(self, column: str) -> list[str]:
        values = self.column(column)
        for row, value in enumerate(values):
            self._check_string(column, row, value)
        return values

    def _check_string(self, column: str, row: int, value: Any) -> None:
        if not isinstance(value, str):
            kind = type(value).__name__
            self._fail(column, row, f"the text is {_shown(value)} ({kind}), not a string")
        if half := HALF_CHARACTER.search(value):
            self._fail(
                column,
                row,
                f"the text holds half a character ({half[0]!r}, a lone surrogate), which no file "
                "can keep; write the whole character, or take it out",
            )


def _shown(value: Any) -> str:
    """A value in a message: as Python writes it, and not all of a long one."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text):,} characters)"


def _fields(template: str) -> list[str]:
    return list(dict.fromkeys(FIELD.findall(template)))


def _filled(template: str, values: Mapping[str, str]) -> str:
    return FIELD.sub(lambda field: values[field[1]], template)
