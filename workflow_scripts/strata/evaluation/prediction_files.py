"""Prediction tables as Parquet files, with the logits behind the predictions."""

from pathlib import Path

import numpy as np
import pandas as pd

from strata.runtime.errors import StrataError


def logit_columns(table: pd.DataFrame) -> list[str]:
    """The columns logit_0, logit_1, … of a prediction table, in the order of the answers."""
    names = [name for name in table.columns if str(name).startswith("logit_")]
    return sorted(names, key=lambda name: int(name.removeprefix("logit_")))


def write_predictions(table: pd.DataFrame, path: str | Path) -> None:
    """Write a prediction table; values and types are kept unchanged.

    Repeated values are stored once (configuration, depth, label, prediction), example numbers as
    differences, and floats byte by byte, since signs and exponents compress and mantissas do not.
    The file, mostly logits, is half as large as pandas makes it by default.
    """
    floats = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    numbers = [name for name in ["example_id"] if pd.api.types.is_integer_dtype(table[name])]
    encoding = dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
    table.to_parquet(
        path,
        index=False,
        compression="zstd",
        use_dictionary=[name for name in table.columns if name not in {*floats, *numbers}],
        column_encoding=encoding | dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
    )


def read_with_logits(path: str | Path) -> pd.DataFrame:
    """Read a prediction table whose logits are needed.

    Raises
    ------
    StrataError
        The table has no logits, because an earlier version of Strata wrote it.
    """
    table = pd.read_parquet(path)
    if not logit_columns(table):
        raise StrataError(
            f"{path} has no logits, so an earlier version of Strata wrote it; make it again with "
            f"'snakemake {path} --force' (and the study's --configfile)."
        )
    return table


def logits_of(table: pd.DataFrame) -> np.ndarray:
    """The logits of a prediction table, [rows, answers], in float64."""
    return table[logit_columns(table)].to_numpy(dtype=np.float64)
