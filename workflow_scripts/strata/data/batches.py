"""From texts to padded batches of token ids, tokenised when needed."""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from strata.runtime.errors import StrataError

Features = list[dict[str, list[int]]]


class Rows:
    """The rows that an encoder reads: one per example, or one per choice (example-major).

    Nothing is tokenised before it is needed, so memory does not grow with the number of examples.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The model's tokenizer.
    examples : DataFrame
        Examples in the form that ``strata.data.task`` describes.
    max_length : int
        The number of tokens that a row is cut to.

    Attributes
    ----------
    choices : int
        The number of rows per example.
    max_rows : int or None
        The largest number of rows per batch, lowered if more did not fit into the GPU's memory.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, max_length: int):
        self.tokenizer, self.examples, self.max_length = tokenizer, examples, max_length
        self.choices = len(examples["choices"].iloc[0]) if "choices" in examples else 1
        self.max_rows = sys.maxsize

    def __len__(self) -> int:
        return len(self.examples) * self.choices

    def tokenize(self, examples: slice | list[int]) -> tuple[Features, list[list[int]]]:
        """Tokenizer output for the rows of some examples, and each row's mask of special tokens."""
        encoded = self.tokenizer(
            *self._texts(self.examples.iloc[examples]),
            truncation=True,
            max_length=self.max_length,
            return_special_tokens_mask=True,
        )
        special = encoded.pop("special_tokens_mask")
        names = list(encoded)
        rows = zip(*encoded.values(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows], special

    def windows(self, size: int = 1024) -> Iterator[range]:
        """Consecutive ranges of rows, none of which cuts an example in two."""
        size = max(size // self.choices, 1) * self.choices
        for begin in range(0, len(self), size):
            yield range(begin, min(begin + size, len(self)))

    def batches(
        self, window: range, batch_size: int, device: torch.device | str
    ) -> Iterator[tuple[np.ndarray, dict[str, Tensor], Tensor]]:
        """Batches of a window's rows of similar length, so that little is padding.

        Yields
        ------
        tuple of ndarray, dict of str to Tensor and Tensor
            Row numbers of shape (batch,), inputs each of shape (batch, tokens), and a mask of shape
            (batch, tokens) of the tokens that are neither padding nor special.
        """
        first, last = window.start // self.choices, window.stop // self.choices
        features, special = self.tokenize(slice(first, last))
        order = np.argsort([-len(row["input_ids"]) for row in features], kind="stable")
        for begin in range(0, len(order), batch_size):
            chosen = order[begin : begin + batch_size]
            inputs = self.tokenizer.pad([features[i] for i in chosen], return_tensors="pt")
            plain = self._plain([special[i] for i in chosen], inputs["input_ids"].shape[1])
            on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
            yield chosen + window.start, on_device, plain.to(device)

    def each_batch(
        self,
        window: range,
        batch_size: int,
        device: torch.device | str,
        work: Callable[[np.ndarray, dict[str, Tensor], Tensor], None],
    ) -> None:
        """Give each batch of a window to `work`, in parts if the GPU's memory runs out.

        Parameters
        ----------
        work : callable
            Called with what `batches` yields. It may be called again with part of the same rows, so
            it must set results, not add to them.

        Raises
        ------
        StrataError
            The GPU's memory does not hold even a single row.
        """
        for chosen, inputs, plain in self.batches(window, min(batch_size, self.max_rows), device):
            begin = 0
            while begin < len(chosen):
                part = slice(begin, begin + min(self.max_rows, len(chosen)))
                try:
                    work(chosen[part], {k: v[part] for k, v in inputs.items()}, plain[part])
                    begin = part.stop
                    continue
                except torch.OutOfMemoryError:
                    pass  # halved below, when the failed attempt's tensors have been freed
                self._halve(len(chosen[part]), plain.shape[1])

    def _halve(self, rows: int, tokens: int) -> None:
        if rows == 1:
            raise StrataError(
                f"The GPU's memory does not hold one row of {tokens} tokens: lower "
                "training.max_length, or gpus.jobs_per_device if jobs share the GPU."
            )
        self.max_rows = rows // 2
        torch.cuda.empty_cache()
        print(
            f"{rows} rows of {tokens} tokens are too many for the GPU's memory: continuing with "
            f"{self.max_rows}",
            flush=True,
        )

    def _plain(self, special: list[list[int]], tokens: int) -> Tensor:
        plain = torch.zeros(len(special), tokens, dtype=torch.bool)
        for i, mask in enumerate(special):
            begin = 0 if self.tokenizer.padding_side == "right" else tokens - len(mask)
            plain[i, begin : begin + len(mask)] = torch.tensor(mask) == 0
        return plain

    @staticmethod
    def _texts(examples: pd.DataFrame) -> tuple[list[str], list[str] | None]:
        first = examples["text_a"].tolist()
        if "choices" not in examples:
            return first, examples["text_b"].tolist() if "text_b" in examples else None
        choices = examples["choices"].tolist()
        return (
            [text for text, several in zip(first, choices, strict=True) for _ in several],
            [choice for several in choices for choice in several],
        )
