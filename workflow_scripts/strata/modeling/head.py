"""Heads of all supported architectures, with one mechanism.

A head is the whole model without its encoder: its input is what the encoder would have output,
after the last layer and its norm.
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
    """A base model that is given its own output; only its pooler, if it has one, is left."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.pooler: nn.Module | None = getattr(base, "pooler", None)
        # ALBERT's pooler is a linear map for one vector, with a separate activation.
        self.activation: nn.Module | None = getattr(base, "pooler_activation", None)

    def forward(
        self, *args: Any, inputs_embeds: Tensor, **others: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        pooled = None
        if self.activation is not None and self.pooler is not None:
            pooled = self.activation(self.pooler(inputs_embeds[:, 0]))
        elif self.pooler is not None:
            pooled = self.pooler(inputs_embeds)
        # The output type with most fields: every model finds those that it reads.
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=inputs_embeds, pooler_output=pooled
        )


class Head(nn.Module):
    """Everything after the last layer and its norm, including the pooler, as a function.

    It is the model itself without embeddings, layers and norm, so the model's own forward decides
    what a head does. Parameters keep their names from the checkpoint. Each row is passed as a text
    of one token, for which every pooling gives the same.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = _shallow(model)
        setattr(self.model, model.base_model_prefix, _NoEncoder(model.base_model))
        self.one_of_many = type(model).__name__.endswith("ForMultipleChoice")
        # So that the model does not look for padding among vectors: there is none.
        for name in (type(model).__module__, "transformers.modeling_layers"):
            logging.get_logger(name).setLevel(logging.ERROR)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (rows, hidden) to (rows, outputs), with one output per row for multiple choice."""
        tokens = inputs[:, None, :]
        if self.one_of_many:
            tokens = tokens[:, None]
        attended = torch.ones(tokens.shape[:-1], dtype=torch.long, device=tokens.device)
        return self.model(inputs_embeds=tokens, attention_mask=attended).logits


def load_head(
    folder: str | Path, task: Task, seed: int | None = None, style: str | None = None
) -> Head:
    """The head of a checkpoint or, with a seed, a fresh head of a style, in eval mode."""
    return Head(load_model(folder, task, seed, style)).eval()


def head_names(head: Head) -> dict[str, str]:
    """For each parameter name in `head`, its name in the task model's state dict."""
    return {name: name.removeprefix("model.") for name, _ in head.named_parameters()}


def _shallow(module: nn.Module) -> nn.Module:
    """A copy that shares submodules and parameters but has its own list of submodules."""
    twin = copy(module)
    twin._modules = dict(module._modules)
    return twin
