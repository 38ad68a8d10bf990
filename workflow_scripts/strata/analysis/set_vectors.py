"""What the head reads without some of the model's layers, for all candidate sets, in HDF5.

Layout: groups ``train``, ``choose`` and ``judge``, as far as they exist, each with datasets
``vectors`` (sets, rows, hidden), ``label`` and ``example_id`` (examples,); the attribute ``layers``
has the sets as text, the whole model last.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata.data.batches import Rows
from strata.data.task import Task
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder
from strata.modeling.head_tuning import HeadInputs
from strata.modeling.layer_sets import STACK_ROWS, read_sets
from strata.runtime.errors import StrataError
from strata.runtime.files import written_whole
from strata.runtime.progress import Progress
from strata.study.layer_sets import LayerSet
from strata.study.settings import ForwardSettings


def dump_sets(
    path: str | Path,
    encoder: Encoder,
    parts: Mapping[str, Rows],
    sets: Sequence[LayerSet],
    forward: ForwardSettings,
) -> None:
    """Write what the head reads with every set, a window of rows at a time.

    Parameters
    ----------
    parts : mapping of str to Rows
        The rows of the parts TRAIN, CHOOSE and JUDGE.

    Raises
    ------
    StrataError
        A value is not finite; the message names the set.
    """
    with written_whole(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["layers"] = json.dumps([str(kept) for kept in sets])
        for part, rows in parts.items():
            group = file.create_group(part)
            group["label"] = rows.examples["label"].to_numpy()
            group["example_id"] = rows.examples["example_id"].to_numpy()
            progress = Progress(len(rows), f"{part} rows, {len(sets)} layer sets")
            for window in rows.windows():
                values = _of_window(encoder, rows, window, sets, forward)
                if "vectors" not in group:
                    group.create_dataset("vectors", (len(sets), len(rows), values.shape[-1]), "f4")
                group["vectors"][:, window.start : window.stop] = values
                progress.advance(len(window))


def _of_window(
    encoder: Encoder, rows: Rows, window: range, sets: Sequence[LayerSet], forward: ForwardSettings
) -> np.ndarray:
    """What the head reads in a window of rows, float32 (sets, window, hidden)."""
    kept, made = [each.layers for each in sets], {}

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
        read = read_sets(encoder, inputs, kept, min(STACK_ROWS, rows.max_rows))
        stacked = torch.stack([read[each] for each in kept]).float().cpu().numpy()
        if "values" not in made:
            made["values"] = np.empty((len(sets), len(window), stacked.shape[-1]), np.float32)
        made["values"][:, chosen - window.start] = stacked

    with inference(forward.precision):
        rows.each_batch(window, forward.batch_size, device(), work)
    bad = ~np.isfinite(made["values"]).all(axis=(1, 2))
    if bad.any():
        raise StrataError(
            f"Layers {sets[int(bad.argmax())]} alone give values that are not finite: the model "
            "has diverged; lower the learning rate or use precision float32."
        )
    return made["values"]


@dataclass(frozen=True)
class SetVectors:
    """An open file of ``dump_sets``; ``sets`` are its layer sets, in order."""

    file: h5py.File
    sets: list[LayerSet]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a file."""
        file = h5py.File(path, "r")
        return cls(file, [LayerSet.parse(text) for text in json.loads(file.attrs["layers"])])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __contains__(self, part: str) -> bool:
        return part in self.file

    def examples(self, part: str) -> pd.DataFrame:
        """Columns example_id and label, one row per example."""
        names = ("example_id", "label")
        return pd.DataFrame({name: self.file[part][name][:] for name in names})

    def inputs(self, part: str, chosen: Sequence[int], task: Task) -> HeadInputs:
        """The inputs of heads of some sets, given by index, in a part."""
        vectors = self.file[part]["vectors"][list(chosen)]
        return HeadInputs(vectors, self.file[part]["label"][:], task)


def sets_of(proposals: pd.DataFrame, layers: int) -> list[LayerSet]:
    """The distinct sets of ``layer_selection.proposals``, smaller ones first, the whole last."""
    found = {LayerSet.parse(str(text)) for text in proposals["layers"]}
    return [*sorted(found), LayerSet.top_cut(layers)]
