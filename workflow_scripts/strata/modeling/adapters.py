"""Bottleneck adapters (Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, 2.1).

Two in a layer, after the attention's output projection and after the feed-forward network's, each
behind their dropout and before the residual sum and its layer norm, as in the authors' code. What
is trained are the adapters, layer norms and the head.
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
    """x + W2 gelu(W1 x + b1) + b2, nearly the identity at first; 2 m d + d + m numbers.

    Parameters
    ----------
    width : d, of what comes in and goes out.
    bottleneck : m.
    """

    def __init__(self, width: int, bottleneck: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=SIGMA, a=-2 * SIGMA, b=2 * SIGMA)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., width] -> the same."""
        return hidden + self.up(nn.functional.gelu(self.down(hidden)))


def add_adapters(
    model: PreTrainedModel, layers: Sequence[int] | None, bottleneck: int, seed: int
) -> None:
    """Put adapters into layers, in place, and train nothing but these, layer norms and the head.

    Parameters
    ----------
    layers : numbers from 1; None for all. Layer norms are trained in the same layers, and with None
        in all of the model, its embeddings' included, as in the authors' code.
    bottleneck : m; no more than half of the hidden size is taken.
    seed : draws the adapters' weights.
    """
    every, width = encoder_layers(model), model.config.hidden_size
    if model.config.model_type not in ADAPTED:
        raise StrataError(
            f"It is not known where bottleneck adapters go in a {model.config.model_type}; known "
            f"are {', '.join(ADAPTED)}."
        )
    chosen = every if layers is None else [every[layer - 1] for layer in layers]
    model.requires_grad_(False)
    for module in [model.base_model] if layers is None else chosen:
        for norm in filter(is_norm, module.modules()):
            norm.requires_grad_(True)
    Head(model).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in dict.fromkeys(chosen):  # ALBERT's one layer stands there L times
            for name in ADAPTED[model.config.model_type]:
                place = layer.get_submodule(name)
                place.adapter = Adapter(width, min(bottleneck, max(1, width // 2)))
                place.register_forward_hook(_adapted)


def _adapted(place: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return place.adapter(out)
