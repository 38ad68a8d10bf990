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
    def forward(self, *args: Any, inputs_embeds: Tensor | None = None, **others: Any) -> Tensor:
        # Passed by name or, in DistilBERT, by place: the one argument that holds vectors.
        if inputs_embeds is not None:
            return inputs_embeds
        return next(a for a in args if isinstance(a, Tensor) and a.is_floating_point())


class _NoLayers(nn.Module):
    def forward(
        self, hidden_states: Tensor, *args: Any, **others: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        # The richest of the encoders' output types: each model finds the fields that it reads.
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states, hidden_states=(hidden_states,)
        )


class Head(nn.Module):
    """Everything after the last layer, pooler included, as a function of the head input.

    It is the model itself with embeddings and layers taken out, so its own forward decides what
    a head does; its parameters keep the names they have in the checkpoint.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        runner = architecture(model).runner
        base = _shallow(model.base_model)
        base.embeddings = _NoEmbeddings()
        if hasattr(base, "embeddings_project"):  # ELECTRA with narrower embeddings
            base.embeddings_project = nn.Identity()
        setattr(base, runner, _NoLayers())
        self.model = _shallow(model)
        setattr(self.model, model.base_model_prefix, base)
        self.one_of_many = type(model).__name__.endswith("ForMultipleChoice")

    def forward(self, inputs: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, outputs]; one output a row for multiple choice."""
        tokens = inputs[:, None, :]
        if self.one_of_many:
            return self.model(inputs_embeds=tokens[:, None]).logits
        return self.model(inputs_embeds=tokens).logits


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
