"""What layer sets cost: time, size and memory of models cut to them, and of the full model.

All are measured in one job, alone on its cores or its GPU, in turn with the full model. Sets with
equally many layers of the same kinds (as the config lists them) cost a machine the same, so one of
them is measured for all.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.data.batches import Rows
from strata.data.task import Task
from strata.export.cut import as_plain, write_model
from strata.export.peak_memory import report_onnx_peak, report_peak
from strata.modeling.compute import device, inference
from strata.modeling.encoder import architecture, num_parameters
from strata.modeling.inference import row_logits
from strata.modeling.layer_sets import cut_to
from strata.runtime.errors import StrataError
from strata.study.layer_sets import LayerSet

BATCH = 32  # examples, for throughput and memory
TEXTS = 64  # examples, one at a time, for latency
EXAMPLES = 128  # examples, for throughput
AT_ONCE = 2  # processes whose peak memory is measured side by side
COLUMNS = [
    "layers", "measured_as", "layers_run", "latency_ms", "latency_p95_ms", "latency_ratio",
    "examples_per_second", "speed_ratio", "parameters", "file_mb", "memory_mb", "rounds",
    "device", "threads",
]  # fmt: skip
Batches = list[dict[str, Tensor]]
# From the tokenizer's output for a batch, each (rows, tokens), to logits (rows, outputs).
Runner = Callable[[dict[str, Tensor]], Tensor]
Name = TypeVar("Name")


@dataclass(frozen=True)
class Timed:
    """Seconds of a model: (rounds, texts) one at a time, and (rounds,) for all batches."""

    alone: np.ndarray
    together: np.ndarray


def measure_costs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sets: Sequence[LayerSet],
    rows: Rows,
    task: Task,
    rounds: int,
) -> pd.DataFrame:
    """Costs of a run's model cut to each set (COLUMNS, one row per set), in float32.

    Parameters
    ----------
    sets : sequence of LayerSet
        The sets, including the whole.
    rows : Rows
        Examples of the task; their lengths matter.
    rounds : int
        Number of rounds, each with the models in another order.
    """
    whole = max(sets)
    by_shape: dict[tuple[object, ...], LayerSet] = {}
    for kept in sorted(sets, reverse=True):
        by_shape.setdefault(shape_of(model, kept), kept)
    shapes = list(by_shape.values())
    model.eval().to(device())
    timed = time_in_turn(model, shapes, rows, task, rounds)
    model.cpu()  # the GPU's memory is for the processes that measure their own
    torch.cuda.empty_cache()
    sizes = _sizes(model, tokenizer, shapes, rows, task)
    records = {
        kept: {"layers_run": len(kept), **speed(timed[kept], timed[whole], rows), **sizes[kept]}
        for kept in shapes
    }
    table = [
        {"layers": str(kept), "measured_as": str(own), **records[own]}
        for kept in sorted(sets, reverse=True)
        for own in [by_shape[shape_of(model, kept)]]
    ]
    return pd.DataFrame(table, columns=COLUMNS)


def time_in_turn(
    model: PreTrainedModel, sets: Sequence[LayerSet], rows: Rows, task: Task, rounds: int
) -> dict[LayerSet, Timed]:
    """Seconds of the model cut to each set, as ``in_turn`` measures them."""
    return in_turn({kept: partial(_cut, model, kept, task) for kept in sets}, rows, rounds)


@contextmanager
def _cut(model: PreTrainedModel, kept: LayerSet, task: Task) -> Iterator[Runner]:
    with cut_to(model, kept.layers) as cut:
        yield torch_runner(cut, task)


def torch_runner(model: PreTrainedModel, task: Task) -> Runner:
    """The logits of a model by its own forward pass."""
    return partial(_answer, model, task)


def _answer(model: PreTrainedModel, task: Task, inputs: dict[str, Tensor]) -> Tensor:
    return row_logits(model, inputs, task).cpu()  # waits for the GPU


def in_turn(
    openers: Mapping[Name, Callable[[], AbstractContextManager[Runner]]], rows: Rows, rounds: int
) -> dict[Name, Timed]:
    """Seconds of each runner; every round goes through all of them, in a new order.

    Parameters
    ----------
    openers : mapping of Name to callable
        Functions that prepare a runner each; preparing is not timed.
    """
    alone, together = _batches(rows, TEXTS, 1), _batches(rows, EXAMPLES, BATCH)
    rng, names = np.random.default_rng(0), list(openers)
    found: dict[Name, list[tuple[list[float], float]]] = {name: [] for name in names}
    with inference():
        for name in names:  # the first call is not timed
            with openers[name]() as runner:
                _seconds(runner, [alone[0], together[0]])
        for number in range(rounds):
            for place in rng.permutation(len(names)):
                with openers[names[place]]() as runner:
                    taken = _seconds(runner, alone), sum(_seconds(runner, together))
                found[names[place]].append(taken)
            print(f"round {number + 1} of {rounds}", flush=True)
    return {
        name: Timed(np.array([a for a, _ in taken]), np.array([t for _, t in taken]))
        for name, taken in found.items()
    }


def speed(own: Timed, full: Timed, rows: Rows) -> dict[str, float | int | str]:
    """Latency and throughput with their ratios to the full model's, and the machine."""
    return {
        "latency_ms": 1000 * float(np.median(own.alone)),
        "latency_p95_ms": 1000 * float(np.quantile(own.alone, 0.95)),
        "latency_ratio": _median_ratio(np.median(full.alone, 1), np.median(own.alone, 1)),
        "examples_per_second": _count(rows, EXAMPLES) / float(np.median(own.together)),
        "speed_ratio": _median_ratio(full.together, own.together),
        "rounds": len(own.together),
        "device": machine(),
        "threads": torch.get_num_threads(),
    }


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The machine that was timed: the GPU's name, or the processor's."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "cpu"


