"""Encoders run layer by layer, with one mechanism for all supported architectures.

The layers are called as the model's own forward calls them. `Encoder.start` runs that forward with
each layer's forward replaced by one that keeps the arguments and passes the hidden states on, so
that no layer runs. `Encoder.run` then calls layers with the arguments that each was given. Masks
and rotary positions may differ between layers, so each layer gets its own.
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

LINEAR = (nn.Linear, Conv1D)  # linear maps of vectors; GPT-2 stores their weights transposed
HIDDEN = "hidden_states"  # the keyword for the hidden states, in models that use one


@dataclass(frozen=True)
class Call:
    """The arguments of one layer besides the hidden states."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Start:
    """A batch before its first layer: its embeddings, and the arguments for each layer."""

    hidden: Tensor
    calls: tuple[Call, ...]


class Encoder:
    """The layers of a Transformers encoder, addressable one by one.

    Attributes
    ----------
    model : PreTrainedModel
        The model, with or without a head, in eval mode.
    layers : list of Module
        L modules, the first at index 0; ALBERT's one group is listed L times.
    norm : Module or None
        The norm that the model applies after the last layer, before its head reads.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model.eval()
        self.layers = encoder_layers(model)
        self.norm = final_norm(model)
        self.reads = reading(model)

    @property
    def num_layers(self) -> int:
        """Number of layers L."""
        return len(self.layers)

    def start(self, inputs: dict[str, Tensor]) -> Start:
        """Run the model without its layers.

        Parameters
        ----------
        inputs : dict of str to Tensor
            Tokenizer output, each tensor of shape (batch, tokens).
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
        hidden : Tensor of shape (batch, tokens, hidden)
            The hidden states at depth `first` - 1 (or any other depth).
        start : Start
            The start of a batch with the same tokens.
        """
        for k in range(first, last + 1):
            call = start.calls[k - 1]
            out = self.layers[k - 1](hidden, *call.arguments, **call.keywords)
            hidden = out[0] if isinstance(out, tuple) else out
        return hidden

    def hidden_states(self, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
        """Yield the hidden states at depths 0..L, each of shape (batch, tokens, hidden)."""
        start = self.start(inputs)
        hidden = start.hidden
        yield hidden
        for k in range(1, self.num_layers + 1):
            hidden = self.run(hidden, start, k, k)
            yield hidden

    def pool(self, hidden: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Pool (batch, tokens, hidden) to (batch, hidden), as the model's head does."""
        if self.reads == "cls":
            return hidden[:, 0]
        if self.reads == "mean":
            attended = inputs["attention_mask"][..., None]
            return (hidden * attended).sum(1) / attended.sum(1)
        # As in Transformers: the last token that is not the padding token, attended to or not.
        places = torch.arange(hidden.shape[1], device=hidden.device)
        shown = inputs["input_ids"] != self.model.config.get_text_config().pad_token_id
        return hidden[torch.arange(len(hidden), device=hidden.device), (places * shown).argmax(-1)]

    def read(self, hidden: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """What the head would read of hidden states at any depth, (batch, hidden)."""
        return self.pool(hidden if self.norm is None else self.norm(hidden), inputs)


@contextmanager
def _forward_of(layers: list[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Replace every layer's forward by `forward`."""
    distinct = list(dict.fromkeys(layers))
    for layer in distinct:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in distinct:
            del layer.forward


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers in order, one entry per depth."""
    row = architecture(model)
    held = model.base_model.get_submodule(row.layers)
    if row.shares_layers:
        return [held[0]] * model.config.num_hidden_layers
    return list(held)


def architecture(model: PreTrainedModel) -> Architecture:
    """The registry's row for a model."""
    return ARCHITECTURES[model.config.model_type]


def final_norm(model: PreTrainedModel) -> nn.Module | None:
    """The norm that a model applies after its last layer, before its head reads, if it has one."""
    place = architecture(model).final_norm
    return model.base_model.get_submodule(place) if place else None


def reading(model: PreTrainedModel) -> str:
    """What a model's head reads: "cls", "mean" (over attended tokens) or "last"."""
    row = architecture(model)
    said = getattr(model.config, row.reads_key) if row.reads_key else row.reads
    return "cls" if said == "bos" else said


def set_layers(model: PreTrainedModel, order: list[int]) -> None:
    """Keep these layers of the encoder, in this order, in place, and adapt per-layer lists.

    Parameters
    ----------
    order : list of int
        The layers' numbers, from 1.
    """
    row, layers = architecture(model), encoder_layers(model)
    parent, _, name = row.layers.rpartition(".")
    owner = model.base_model.get_submodule(parent)
    setattr(owner, name, nn.ModuleList([layers[number - 1] for number in order]))
    for key in row.lists:
        if values := getattr(model.config, key, None):
            setattr(model.config, key, [values[number - 1] for number in order])


def truncate(model: PreTrainedModel, depth: int) -> PreTrainedModel:
    """Cut the model to its first `depth` layers, in place, and its config with it."""
    if not architecture(model).shares_layers:
        set_layers(model, list(range(1, depth + 1)))
    model.config.num_hidden_layers = depth
    return model


def num_parameters(model: nn.Module) -> int:
    """Number of a model's parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


def trainable_parameters(model: nn.Module) -> int:
    """Number of parameters that are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
