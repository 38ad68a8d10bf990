"""A model's predictions and costs on the CPU: in torch, as float32 ONNX, as int8 ONNX.

All formats of a model are timed in turn, on the same number of threads and the same texts.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from strata.analysis.formats import MEASURED_COLUMNS, TORCH, beside_torch
from strata.analysis.frontier import FULL
from strata.analysis.set_heads import load_set_head
from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.predictions import answers
from strata.export.costs import (
    BATCH,
    Runner,
    in_turn,
    megabytes,
    peak_memory,
    shape_of,
    speed,
    torch_runner,
)
from strata.export.cut import TRAINED_KEY, cut_model, write_model
from strata.export.onnx import onnx_runner, plain_model, write_onnx
from strata.export.onnx_files import FILES
from strata.modeling.adopt import own_order
from strata.modeling.compute import inference
from strata.modeling.encoder import num_parameters
from strata.study.architectures import read_config
from strata.study.layer_sets import CutModel
from strata.study.settings import Sampling


def outputs_of(folder: str | Path, checkpoints: Sequence[str | Path]) -> list[int] | None:
    """The number of each task label's output in an exported folder.

    None if they are in order, as in everything that was trained here: a given model, too, once it
    is trained after its cut.

    Parameters
    ----------
    checkpoints : sequence of path-like
        The checkpoints of a model that came fine-tuned; exports keep their labels and order.
    """
    config = read_config(folder)
    if TRAINED_KEY in config:
        return None
    labels = config.get("id2label", {})
    names = [labels[number] for number in sorted(labels, key=int)]
    orders = [order for order in map(own_order, checkpoints) if order is not None]
    return next((order.outputs for order in orders if order.names == names), None)


def measure_folder(
    folder: str | Path,
    target: str | Path,
    formats: Sequence[str],
    rows: Rows,
    task: Task,
    sampling: Sampling,
    rounds: int,
    outputs: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Score, size and speed of an exported folder in each format (MEASURED_COLUMNS, torch first).

    Parameters
    ----------
    folder : path-like
        The folder that torch loads, the reference for ratios.
    target : path-like
        The folder that ``write_onnx`` made from it.
    rows : Rows
        Examples of the task.
    rounds : int
        Number of timing rounds, each with the formats in another order.
    outputs : sequence of int, optional
        For each label of the task, the number of its output; None if they are in order.
    """
    folder, target = Path(folder), Path(target)
    model = plain_model(folder, task)
    runners = _runners(model, target, formats, task)
    answered = {form: _answers(runner, rows, task, outputs) for form, runner in runners.items()}
    speeds = _speeds(runners, TORCH, rows, rounds)
    records = [
        {
            "format": form,
            "metric": task.metric,
            **beside_torch(answered[form], answered[TORCH], task, sampling),
            "n_examples": len(answered[form]),
            **speeds[form],
            "parameters": num_parameters(model),
            **_size(folder, target, form, rows, task),
        }
        for form in runners
    ]
    return pd.DataFrame(records)[MEASURED_COLUMNS]


def measure_candidates(
    checkpoint: str | Path,
    heads: str | Path,
    names: Sequence[str],
    formats: Sequence[str],
    rows: Rows,
    task: Task,
    rounds: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and costs of a run's cut models, in each format.

    Parameters
    ----------
    checkpoint, heads : path-like
        The run's checkpoint, and its tuned heads (``set_heads.save_set_heads``).
    names : sequence of str
        Cut models (``CutModel``); the whole model as it is comes first.
    rows : Rows
        Rows of the examples that judge.
    rounds : int
        Number of timing rounds, each with the formats and the full model in another order.

    Returns
    -------
    answers : DataFrame
        Columns name, format and those of ``predictions.answers``.
    costs : DataFrame
        One row per layer set and format. Sets with equally many layers of the same kinds cost the
        same, and one of them is measured for all (`measured_as`). Ratios are to the full model in
        torch.
    """
    order, tables, costs = own_order(checkpoint), [], {}
    outputs = order.outputs if order else None
    measured: dict[tuple[object, ...], list[dict[str, object]]] = {}
    full = None
    for name in names:
        cut = CutModel.parse(name)
        head = load_set_head(heads, cut.kept) if cut.head else None
        with tempfile.TemporaryDirectory() as place:
            folder, target = Path(place) / "torch", Path(place) / "onnx"
            write_model(cut_model(checkpoint, task, cut.kept, head), rows.tokenizer, folder)
            texts = rows.examples["text_a"].head(100).tolist()
            write_onnx(folder, task, target, formats, texts, rows.max_length)
            model = plain_model(folder, task)
            full = full or model
            runners = _runners(model, target, formats, task)
            for form, runner in runners.items():
                table = _answers(runner, rows, task, outputs)
                tables.append(table.assign(name=name, format=form))
            shape = shape_of(full, cut.kept)
            if shape not in measured:
                speeds = _speeds({FULL: torch_runner(full, task)} | runners, FULL, rows, rounds)
                measured[shape] = [
                    {
                        "format": form,
                        "measured_as": str(cut.kept),
                        **speeds[form],
                        "parameters": num_parameters(model),
                        **_size(folder, target, form, rows, task),
                    }
                    for form in runners
                ]
            costs[str(cut.kept)] = measured[shape]
        print(f"measuring {name}", flush=True)
    answered = pd.concat(tables, ignore_index=True)
    rest = answered.columns.drop(["name", "format"])
    records = [{"layers": layers} | record for layers, own in costs.items() for record in own]
    return answered[["name", "format", *rest]], pd.DataFrame(records)


def _runners(
    model: torch.nn.Module, target: Path, formats: Sequence[str], task: Task
) -> dict[str, Runner]:
    own = {TORCH: torch_runner(model, task)}
    return own | {form: onnx_runner(target / FILES[form], task) for form in formats}


def _answers(runner: Runner, rows: Rows, task: Task, outputs: Sequence[int] | None) -> pd.DataFrame:
    """Predictions in the batches of throughput: int8's scales depend on the batch."""
    logits = torch.empty(len(rows), task.num_labels)
    with inference():
        for window in rows.windows():
            for chosen, inputs, _ in rows.batches(window, BATCH * rows.choices, "cpu"):
                logits[torch.from_numpy(chosen)] = runner(inputs).float()
    return answers(rows.examples, logits if outputs is None else logits[:, list(outputs)], task)


def _speeds(
    runners: Mapping[str, Runner], full: str, rows: Rows, rounds: int
) -> dict[str, dict[str, float | int | str]]:
    """Speed of each runner, with ratios to `full`."""
    openers = {name: partial(_ready, runner) for name, runner in runners.items()}
    timed = in_turn(openers, rows, rounds)
    return {name: speed(timed[name], timed[full], rows) for name in runners}


def _ready(runner: Runner) -> AbstractContextManager[Runner]:
    return nullcontext(runner)


def _size(folder: Path, target: Path, form: str, rows: Rows, task: Task) -> dict[str, float | None]:
    """Size of the weight files, and the peak memory of a process that runs a batch."""
    if form == TORCH:
        weights, place = folder.glob("*.safetensors"), folder
    else:
        place = target / FILES[form]
        weights = place.parent.glob(f"{place.name}*")  # above 2 GB there is a second file
    return {"file_mb": megabytes(weights), "memory_mb": peak_memory(place, rows, task)}
