"""Encoders layer by layer, of every supported architecture by one mechanism.

The layers are called as the model's own encoder calls them: `Encoder.start` runs the model's
forward up to its first layer, keeps the arguments passed there (masks, position biases), and
`Encoder.run` calls layers with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.study.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True)
class Start:
    """A batch before its first layer: its embeddings, and how layers are to be called on it."""

    hidden: Tensor
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


class _Stopped(Exception):
    pass


class Encoder:
    """The layers of a Transformers encoder, addressable one by one.

    Attributes
    ----------
    model : the task model, in eval mode.
    layers : L modules, the first at index 0; ALBERT's one group stands there L times.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model.eval()
        self.layers = encoder_layers(model)

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    def start(self, inputs: dict[str, Tensor]) -> Start:
        """Run the model up to its first layer.

        Parameters
        ----------
        inputs : tokenizer output, each tensor [batch, tokens].
        """
        kept: list[Start] = []

        def stop(_: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            hidden, *others = arguments
            kept.append(Start(hidden, tuple(others), keywords))
            raise _Stopped

        handle = self.layers[0].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model.base_model(**inputs)
        except _Stopped:
            pass
        finally:
            handle.remove()
        return kept[0]

    def run(self, hidden: Tensor, start: Start, first: int, last: int) -> Tensor:
        """Apply layers `first`..`last` (from 1, inclusive; none if last < first).

        Parameters
        ----------
        hidden : [batch, tokens, hidden], the hidden states at depth `first` - 1 (or any other).
        start : of a batch with the same tokens.
        """
        for layer in self.layers[first - 1 : last]:
            out = layer(hidden, *start.arguments, **start.keywords)
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


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers in order, one entry a depth."""
    row = architecture(model)
    held = getattr(getattr(model.base_model, row.runner), row.holder)
    if row.shares_layers:
        return [held[0]] * model.config.num_hidden_layers
    return list(held)


def architecture(model: PreTrainedModel) -> Architecture:
    """The registry's row of a model."""
    return ARCHITECTURES[model.config.model_type]


def set_layers(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Put other layers into the encoder, or in another order, in place."""
    row = architecture(model)
    setattr(getattr(model.base_model, row.runner), row.holder, nn.ModuleList(layers))


def truncate(model: PreTrainedModel, depth: int) -> PreTrainedModel:
    """Cut the model to its first `depth` layers, in place; its config follows."""
    if not architecture(model).shares_layers:
        set_layers(model, encoder_layers(model)[:depth])
    model.config.num_hidden_layers = depth
    return model


def num_parameters(model: nn.Module) -> int:
    """How many numbers a model has; what layers share counts once."""
    return sum(p.numel() for p in model.parameters())


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
