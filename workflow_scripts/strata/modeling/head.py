"""Heads of every supported architecture by one mechanism.

A head is the whole model with its encoder taken out: what goes in is what the encoder would have
put out, after the last layer and its norm.
"""

from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions
from transformers.utils import logging

from strata.data.task import Task
from strata.modeling.loading import load_model


class _NoEncoder(nn.Module):
    """A base model that is given what it puts out; its pooler, if it has one, is what is left."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.pooler: nn.Module | None = getattr(base, "pooler", None)
        # ALBERT's is a linear map for one vector, and stands beside its activation.
        self.activation: nn.Module | None = getattr(base, "pooler_activation", None)

    def forward(
        self, *args: Any, inputs_embeds: Tensor, **others: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        pooled = None
        if self.activation is not None and self.pooler is not None:
            pooled = self.activation(self.pooler(inputs_embeds[:, 0]))
        elif self.pooler is not None:
            pooled = self.pooler(inputs_embeds)
        # The richest of the output types: each model finds the fields that it reads.
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=inputs_embeds, pooler_output=pooled
        )


class Head(nn.Module):
    """All that comes after the last layer and its norm, pooler included, as a function.

    It is the model itself with embeddings, layers and norm taken out, so its own forward decides
    what a head does; its parameters keep the names they have in the checkpoint. A row is given to
    it as a text of one token, of which every pooling reads the same.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = _shallow(model)
        setattr(self.model, model.base_model_prefix, _NoEncoder(model.base_model))
        self.one_of_many = type(model).__name__.endswith("ForMultipleChoice")
        # That padding is not looked for among vectors: there is none.
        for name in (type(model).__module__, "transformers.modeling_layers"):
            logging.get_logger(name).setLevel(logging.ERROR)

    def forward(self, inputs: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, outputs]; one output a row for multiple choice."""
        tokens = inputs[:, None, :]
        if self.one_of_many:
            tokens = tokens[:, None]
        attended = torch.ones(tokens.shape[:-1], dtype=torch.long, device=tokens.device)
        return self.model(inputs_embeds=tokens, attention_mask=attended).logits


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
