"""Skipping every contiguous span of layers (Phang et al. 2021, section 4.1).

Skipping a span means keeping the layer set without it, and the sets of all spans run together
(``modeling.layer_sets``): the hidden states at the input of span (i, j) are those of depth i-1.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.predictions import decode
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.layer_sets import STACK_ROWS, read_sets
from strata.runtime.progress import Progress
from strata.study.settings import ForwardSettings


def spans(layers: int) -> list[tuple[int, int]]:
    """Every span (first, last) of `layers` layers, 1-based and inclusive."""
    return [(i, j) for j in range(1, layers + 1) for i in range(1, j + 1)]


def span_logits(
    encoder: Encoder, head: Head, inputs: dict[str, Tensor], stack_rows: int = STACK_ROWS
) -> dict[tuple[int, int], Tensor]:
    """Logits (batch, outputs) of the model without each span of layers.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Tokenizer output, each of shape (batch, tokens).
    stack_rows : int, default STACK_ROWS
        The largest number of rows that run as one batch.
    """
    layers = range(1, encoder.num_layers + 1)
    kept = {
        (first, last): tuple(k for k in layers if not first <= k <= last)
        for first, last in spans(encoder.num_layers)
    }
    read = read_sets(encoder, inputs, list(kept.values()), stack_rows)
    return {span: head(read[own]) for span, own in kept.items()}


def skip_spans(
    encoder: Encoder, head: Head, rows: Rows, task: Task, forward: ForwardSettings
) -> pd.DataFrame:
    """The model's predictions without each span.

    Returns
    -------
    DataFrame
        Columns first, last, example_id, label, prediction; one row per span and example.
    """
    every = spans(encoder.num_layers)
    logits = {span: torch.empty(len(rows), task.num_labels) for span in every}
    progress = Progress(len(rows), f"rows, {len(every)} spans each")

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
        # If only a smaller batch fitted, no larger one is stacked.
        parts = span_logits(encoder, head, inputs, min(STACK_ROWS, rows.max_rows))
        for span, part in parts.items():
            logits[span][torch.from_numpy(chosen)] = part.float().cpu()
        progress.advance(len(chosen))

    with inference(forward.precision):
        for window in rows.windows():
            rows.each_batch(window, forward.batch_size, device(), work)
    asked = rows.examples[["example_id", "label"]]
    parts = [
        asked.assign(first=first, last=last, prediction=decode(logits[first, last], task))
        for first, last in every
    ]
    columns = ["first", "last", "example_id", "label", "prediction"]
    return pd.concat(parts, ignore_index=True)[columns]


def span_scores(predictions: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Score of the model without each span, from ``skip_spans``.

    Returns
    -------
    DataFrame
        Columns first, last, metric, value, degenerate, n (rows), n_examples.
    """
    records = []
    for (first, last), own in predictions.groupby(["first", "last"], sort=False):
        labels = own["label"].to_numpy()
        scored = score(task.metric, labels, own["prediction"].to_numpy())
        records.append(
            {
                "first": first,
                "last": last,
                "metric": task.metric,
                "value": scored.value,
                "degenerate": scored.degenerate,
                "n": len(labels) * task.choices,
                "n_examples": len(labels),
            }
        )
    return pd.DataFrame.from_records(records)
