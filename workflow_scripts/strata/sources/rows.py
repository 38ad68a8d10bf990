"""Columns of a source's rows as texts, choices, numbers and classes; errors name the row."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from strata.runtime.errors import StrataError, always_raises

FIELD = re.compile(r"\{([^{}]+)\}")  # in a template: {column}
MAX_CHOICES = 2**16
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")  # valid in JSON, impossible in UTF-8


def _whole_number(text: str) -> int | None:
    """The whole number that a text spells (3 or 3.0), or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


class SourceRows:
    """Reads columns of a source's rows; every error names file, row (from 1) and column."""

    def __init__(self, task: str, frame: pd.DataFrame, split: str, place: str):
        self.task, self.frame, self.split, self.place = task, frame, split, place
        if not len(frame):
            raise StrataError(f"Task '{task}': {place}, its {split} split, is empty.")

    @always_raises
    def _fail(self, column: str, row: int, problem: str) -> NoReturn:
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
        """One text per row, from a column's name or from a template with {columns}."""
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

        From a list of columns or templates, one per choice; or from a single one, where a column of
        lists gives one choice per element.
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
        """Class indices from names or indices; without names, from indices alone."""
        index = {name: i for i, name in enumerate(names or ())}
        classes = np.empty(len(self.frame), dtype=np.int64)
        for row, value in enumerate(self.column(column)):
            classes[row] = self._class(column, row, value, index)
        return classes

    def _class(self, column: str, row: int, value: object, index: dict[str, int]) -> int:
        text = str(value).strip()
        if text in ("True", "False") and text not in index:
            text = text.lower()
        if text in index:
            return index[text]
        number = _whole_number(text)
        if str(number) in index:
            return index[str(number)]  # the name "1", read as 1.0
        if number == -1 or text in ("", "None", "nan", "NaN", "<NA>"):
            self._fail(
                column,
                row,
                f"the label is missing ({value!r}); choose a split that has labels; test splits "
                "often have none",
            )
        # If names are themselves numbers, indices are not accepted: a 0 among "1", "2".
        only_names = bool(index) and all(map(str.isdecimal, index))
        if number is not None and not only_names and 0 <= number < (len(index) or MAX_CHOICES):
            return number
        allowed = ", ".join(index) if index else "whole numbers from 0"
        self._fail(column, row, f"unknown label {_shown(value)}; allowed are {allowed}")

    def _strings(self, column: str) -> list[str]:
        values = self.column(column)
        for row, value in enumerate(values):
            self._check_string(column, row, value)
        return values

    def _check_string(self, column: str, row: int, value: object) -> None:
        if not isinstance(value, str):
            kind = type(value).__name__
            self._fail(column, row, f"the text is {_shown(value)} ({kind}), not a string")
        if half := HALF_CHARACTER.search(value):
            self._fail(
                column,
                row,
                f"the text holds half a character ({half[0]!r}, a lone surrogate), which no file "
                "can hold; write the whole character, or remove it",
            )


def _shown(value: object) -> str:
    """A value in a message: as Python writes it, long ones shortened."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text):,} characters)"


def _fields(template: str) -> list[str]:
    return list(dict.fromkeys(FIELD.findall(template)))


def _filled(template: str, values: Mapping[str, str]) -> str:
    return FIELD.sub(lambda field: values[field[1]], template)
