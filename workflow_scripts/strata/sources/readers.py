"""Rows of a file: CSV, TSV, JSONL, JSON or Parquet."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from strata.runtime.errors import StrataError

# What file readers raise for a file of another format.
UNREADABLE = (
    ArithmeticError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    pd.errors.ParserWarning,
)


def read_file(name: str, file: Path, description: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of a CSV, TSV, JSONL, JSON or Parquet file."""
    if not file.is_file():
        raise StrataError(f"Task '{name}': there is no file {file}; correct 'source' or 'splits'.")
    form = description.get("format") or file.suffix.removeprefix(".").lower()
    # With or without a byte order mark.
    encoding = description.get("encoding", "utf-8-sig")
    try:
        if form in ("csv", "tsv"):
            # Tab-separated files have no quoting: a quotation mark in them is text.
            with warnings.catch_warnings():
                # Rows with more fields than columns: pandas warns, then drops fields.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    file,
                    sep="," if form == "csv" else "\t",
                    quoting=0 if form == "csv" else 3,
                    names=description.get("columns"),
                    index_col=False,
                    dtype=str,  # a text may consist of digits; labels are read as numbers later
                    encoding=encoding,
                    keep_default_na=False,
                )
        if form in ("jsonl", "json"):
            text = file.read_text(encoding=encoding)
            records = _json_lines(text) if form == "jsonl" else json.loads(text)
            return _table(records)
        if form == "parquet":
            return pd.read_parquet(file)
    except UnicodeDecodeError as error:
        raise StrataError(
            f"Task '{name}': {file}, line {_undecoded_line(file, encoding)}, is not "
            f"{error.encoding} text (byte {error.object[error.start]:#04x}); save the file as "
            "UTF-8, or give its 'encoding'."
        ) from error
    except UNREADABLE as error:
        problem = str(error).strip().rstrip(".").replace("\n", " ")
        raise StrataError(
            f"Task '{name}': {file} cannot be read as {form}: {problem}; correct the file, or its "
            "'format', 'columns' or 'encoding'."
        ) from error
    raise StrataError(
        f"Task '{name}': {file} has no known format; set 'format' to csv, tsv, jsonl, json or "
        "parquet."
    )


def _undecoded_line(file: Path, encoding: str) -> int:
    data = file.read_bytes()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    return data.count(b"\n") + 1  # the file ends in the middle of a character


def _table(records: object) -> pd.DataFrame:
    if not isinstance(records, list):
        raise TypeError(f"it holds one {type(records).__name__}, not a list of rows")
    for row, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TypeError(f"row {row} is a {type(record).__name__}, not an object with columns")
    # As they are: in a column that mixes numbers with null or text, pandas would change values.
    return pd.DataFrame(records, dtype=object)


def _json_lines(text: str) -> list[dict[str, Any]]:
    records = []
    # Not splitlines(): it would split at U+2028 and the like, which JSON strings may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error
    return records
