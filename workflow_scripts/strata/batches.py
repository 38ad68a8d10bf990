"""From texts to padded batches of token ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Rows:
    """The rows an encoder reads: one an example, or one a choice (example-major).

    Attributes
    ----------
    features : tokenizer output of each row, lists of ints without padding.
    special : mask of each row's special tokens, by the tokenizer's own account.
    choices : rows an example has.
    """

    features: list[dict[str, list[int]]]
    special: list[list[int]]
    choices: int

    def __len__(self) -> int:
        return len(self.features)


def tokenize(tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int) -> Rows:
    """Tokenise a task's examples (the one form of ``strata.tasks``), cut to `max_length`."""
    first, second, choices = _texts(examples)
    encoded = tokenizer(
        first, second, truncation=True, max_length=max_length, return_special_tokens_mask=True
    )
    special = encoded.pop("special_tokens_mask")
    names = list(encoded)
    features = [dict(zip(names, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    return Rows(features, special, choices)


def _texts(examples: pd.DataFrame) -> tuple[list[str], list[str] | None, int]:
    first = examples["text_a"].tolist()
    if "choices" not in examples:
        return first, examples["text_b"].tolist() if "text_b" in examples else None, 1
    choices = examples["choices"].tolist()
    count = len(choices[0])
    return (
        [text for text in first for _ in range(count)],
        [choice for example in choices for choice in example],
        count,
    )


def windows(rows: Rows, size: int = 1024) -> Iterator[range]:
    """Consecutive windows of rows, none of which cuts an example in two."""
    size = max(size // rows.choices, 1) * rows.choices
    for begin in range(0, len(rows), size):
        yield range(begin, min(begin + size, len(rows)))


def batches(
    rows: Rows, window: range, batch_size: int, tokenizer: PreTrainedTokenizerBase, device: Any
) -> Iterator[tuple[np.ndarray, dict[str, Tensor], Tensor]]:
    """Batches of a window's rows, alike in length so that little is padding.

    Yields
    ------
    row numbers [batch], inputs each [batch, tokens], mask [batch, tokens] of the tokens that are
    neither padding nor special.
    """
    lengths = np.array([len(rows.features[row]["input_ids"]) for row in window])
    order = np.array(window)[np.argsort(-lengths, kind="stable")]
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        inputs = tokenizer.pad([rows.features[row] for row in chosen], return_tensors="pt")
        tokens = inputs["input_ids"].shape[1]
        plain = torch.zeros(len(chosen), tokens, dtype=torch.bool)
        for i, row in enumerate(chosen):
            mask = torch.tensor(rows.special[row]) == 0
            begin_at = 0 if tokenizer.padding_side == "right" else tokens - len(mask)
            plain[i, begin_at : begin_at + len(mask)] = mask
        yield (
            chosen,
            {name: tensor.to(device) for name, tensor in inputs.items()},
            plain.to(device),
        )
