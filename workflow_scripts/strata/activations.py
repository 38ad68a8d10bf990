"""Representations of every depth, in one HDF5 file a state and split.

Layout: datasets ``cls`` and, where asked, ``mean``, of shape [depths, rows, hidden], contiguous;
``depth_cls`` / ``depth_mean``: the depth of each slice; ``label``, ``example_id`` and, for
multiple choice, ``choice``, each [rows]. Depths of ``cls`` start at 1: at depth 0 it is the same
vector for every example. Attributes say whose representations they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import h5py
import numpy as np
import pandas as pd

from strata.jobs import Progress, StrataError, written_whole
from strata.provenance import versions

SCHEMA_VERSION = 1
FIRST_DEPTH = {"cls": 1, "mean": 0}


class Activations:
    """An open activation file.

    Attributes
    ----------
    attributes : what the file says of itself (model, task, split, state, seed, ...).
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            self._fail("is not there")
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            self._fail(f"is not a whole HDF5 file ({error})", error)
        self.attributes = dict(self.file.attrs)
        self._check()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open and check a file; StrataError says what is wrong with it."""
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _check(self) -> None:
        found = self.attributes.get("schema_version")
        if found != SCHEMA_VERSION:
            self._fail(f"has schema version {found}, expected {SCHEMA_VERSION}")
        rows = len(self.file["label"]) if "label" in self.file else None
        depths = (f"depth_{pooling}" for pooling in self.poolings)
        for name in ("label", "example_id", *self.poolings, *depths):
            if name not in self.file:
                self._fail(f"has no dataset '{name}'")
        if "choices" not in self.attributes:
            self._fail("does not say how many rows an example has (attribute 'choices')")
        for pooling in self.poolings:
            shape = self.file[pooling].shape
            depths = len(self.file[f"depth_{pooling}"])
            if len(shape) != 3 or shape[:2] != (depths, rows):
                self._fail(f"has '{pooling}' of shape {shape}, expected ({depths}, {rows}, hidden)")

        self._check_name()

    def _check_name(self) -> None:
        """A name ``activations/{model}_{task}/{split}/{state}.h5`` says what the file holds."""
        keys = ("model", "task", "split", "state")
        model, task, split, state = (self.attributes.get(key) for key in keys)
        held = Path("activations", f"{model}_{task}", split or "", f"{state}.h5")
        if "activations" in self.path.parts[-4:-3] and self.path.parts[-4:] != held.parts:
            self._fail(f"holds {held}, not what its name says")

    def _fail(self, problem: str, cause: Exception | None = None) -> NoReturn:
        raise StrataError(
            f"{self.path} {problem}; rebuild it with 'snakemake {self.path} --force' (and the "
            "study's --configfile)."
        ) from cause

    @property
    def poolings(self) -> list[str]:
        return json.loads(self.attributes.get("poolings", '["cls"]'))

    @property
    def choices(self) -> int:
        """Rows an example has."""
        return int(self.attributes["choices"])

    def depths(self, pooling: str = "cls") -> list[int]:
        return self.file[f"depth_{pooling}"][:].tolist()

    def vectors(self, pooling: str = "cls") -> np.ndarray:
        """[depths, rows, hidden] as an array mapped from the file: nothing is read until used."""
        if pooling not in self.poolings:
            self._fail(f"has no pooling '{pooling}' (it has {', '.join(self.poolings)})")
        data = self.file[pooling]
        offset = data.id.get_offset()
        return np.memmap(self.path, data.dtype, "r", offset, data.shape)

    def examples(self) -> pd.DataFrame:
        """example_id and label, a row an example."""
        first = slice(None, None, self.choices)
        return pd.DataFrame(
            {"example_id": self.file["example_id"][first], "label": self.file["label"][first]}
        )


def dump(
    path: str | Path,
    encoder: Any,
    rows: Any,
    attributes: Mapping[str, Any],
    poolings: list[str],
    dtype: str,
    batch_size: int,
    precision: str = "float32",
) -> None:
    """Write the representations of all depths in one forward pass, streaming.

    Memory holds a batch and a window of rows at a time. A value that overflows float16 restarts
    the file in float32.

    Parameters
    ----------
    path : written to a temporary name and renamed.
    encoder : strata.models.Encoder, on its device.
    rows : strata.batches.Rows of the examples.
    attributes : kept in the file.
    poolings : of "cls" and "mean" (over the tokens that are not special).
    dtype : "float32" or "float16".

    Raises
    ------
    StrataError : a representation is not finite; names state, depth and count.
    """
    try:
        with written_whole(path) as partial:
            _write(partial, encoder, rows, attributes, poolings, dtype, batch_size, precision)
    except _Overflow as overflow:
        print(f"{overflow}: starting again in float32", flush=True)
        dump(path, encoder, rows, attributes, poolings, "float32", batch_size, precision)


class _Overflow(Exception):
    pass


def _write(
    path: Path,
    encoder: Any,
    rows: Any,
    attributes: Mapping[str, Any],
    poolings: list[str],
    dtype: str,
    batch_size: int,
    precision: str,
) -> None:
    progress = Progress(len(rows), "rows")
    with h5py.File(path, "w") as file:
        _describe(file, rows, attributes, poolings, dtype)
        for window in rows.windows():
            buffers = _window(encoder, rows, window, poolings, batch_size, precision)
            for pooling, buffer in buffers.items():
                if pooling not in file:
                    shape = (len(buffer), len(rows), buffer.shape[-1])
                    file.create_dataset(pooling, shape, dtype)
                    file[f"depth_{pooling}"] = np.arange(len(buffer)) + FIRST_DEPTH[pooling]
                _check_values(buffer, pooling, attributes, dtype)
                file[pooling][:, window.start : window.stop] = buffer.astype(dtype)
            progress.advance(len(window))


def _describe(
    file: h5py.File,
    rows: Any,
    attributes: Mapping[str, Any],
    poolings: list[str],
    dtype: str,
) -> None:
    described = {
        **attributes,
        "schema_version": SCHEMA_VERSION,
        "poolings": json.dumps(poolings),
        "dtype": dtype,
        "choices": rows.choices,
        "versions": json.dumps(versions()),
    }
    file.attrs.update({key: value for key, value in described.items() if value is not None})
    examples = rows.examples
    file["label"] = np.repeat(examples["label"].to_numpy(), rows.choices)
    file["example_id"] = np.repeat(examples["example_id"].to_numpy(), rows.choices)
    if rows.choices > 1:
        file["choice"] = np.tile(np.arange(rows.choices), len(examples))


def _window(
    encoder: Any,
    rows: Any,
    window: range,
    poolings: list[str],
    batch_size: int,
    precision: str,
) -> dict[str, np.ndarray]:
    """Representations of a window of rows: pooling -> float32 [depths, window, hidden]."""
    from strata.devices import device, inference

    buffers: dict[str, np.ndarray] = {}

    def work(chosen: np.ndarray, inputs: Any, plain: Any) -> None:
        for depth, hidden in enumerate(encoder.states(inputs)):
            for pooling in poolings:
                slot = depth - FIRST_DEPTH[pooling]
                if slot < 0:
                    continue
                vectors = pool(hidden, plain, pooling).float().cpu().numpy()
                if pooling not in buffers:
                    depths = encoder.depth + 1 - FIRST_DEPTH[pooling]
                    shape = (depths, len(window), vectors.shape[-1])
                    buffers[pooling] = np.empty(shape, dtype=np.float32)
                buffers[pooling][slot, chosen - window.start] = vectors

    with inference(precision):
        rows.each_batch(window, batch_size, device(), work)
    return buffers


def pool(hidden: Any, plain: Any, pooling: str) -> Any:
    """[batch, tokens, hidden] -> [batch, hidden]: the first token, or the mean of plain tokens.

    Parameters
    ----------
    plain : [batch, tokens], true for tokens that are neither padding nor special.
    """
    if pooling == "cls":
        return hidden[:, 0]
    weights = plain.to(hidden.dtype)[..., None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _check_values(
    buffer: np.ndarray, pooling: str, attributes: Mapping[str, Any], dtype: str
) -> None:
    bad = ~np.isfinite(buffer)
    if bad.any():
        slot = int(bad.any(axis=(1, 2)).argmax())
        raise StrataError(
            f"Activations of state '{attributes['state']}' ({attributes['model']} on "
            f"{attributes['task']}) hold {int(bad[slot].sum()):,} values that are not finite at "
            f"depth {slot + FIRST_DEPTH[pooling]} ('{pooling}'): the model has diverged; lower the "
            "learning rate or use precision float32."
        )
    if dtype == "float16" and np.abs(buffer).max() > np.finfo(np.float16).max:
        raise _Overflow(f"a value of '{pooling}' overflows float16")