def _seconds(runner: Runner, batches: Batches) -> list[float]:
    taken = []
    for inputs in batches:
        began = time.perf_counter()
        runner(inputs)
        taken.append(time.perf_counter() - began)
    return taken


def _count(rows: Rows, most: int) -> int:
    return min(most, len(rows.examples))


def _batches(rows: Rows, most: int, size: int) -> Batches:
    """The first examples, in batches of `size`."""
    window = range(_count(rows, most) * rows.choices)
    return [inputs for _, inputs, _ in rows.batches(window, size * rows.choices, device())]


def _median_ratio(full: np.ndarray, own: np.ndarray) -> float:
    """How many times faster: the median over rounds."""
    return float(np.median(full / own))


def shape_of(model: PreTrainedModel, kept: LayerSet) -> tuple[object, ...]:
    """What decides a cut model's cost: how many layers of which kinds it has."""
    lists: Mapping[str, list | None] = {
        key: getattr(model.config, key, None) for key in architecture(model).lists
    }
    kinds = [
        sorted(str(values[layer - 1]) for layer in kept.layers)
        for values in lists.values()
        if values
    ]
    return (len(kept), *map(tuple, kinds))


def _sizes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shapes: Sequence[LayerSet],
    rows: Rows,
    task: Task,
) -> dict[LayerSet, dict[str, float | int | None]]:
    """Parameters, size of the weights' files and peak memory, of the folders as they are written.

    Each peak is that of a process of its own, most of whose time goes into its imports, and nothing
    is timed here: so they run side by side, but on a GPU, whose memory may be too small for two. No
    more folders are on the disk than that.
    """
    at_once = 1 if device().type == "cuda" else AT_ONCE
    found: dict[LayerSet, dict[str, float | int | None]] = {}
    free = BoundedSemaphore(at_once)
    peaks: dict[LayerSet, Future[float | None]] = {}
    # The pool ends first, so that each process has its folder until it is done.
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(at_once) as pool:
        for kept in shapes:
            free.acquire()
            folder = Path(place) / str(kept)
            with cut_to(model, kept.layers) as cut:
                write_model(as_plain(cut, task), tokenizer, folder)
                found[kept] = {"parameters": num_parameters(cut)}
            found[kept]["file_mb"] = megabytes(folder.glob("*.safetensors"))
            peaks[kept] = pool.submit(_peak_once, folder, rows, task, free)
    return {kept: found[kept] | {"memory_mb": peaks[kept].result()} for kept in shapes}


def _peak_once(folder: Path, rows: Rows, task: Task, free: BoundedSemaphore) -> float | None:
    """Peak memory of a folder that nothing else needs."""
    try:
        return peak_memory(folder, rows, task)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        free.release()


def megabytes(paths: Iterable[Path]) -> float:
    """Size of files in MB (10^6 bytes)."""
    return sum(path.stat().st_size for path in paths) / 1e6


def peak_memory(place: Path, rows: Rows, task: Task) -> float | None:
    """Peak memory of a process that loads a model and runs one batch, in MB (2^20 bytes).

    Parameters
    ----------
    place : path-like
        A model folder, run by torch, or an ONNX file, run by onnxruntime.
    """
    report = report_peak if place.is_dir() else report_onnx_peak
    call = f"from {report.__module__} import {report.__name__}; {report.__name__}()"
    inputs = {name: tensor.cpu() for name, tensor in _batches(rows, BATCH, BATCH)[0].items()}
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "batch.npz"
        np.savez(batch, **{name: tensor.numpy() for name, tensor in inputs.items()})
        choices, threads = int(task.kind.compares_rows), torch.get_num_threads()
        done = subprocess.run(
            [sys.executable, "-c", call, *map(str, (place, batch, choices, threads))],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )
    if done.returncode:
        raise StrataError(f"The cut model could not be loaded to measure it: {done.stderr[-500:]}")
    said = done.stdout.split()[-1]
    return None if said == "None" else float(said)
