"""Skipping every contiguous span of layers (Phang et al. 2021, section 4.1).

Prefixes are reused: the state at the input of span (i, j) is that of depth i-1. All spans that end
at j run layers j+1..L as one batch. ALBERT's layers are one layer, so skipping m of them is
truncating to depth L-m, and nothing more is run.
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


def spans(depth: int) -> list[tuple[int, int]]:
    """Every span (first, last), 1-based and inclusive, of `depth` layers."""
    return [(i, j) for j in range(1, depth + 1) for i in range(1, j + 1)]


def span_logits(
    encoder: Encoder, head: Head, inputs: dict[str, Tensor], stack_rows: int = 512
) -> dict[tuple[int, int], Tensor]:
    """Logits [batch, outputs] of the model without each span of layers.

    Parameters
    ----------
    inputs : tokenizer output, each [batch, tokens].
    stack_rows : most rows run as one batch.
    """
    states = list(encoder.states(inputs))
    if architecture(encoder.model).shares_layers:
        cut = [head(state[:, 0]) for state in states]
        return {(i, j): cut[encoder.depth - (j - i + 1)] for i, j in spans(encoder.depth)}
    found = {}
    for last in range(1, encoder.depth + 1):
        for firsts in _groups(last, max(1, stack_rows // len(states[0]))):
            hidden = torch.cat([states[first - 1] for first in firsts])
            if last < encoder.depth:
                again = {k: v.repeat(len(firsts), *[1] * (v.ndim - 1)) for k, v in inputs.items()}
                hidden = encoder.run(hidden, encoder.start(again), last + 1, encoder.depth)
            logits = head(hidden[:, 0]).chunk(len(firsts))
            found |= {(first, last): part for first, part in zip(firsts, logits, strict=True)}
    return found


def _groups(last: int, size: int) -> Iterator[list[int]]:
    firsts = list(range(1, last + 1))
    for begin in range(0, last, size):
        yield firsts[begin : begin + size]


def skip_spans(
    encoder: Encoder,
    head: Head,
    rows: Rows,
    task: Task,
    batch_size: int,
    precision: str = "float32",
) -> pd.DataFrame:
    """Score of the model without each span.

    Returns
    -------
    columns first, last, metric, value, degenerate, n (rows), n_examples.
    """
    every = spans(encoder.depth)
    logits = {span: torch.empty(len(rows), task.num_labels) for span in every}
    progress = Progress(len(rows), f"rows, {len(every)} spans each")

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
        # Where a smaller batch was all that fitted, no larger one is stacked.
        found = span_logits(encoder, head, inputs, stack_rows=min(512, rows.most))
        for span, part in found.items():
            logits[span][torch.from_numpy(chosen)] = part.float().cpu()
        progress.advance(len(chosen))

    with inference(precision):
        for window in rows.windows():
            rows.each_batch(window, batch_size, device(), work)
    labels = rows.examples["label"].to_numpy()
    records = []
    for first, last in every:
        found = score(task.metric, labels, decode(logits[first, last], task))
        records.append(
            {
                "first": first,
                "last": last,
                "metric": task.metric,
                "value": found.value,
                "degenerate": found.degenerate,
                "n": len(rows),
                "n_examples": len(labels),
            }
        )
    return pd.DataFrame.from_records(records)
