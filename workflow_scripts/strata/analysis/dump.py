"""Representations of every depth written to HDF5, in one forward pass."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from strata.analysis.activations import FIRST_DEPTH, SCHEMA_VERSION
from strata.runtime.errors import StrataError
from strata.runtime.files import written_whole
from strata.runtime.progress import Progress
from strata.runtime.provenance import versions


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
    encoder : strata.modeling.encoder.Encoder, on its device.
    rows : strata.data.batches.Rows of the examples.
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
    from strata.modeling.compute import device, inference

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
