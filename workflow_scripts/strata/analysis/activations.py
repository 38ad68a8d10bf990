"""Representations of every depth, in one HDF5 file per state and split.

Layout: contiguous datasets of shape (depths, rows, hidden). ``head``: what the model's head would
read at each depth (the first token, the mean over attended tokens, or the last one, after the
encoder's final norm). ``raw``: the same pooling before that norm; without such a norm, the same
dataset. ``mean``, if requested: the mean over the tokens that are neither padding nor special.
``depth_head`` and so on: the depth of each slice. ``label``, ``example_id`` and, for multiple
choice, ``choice``, each of shape (rows,). Depths of ``head`` and ``raw`` start at 1: at depth 0 the
first token's vector is the same for every example. Attributes say whose representations they are.

``cosine`` and ``angle``, of shape (L, rows), say how far each layer turns a row's vectors: slice k
- 1 has the mean, over the row's tokens that are neither padding nor special, of the cosine between
a token's vectors at depths k - 1 and k, and of that cosine's arccos / pi. It is NaN for a row
without such tokens.
"""

import json
from pathlib import Path
from typing import Literal, NoReturn, Self

import h5py
import numpy as np
import pandas as pd

from strata.runtime.errors import StrataError, always_raises

SCHEMA_VERSION = 3
FIRST_DEPTH = {"head": 1, "raw": 1, "mean": 0}
TURNS = ("cosine", "angle")


class Activations:
    """An open activation file.

    Attributes
    ----------
    attributes : dict of str to object
        The file's attributes (model, task, split, state, seed, ...).
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            self._fail("does not exist")
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            self._fail(f"is not a complete HDF5 file ({error})", error)
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
        version = self.attributes.get("schema_version")
        if version != SCHEMA_VERSION:
            self._fail(f"has schema version {version}, expected {SCHEMA_VERSION}")
        rows = len(self.file["label"]) if "label" in self.file else None
        numbers = (f"depth_{pooling}" for pooling in self._kept)
        for name in ("label", "example_id", *self._kept, *numbers, *TURNS):
            if name not in self.file:
                self._fail(f"has no dataset '{name}'")
        if "choices" not in self.attributes:
            self._fail("does not say how many rows an example has (attribute 'choices')")
        for pooling in self._kept:
            shape = self.file[pooling].shape
            depths = len(self.file[f"depth_{pooling}"])
            if len(shape) != 3 or shape[:2] != (depths, rows):
                self._fail(f"has '{pooling}' of shape {shape}, expected ({depths}, {rows}, hidden)")
        layers = max(self.depths(self._kept[0]))
        for name in TURNS:
            shape = self.file[name].shape
            if shape != (layers, rows):
                self._fail(f"has '{name}' of shape {shape}, expected ({layers}, {rows})")
        self._check_name()

    def _check_name(self) -> None:
        """A name ``activations/{model}_{task}/{split}/{state}.h5`` says what the file contains."""
        keys = ("model", "task", "split", "state")
        model, task, split, state = (self.attributes.get(key) for key in keys)
        held = Path("activations", f"{model}_{task}", split or "", f"{state}.h5")
        if "activations" in self.path.parts[-4:-3] and self.path.parts[-4:] != held.parts:
            self._fail(f"contains {held}, not what its name says")

    @always_raises
    def _fail(self, problem: str, cause: Exception | None = None) -> NoReturn:
        raise StrataError(
            f"{self.path} {problem}; rebuild it with 'snakemake {self.path} --force' (and the "
            "study's --configfile)."
        ) from cause

    @property
    def _kept(self) -> list[str]:
        return json.loads(self.attributes.get("poolings", '["raw"]'))

    @property
    def poolings(self) -> list[str]:
        """The poolings that are compared: all except ``head``, which only heads need."""
        return [pooling for pooling in self._kept if pooling != "head"]

    @property
    def choices(self) -> int:
        """The number of rows per example."""
        return int(self.attributes["choices"])

    def depths(self, pooling: str = "head") -> list[int]:
        return self.file[f"depth_{pooling}"][:].tolist()

    def vectors(self, pooling: str = "head") -> np.ndarray:
        """Vectors (depths, rows, hidden), mapped from the file: nothing is read until used."""
        if pooling not in self._kept:
            self._fail(f"has no pooling '{pooling}' (it has {', '.join(self._kept)})")
        data = self.file[pooling]
        offset = data.id.get_offset()
        return np.memmap(self.path, data.dtype, "r", offset, data.shape)

    def turns(self, name: Literal["cosine", "angle"]) -> np.ndarray:
        """How far each layer turns the vectors of each row's tokens, (layers, rows)."""
        return self.file[name][:]

    def examples(self) -> pd.DataFrame:
        """Columns example_id and label, one row per example."""
        first = slice(None, None, self.choices)
        return pd.DataFrame(
            {"example_id": self.file["example_id"][first], "label": self.file["label"][first]}
        )
