"""Skipping every contiguous span of layers (Phang et al. 2021, section 4.1).

Prefixes are reused: the hidden states at the input of span (i, j) are those of depth i-1. All
spans that end at j run layers j+1..L as one batch. ALBERT's layers are one layer, so skipping m of
them is truncating to depth L-m, and nothing more is run.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.predictions import decode
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder, architecture
from strata.modeling.head import Head
from strata.runtime.progress import Progress
from strata.study.settings import ForwardSettings


def spans(layers: int) -> list[tuple[int, int]]:
    """Every span (first, last), 1-based and inclusive, of so many layers."""
    return [(i, j) for j in range(1, layers + 1) for i in range(1, j + 1)]


def span_logits(
    encoder: Encoder, head: Head, inputs: dict[str, Tensor], stack_rows: int = 512
) -> dict[tuple[int, int], Tensor]:
    """Logits [batch, outputs] of the model without each span of layers.

    Parameters
    ----------
    inputs : tokenizer output, each [batch, tokens].
    stack_rows : most rows run as one batch.
    """
    hidden, layers = list(encoder.hidden_states(inputs)), encoder.num_layers
    if architecture(encoder.model).shares_layers:
        cut = [head(encoder.read(at_depth, inputs)) for at_depth in hidden]
        return {(i, j): cut[layers - (j - i + 1)] for i, j in spans(layers)}
    logits: dict[tuple[int, int], Tensor] = {}
    for last in range(1, layers + 1):
        for firsts in _groups(last, max(1, stack_rows // len(hidden[0]))):
            stacked = torch.cat([hidden[first - 1] for first in firsts])
            again = {k: v.repeat(len(firsts), *[1] * (v.ndim - 1)) for k, v in inputs.items()}
            if last < layers:
                stacked = encoder.run(stacked, encoder.start(again), last + 1, layers)
            parts = head(encoder.read(stacked, again)).chunk(len(firsts))
            logits |= {(first, last): part for first, part in zip(firsts, parts, strict=True)}
    return logits


def _groups(last: int, size: int) -> Iterator[list[int]]:
    firsts = list(range(1, last + 1))
    for begin in range(0, last, size):
        yield firsts[begin : begin + size]


def skip_spans(
    encoder: Encoder, head: Head, rows: Rows, task: Task, forward: ForwardSettings
) -> pd.DataFrame:
    """What the model answers without each span.

    Returns
    -------
    predictions: columns first, last, example_id, label, prediction; a row a span and example.
    """
    every = spans(encoder.num_layers)
    logits = {span: torch.empty(len(rows), task.num_labels) for span in every}
    progress = Progress(len(rows), f"rows, {len(every)} spans each")

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
        # Where a smaller batch was all that fitted, no larger one is stacked.
        parts = span_logits(encoder, head, inputs, stack_rows=min(512, rows.max_rows))
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
    columns first, last, metric, value, degenerate, n (rows), n_examples.
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
