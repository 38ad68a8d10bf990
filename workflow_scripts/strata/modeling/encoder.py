"""Encoders layer by layer, of every supported architecture by one mechanism.

The layers are called as the model's own forward calls them: `Encoder.start` runs that forward with
every layer's own replaced by one that keeps the arguments and passes the hidden states on, so that
no layer is run; `Encoder.run` calls layers with what each was given. Masks and rotary positions may
differ by layer, so no layer gets another's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from strata.study.architectures import ARCHITECTURES, Architecture

LINEAR = (nn.Linear, Conv1D)  # linear maps of vectors; GPT-2's are written the other way round
HIDDEN = "hidden_states"  # by which name layers are given them, where by one


@dataclass(frozen=True)
class Call:
    """What one layer was given beside the hidden states."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Start:
    """A batch before its first layer: its embeddings, and how each layer is to be called on it."""

    hidden: Tensor
    calls: tuple[Call, ...]


class Encoder:
    """The layers of a Transformers encoder, addressable one by one.

    Attributes
    ----------
    model : the model, with or without a head, in eval mode.
    layers : L modules, the first at index 0; ALBERT's one group stands there L times.
    norm : what the model applies between the last layer and what its head reads.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model.eval()
        self.layers = encoder_layers(model)
        self.norm = final_norm(model)
        self.reads = reading(model)

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    def start(self, inputs: dict[str, Tensor]) -> Start:
        """Run the model without its layers.

        Parameters
        ----------
        inputs : tokenizer output, each tensor [batch, tokens].
        """
        kept: list[tuple[Tensor, Call]] = []
        values = architecture(self.model).returns

        def keep(*arguments: Any, **keywords: Any) -> Tensor | tuple[Tensor | None, ...]:
            hidden = keywords.pop(HIDDEN) if HIDDEN in keywords else arguments[0]
            others = arguments[1:] if arguments and hidden is arguments[0] else arguments
            kept.append((hidden, Call(others, keywords)))
            return (hidden, *[None] * (values - 1)) if values else hidden

        with _forward_of(self.layers, keep):
            self.model.base_model(**inputs)
        return Start(kept[0][0], tuple(call for _, call in kept))

    def run(self, hidden: Tensor, start: Start, first: int, last: int) -> Tensor:
        """Apply layers `first`..`last` (from 1, inclusive; none if last < first).

        Parameters
        ----------
        hidden : [batch, tokens, hidden], the hidden states at depth `first` - 1 (or any other).
        start : of a batch with the same tokens.
        """
        for k in range(first, last + 1):
            call = start.calls[k - 1]
            out = self.layers[k - 1](hidden, *call.arguments, **call.keywords)
            hidden = out[0] if isinstance(out, tuple) else out
        return hidden

    def hidden_states(self, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
        """The hidden states at depths 0..L, each [batch, tokens, hidden], as they are made."""
        start = self.start(inputs)
        hidden = start.hidden
        yield hidden
        for k in range(1, self.num_layers + 1):
            hidden = self.run(hidden, start, k, k)
            yield hidden

    def pool(self, hidden: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """[batch, tokens, hidden] -> [batch, hidden], pooled as the model's head pools them."""
        if self.reads == "cls":
            return hidden[:, 0]
        if self.reads == "mean":
            attended = inputs["attention_mask"][..., None]
            return (hidden * attended).sum(1) / attended.sum(1)
        # As Transformers has it: the last token that is not the padding token, attended or not.
        places = torch.arange(hidden.shape[1], device=hidden.device)
        shown = inputs["input_ids"] != self.model.config.get_text_config().pad_token_id
        return hidden[torch.arange(len(hidden), device=hidden.device), (places * shown).argmax(-1)]

    def read(self, hidden: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """What the head reads of hidden states at any depth, [batch, hidden]."""
        return self.pool(hidden if self.norm is None else self.norm(hidden), inputs)


@contextmanager
def _forward_of(layers: list[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let `forward` stand in for that of every layer."""
    distinct = list(dict.fromkeys(layers))
    for layer in distinct:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in distinct:
            del layer.forward


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers in order, one entry a depth."""
    row = architecture(model)
    held = model.base_model.get_submodule(row.layers)
    if row.shares_layers:
        return [held[0]] * model.config.num_hidden_layers
    return list(held)


def architecture(model: PreTrainedModel) -> Architecture:
    """The registry's row of a model."""
    return ARCHITECTURES[model.config.model_type]


def final_norm(model: PreTrainedModel) -> nn.Module | None:
    """What a model applies between its last layer and what its head reads, if it has it."""
    place = architecture(model).final_norm
    return model.base_model.get_submodule(place) if place else None


def reading(model: PreTrainedModel) -> str:
    """What the head of a model reads: cls, mean (over attended tokens) or last."""
    row = architecture(model)
    said = getattr(model.config, row.reads_key) if row.reads_key else row.reads
    return "cls" if said == "bos" else said


def set_layers(model: PreTrainedModel, order: list[int]) -> None:
    """Keep these of the encoder's layers, in this order, in place; per-layer lists follow.

    Parameters
    ----------
    order : numbers from 1.
    """
    row, layers = architecture(model), encoder_layers(model)
    parent, _, name = row.layers.rpartition(".")
    owner = model.base_model.get_submodule(parent)
    setattr(owner, name, nn.ModuleList([layers[number - 1] for number in order]))
    for key in row.lists:
        if values := getattr(model.config, key, None):
            setattr(model.config, key, [values[number - 1] for number in order])


def truncate(model: PreTrainedModel, depth: int) -> PreTrainedModel:
    """Cut the model to its first `depth` layers, in place; its config follows."""
    if not architecture(model).shares_layers:
        set_layers(model, list(range(1, depth + 1)))
    model.config.num_hidden_layers = depth
    return model


def num_parameters(model: nn.Module) -> int:
    """How many numbers a model has; what layers share counts once."""
    return sum(p.numel() for p in model.parameters())


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
