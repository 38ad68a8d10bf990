"""The full model's logits and predictions."""

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.predictions import answers, decode
from strata.modeling.compute import device, inference
from strata.runtime.progress import Progress
from strata.study.settings import ForwardSettings


def row_logits(model: PreTrainedModel, inputs: dict[str, Tensor], task: Task) -> Tensor:
    """Logits (rows, outputs) from a task model's own forward; each choice is a row."""
    if task.kind.compares_rows:
        # As examples with one choice each, so that the model scores every row separately.
        return model(**{name: tensor[:, None] for name, tensor in inputs.items()}).logits
    return model(**inputs).logits


def predict(model: PreTrainedModel, rows: Rows, task: Task, forward: ForwardSettings) -> np.ndarray:
    """The full model's predictions, (examples,), in order."""
    return decode(all_logits(model, rows, task, forward), task)


def all_logits(model: PreTrainedModel, rows: Rows, task: Task, forward: ForwardSettings) -> Tensor:
    """The full model's logits, (rows, outputs), in order, in float32 on the CPU."""
    model.eval().to(device())
    logits = torch.empty(len(rows), task.num_labels)
    progress = Progress(len(rows), "rows evaluated")

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
        logits[torch.from_numpy(chosen)] = row_logits(model, inputs, task).float().cpu()
        progress.advance(len(chosen))

    with inference(forward.precision):
        for window in rows.windows():
            rows.each_batch(window, forward.batch_size, device(), work)
    return logits


def timed_predictions(
    model: PreTrainedModel, rows: Rows, task: Task, batch_size: int = 64
) -> tuple[pd.DataFrame, float]:
    """The full model's predictions in float32, and its speed.

    Returns
    -------
    tuple of DataFrame and float
        A table with the columns of ``predictions.answers``, in order, and examples per second.
    """
    began = time.monotonic()
    logits = all_logits(model, rows, task, ForwardSettings(batch_size))
    seconds = time.monotonic() - began
    table = answers(rows.examples, logits, task)
    return table, len(table) / seconds
