"""What layer sets cost: time, size and memory of the models cut to them, beside the full model.

All are measured in one job, alone on its cores or its GPU, in turn with the full model. Sets of as
many layers of the same kinds (as the config lists them) are the same model to a machine, so one of
them is measured for all.
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.data.batches import Rows
from strata.data.task import Task
from strata.export.cut import as_plain, write_model
from strata.export.peak_memory import report_peak
from strata.modeling.compute import device, inference
from strata.modeling.encoder import architecture, num_parameters
from strata.modeling.inference import row_logits
from strata.modeling.layer_sets import cut_to
from strata.runtime.errors import StrataError
from strata.study.layer_sets import LayerSet

BATCH = 32  # examples, for throughput and memory
TEXTS = 64  # examples, one at a time, for latency
EXAMPLES = 256  # examples, for throughput
COLUMNS = [
    "layers", "measured_as", "layers_run", "latency_ms", "latency_p95_ms", "latency_ratio",
    "examples_per_second", "speed_ratio", "parameters", "file_mb", "memory_mb", "rounds",
    "device", "threads",
]  # fmt: skip
Batches = list[dict[str, Tensor]]


@dataclass(frozen=True)
class Timed:
    """Seconds of a model: [rounds, texts] one at a time, and [rounds] of all batches."""

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
    """Costs of a run's model cut to each set (COLUMNS, a row a set), float32.

    Parameters
    ----------
    sets : the whole among them.
    rows : examples of the task, whose lengths count.
    rounds : each in another order of the models.
    """
    whole = max(sets)
    by_shape: dict[tuple[object, ...], LayerSet] = {}
    for kept in sorted(sets, reverse=True):
        by_shape.setdefault(_shape(model, kept), kept)
    shapes = list(by_shape.values())
    model.eval().to(device())
    timed = time_in_turn(model, shapes, rows, task, rounds)
    full, records = timed[whole], {}
    for kept in shapes:
        own = timed[kept]
        records[kept] = {
            "layers_run": len(kept),
            "latency_ms": 1000 * float(np.median(own.alone)),
            "latency_p95_ms": 1000 * float(np.quantile(own.alone, 0.95)),
            "latency_ratio": _median_ratio(np.median(full.alone, 1), np.median(own.alone, 1)),
            "examples_per_second": _count(rows, EXAMPLES) / float(np.median(own.together)),
            "speed_ratio": _median_ratio(full.together, own.together),
            "rounds": rounds,
            "device": machine(),
            "threads": torch.get_num_threads(),
            **_size(model, tokenizer, kept, rows, task),
        }
    table = [
        {"layers": str(kept), "measured_as": str(own), **records[own]}
        for kept in sorted(sets, reverse=True)
        for own in [by_shape[_shape(model, kept)]]
    ]
    return pd.DataFrame(table, columns=COLUMNS)


def time_in_turn(
    model: PreTrainedModel, sets: Sequence[LayerSet], rows: Rows, task: Task, rounds: int
) -> dict[LayerSet, Timed]:
    """Seconds of the model cut to each set; every round goes through all sets, in a new order."""
    alone, together = _batches(rows, TEXTS, 1), _batches(rows, EXAMPLES, BATCH)
    rng = np.random.default_rng(0)
    found: dict[LayerSet, list[tuple[list[float], float]]] = {kept: [] for kept in sets}
    with inference():
        for kept in sets:  # what a first call costs is not counted
            with cut_to(model, kept.layers) as cut:
                _seconds(cut, [alone[0], together[0]], task)
        for number in range(rounds):
            for place in rng.permutation(len(sets)):
                with cut_to(model, sets[place].layers) as cut:
                    taken = _seconds(cut, alone, task), sum(_seconds(cut, together, task))
                found[sets[place]].append(taken)
            print(f"round {number + 1} of {rounds}", flush=True)
    return {
        kept: Timed(np.array([a for a, _ in taken]), np.array([t for _, t in taken]))
        for kept, taken in found.items()
    }


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the times are of: the GPU's name, or the processor's."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "cpu"


def _seconds(model: PreTrainedModel, batches: Batches, task: Task) -> list[float]:
    taken = []
    for inputs in batches:
        began = time.perf_counter()
        row_logits(model, inputs, task).cpu()  # waits for the GPU
        taken.append(time.perf_counter() - began)
    return taken


def _count(rows: Rows, most: int) -> int:
    return min(most, len(rows.examples))


def _batches(rows: Rows, most: int, size: int) -> Batches:
    """The first examples, in batches of so many."""
    window = range(_count(rows, most) * rows.choices)
    return [inputs for _, inputs, _ in rows.batches(window, size * rows.choices, device())]


def _median_ratio(full: np.ndarray, own: np.ndarray) -> float:
    """How many times faster, the median over rounds."""
    return float(np.median(full / own))


def _shape(model: PreTrainedModel, kept: LayerSet) -> tuple[object, ...]:
    """What a cut model is to a machine: how many layers of which kinds."""
    lists: Mapping[str, list | None] = {
        key: getattr(model.config, key, None) for key in architecture(model).lists
    }
    kinds = [
        sorted(str(values[layer - 1]) for layer in kept.layers)
        for values in lists.values()
        if values
    ]
    return (len(kept), *map(tuple, kinds))


def _size(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    kept: LayerSet,
    rows: Rows,
    task: Task,
) -> dict[str, float | int | None]:
    """Parameters, size of the weights' files and peak memory, of the folder as it is written."""
    with tempfile.TemporaryDirectory() as place:
        folder, batch = Path(place) / "model", Path(place) / "batch.pt"
        with cut_to(model, kept.layers) as cut:
            write_model(as_plain(cut, task), tokenizer, folder)
            parameters = num_parameters(cut)
        inputs = _batches(rows, BATCH, BATCH)[0]
        torch.save({name: tensor.cpu() for name, tensor in inputs.items()}, batch)
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        memory = _peak_in_a_process_of_its_own(folder, batch, task)
    return {"parameters": parameters, "file_mb": weights / 1e6, "memory_mb": memory}


def _peak_in_a_process_of_its_own(folder: Path, batch: Path, task: Task) -> float | None:
    """What a process that loads the folder and answers one batch holds at most, in MB (2^20)."""
    call = f"from {report_peak.__module__} import report_peak; report_peak()"
    choices = str(int(task.kind.compares_rows))
    scripts = str(Path(__file__).parents[2])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            call,
            str(folder),
            str(batch),
            choices,
            str(torch.get_num_threads()),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": scripts},
        check=False,
    )
    if done.returncode:
        raise StrataError(f"The cut model could not be loaded to measure it: {done.stderr[-500:]}")
    said = done.stdout.split()[-1]
    return None if said == "None" else float(said)
