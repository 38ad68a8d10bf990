"""Bottleneck adapters (Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, 2.1).

There are two in a layer, after the output projection of the attention and of the feed-forward
network, each after its dropout and before the residual sum and layer norm, as in the authors' code.
Adapters, layer norms and the head are trained.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.modeling.encoder import encoder_layers
from strata.modeling.head import Head
from strata.modeling.reinit import is_norm
from strata.runtime.errors import StrataError
from strata.study.architectures import ADAPTED

SIGMA = 0.01  # the paper's, cut at two sigmas


class Adapter(nn.Module):
    """x + W2 gelu(W1 x + b1) + b2, nearly the identity at first; 2 m d + d + m parameters.

    Parameters
    ----------
    width : int
        The width d of input and output.
    bottleneck : int
        The width m of the bottleneck.
    """

    def __init__(self, width: int, bottleneck: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=SIGMA, a=-2 * SIGMA, b=2 * SIGMA)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Adapt vectors of shape (..., width)."""
        return hidden + self.up(nn.functional.gelu(self.down(hidden)))


def add_adapters(
    model: PreTrainedModel, layers: Sequence[int] | None, bottleneck: int, seed: int
) -> None:
    """Put adapters into layers, in place, and train only these, layer norms and the head.

    Parameters
    ----------
    layers : sequence of int or None
        The layers' numbers, from 1; None for all. Layer norms are trained in the same layers and,
        with None, in the whole model including its embeddings, as in the authors' code.
    bottleneck : int
        The width m of the bottleneck, at most half of the hidden size.
    seed : int
        Draws the adapters' weights.
    """
    every, width = encoder_layers(model), model.config.hidden_size
    if model.config.model_type not in ADAPTED:
        raise StrataError(
            f"Strata does not know where bottleneck adapters go in a {model.config.model_type}; it "
            f"knows {', '.join(ADAPTED)}."
        )
    chosen = every if layers is None else [every[layer - 1] for layer in layers]
    model.requires_grad_(False)
    for module in [model.base_model] if layers is None else chosen:
        for norm in filter(is_norm, module.modules()):
            norm.requires_grad_(True)
    Head(model).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in dict.fromkeys(chosen):  # ALBERT's one layer is listed L times
            for name in ADAPTED[model.config.model_type]:
                place = layer.get_submodule(name)
                place.adapter = Adapter(width, min(bottleneck, max(1, width // 2)))
                place.register_forward_hook(_adapted)


def _adapted(place: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return place.adapter(out)
