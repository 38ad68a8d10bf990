"""Heads of every supported architecture by one mechanism.

A head is the whole model with its embeddings and layers taken out: what goes in is what the last
layer would have put out.
"""

from copy import copy
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from strata.data.task import Task
from strata.modeling.encoder import architecture
from strata.modeling.loading import load_model


class _NoEmbeddings(nn.Module):
    def forward(self, *args: Any, inputs_embeds: Tensor, **others: Any) -> Tensor:
        return inputs_embeds


class _NoLayers(nn.Module):
    def forward(
        self, hidden_states: Tensor, *args: Any, **others: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        # The richest of the encoders' output types: each model finds the fields that it reads.
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states, hidden_states=(hidden_states,)
        )


class _NoEncoder(nn.Module):
    """In place of a base model that has nothing but embeddings, layers and a norm."""

    def forward(
        self, *args: Any, inputs_embeds: Tensor, **others: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        return _NoLayers()(inputs_embeds)


class Head(nn.Module):
    """Everything after the last layer and its norm, pooler included, as a function of what it reads.

    It is the model itself with embeddings, layers and norm taken out, so its own forward decides
    what a head does; its parameters keep the names they have in the checkpoint. A row is given to
    it as a text of one token, of which every pooling reads the same.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = _shallow(model)
        setattr(self.model, model.base_model_prefix, _without_encoder(model))
        self.one_of_many = type(model).__name__.endswith("ForMultipleChoice")

    def forward(self, inputs: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, outputs]; one output a row for multiple choice."""
        tokens = inputs[:, None, :]
        if self.one_of_many:
            return self.model(inputs_embeds=tokens[:, None]).logits
        return self.model(inputs_embeds=tokens).logits


def _without_encoder(model: PreTrainedModel) -> nn.Module:
    """The base model without what comes before its pooler; where there is none, next to nothing."""
    if getattr(model.base_model, "pooler", None) is None:
        return _NoEncoder()
    base, (runner, _, _) = _shallow(model.base_model), architecture(model).layers.partition(".")
    base.embeddings = _NoEmbeddings()
    setattr(base, runner, _NoLayers())
    return base


def load_head(
    folder: str | Path, task: Task, seed: int | None = None, style: str | None = None
) -> Head:
    """The head of a checkpoint (or, with a seed, a fresh one of a style), in eval mode."""
    return Head(load_model(folder, task, seed, style)).eval()


def head_names(head: Head) -> dict[str, str]:
    """Parameter names in `head` -> in the task model's state dict."""
    return {name: name.removeprefix("model.") for name, _ in head.named_parameters()}


def _shallow(module: nn.Module) -> nn.Module:
    """A copy that shares submodules and parameters, but whose list of submodules is its own."""
    twin = copy(module)
    twin._modules = dict(module._modules)
    return twin
