"""Writing the representations of every depth to HDF5, in one forward pass."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from strata.analysis.activations import FIRST_DEPTH, SCHEMA_VERSION, TURNS
from strata.data.batches import Rows
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder
from strata.runtime.errors import StrataError
from strata.runtime.files import written_whole
from strata.runtime.progress import Progress
from strata.runtime.provenance import versions
from strata.study.settings import ForwardSettings, StorageSettings

HEAD, RAW = "head", "raw"


@dataclass(frozen=True)
class Source:
    """The model whose representations are written.

    Attributes
    ----------
    encoder : Encoder
        The encoder, on its device.
    about : mapping of str to str, int or None
        Attributes of the file: model, task, state, and more if known (None is left out).
    """

    encoder: Encoder
    rows: Rows
    about: Mapping[str, str | int | None]


def dump(
    path: str | Path, source: Source, storage: StorageSettings, forward: ForwardSettings
) -> None:
    """Write the representations of all depths in one forward pass, streaming.

    It also writes how far each layer turns its tokens' vectors (``activations``).

    Only a batch and a window of rows are in memory at a time. If a value overflows float16, the
    file is started again in float32.

    Parameters
    ----------
    path : path-like
        The file, written under a temporary name and then renamed.

    Raises
    ------
    StrataError
        A representation is not finite; the message names state, depth and count.
    """
    try:
        with written_whole(path) as partial:
            _write(partial, source, storage, forward)
    except _Overflow as overflow:
        print(f"{overflow}: starting again in float32", flush=True)
        dump(path, source, replace(storage, dtype="float32"), forward)


class _Overflow(Exception):
    pass


def _write(path: Path, source: Source, storage: StorageSettings, forward: ForwardSettings) -> None:
    rows = source.rows
    progress = Progress(len(rows), "rows")
    with h5py.File(path, "w") as file:
        _describe(file, source, storage)
        for window in rows.windows():
            buffers, turns = of_window(source, window, _stored(source, storage), forward)
            for pooling, buffer in buffers.items():
                if pooling not in file:
                    shape = (len(buffer), len(rows), buffer.shape[-1])
                    file.create_dataset(pooling, shape, storage.dtype)
                    file[f"depth_{pooling}"] = np.arange(len(buffer)) + FIRST_DEPTH[pooling]
                _check_values(buffer, pooling, source, storage.dtype)
                file[pooling][:, window.start : window.stop] = buffer.astype(storage.dtype)
            for name, values in zip(TURNS, turns, strict=True):
                if name not in file:
                    file.create_dataset(name, (len(values), len(rows)), "float32")
                file[name][:, window.start : window.stop] = values
            progress.advance(len(window))
        for pooling in set(storage.poolings) - file.keys():
            # Of `head` and `raw` the other one, as a second name.
            for name in ("{}", "depth_{}"):
                file[name.format(pooling)] = file[name.format(RAW if pooling == HEAD else HEAD)]


def _stored(source: Source, storage: StorageSettings) -> list[str]:
    """The poolings that are stored; of two identical ones, only one."""
    same = source.encoder.norm is None and {HEAD, RAW} <= set(storage.poolings)
    return [pooling for pooling in storage.poolings if not (same and pooling == HEAD)]


def _describe(file: h5py.File, source: Source, storage: StorageSettings) -> None:
    rows, examples = source.rows, source.rows.examples
    described = {
        **source.about,
        "schema_version": SCHEMA_VERSION,
        "poolings": json.dumps(list(storage.poolings)),
        "dtype": storage.dtype,
        "choices": rows.choices,
        "versions": json.dumps(versions()),
    }
    file.attrs.update({key: value for key, value in described.items() if value is not None})
    file["label"] = np.repeat(examples["label"].to_numpy(), rows.choices)
    file["example_id"] = np.repeat(examples["example_id"].to_numpy(), rows.choices)
    if rows.choices > 1:
        file["choice"] = np.tile(np.arange(rows.choices), len(examples))


def of_window(
    source: Source, window: range, poolings: Sequence[str], forward: ForwardSettings
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A window's vectors (depths, window, hidden) by pooling, and turns (2, layers, window)."""
    buffers: dict[str, np.ndarray] = {}
    turns = np.empty((len(TURNS), source.encoder.num_layers, len(window)), dtype=np.float32)

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], plain: Tensor) -> None:
        turned, below = [], None
        for depth, hidden in enumerate(source.encoder.hidden_states(inputs)):
            if below is not None:
                turned.append(turn(below, hidden, plain))
            below = hidden
            for pooling in poolings:
                slot = depth - FIRST_DEPTH[pooling]
                if slot < 0:
                    continue
                vectors = pool(source.encoder, hidden, inputs, plain, pooling)
                if pooling not in buffers:
                    depths = source.encoder.num_layers + 1 - FIRST_DEPTH[pooling]
                    shape = (depths, len(window), vectors.shape[-1])
                    buffers[pooling] = np.empty(shape, dtype=np.float32)
                buffers[pooling][slot, chosen - window.start] = vectors
        turns[..., chosen - window.start] = torch.stack(turned, 1).cpu().numpy()

    with inference(forward.precision):
        source.rows.each_batch(window, forward.batch_size, device(), work)
    return buffers, turns


def pool(
    encoder: Encoder, hidden: Tensor, inputs: dict[str, Tensor], plain: Tensor, pooling: str
) -> np.ndarray:
    """Pool (batch, tokens, hidden) to float32 (batch, hidden); ``activations`` has the poolings.

    Parameters
    ----------
    inputs : dict of str to Tensor
        The tokenizer output that the hidden states belong to.
    plain : Tensor of shape (batch, tokens)
        True for tokens that are neither padding nor special.
    """
    if pooling == HEAD:
        pooled = encoder.read(hidden, inputs)
    elif pooling == RAW:
        pooled = encoder.pool(hidden, inputs)
    else:
        weights = plain.to(hidden.dtype)[..., None]
        pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    return pooled.float().cpu().numpy()


def turn(below: Tensor, above: Tensor, plain: Tensor) -> Tensor:
    """How far a layer turns a row's vectors, (2, batch): mean cosine, mean arccos(cosine) / pi.

    Parameters
    ----------
    below, above : Tensor of shape (batch, tokens, hidden)
        The layer's input and output.
    plain : Tensor of shape (batch, tokens)
        True for tokens over which the mean is taken; a row without any gives NaN.
    """
    cosine = torch.cosine_similarity(below.float(), above.float(), dim=-1).clamp(-1, 1)
    both = torch.stack([cosine, torch.arccos(cosine) / torch.pi])
    return both.where(plain, 0).sum(-1) / plain.sum(-1)


def _check_values(buffer: np.ndarray, pooling: str, source: Source, dtype: str) -> None:
    bad = ~np.isfinite(buffer)
    if bad.any():
        slot = int(bad.any(axis=(1, 2)).argmax())
        about = source.about
        raise StrataError(
            f"Activations of state '{about['state']}' ({about['model']} on {about['task']}) "
            f"contain {int(bad[slot].sum()):,} values that are not finite at depth "
            f"{slot + FIRST_DEPTH[pooling]} ('{pooling}'): the model has diverged; lower the "
            "learning rate or use precision float32."
        )
    if dtype == "float16" and np.abs(buffer).max() > np.finfo(np.float16).max:
        raise _Overflow(f"a value of '{pooling}' overflows float16")
