"""New weights for some layers, or another order of them (Tamkin et al. 2020)."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from strata.modeling.encoder import LINEAR, architecture, encoder_layers, set_layers
from strata.modeling.loading import draw_weights
from strata.runtime.errors import StrataError

SIGMA = 0.02  # BERT's
# Where each scheme truncates the normal distribution, in weights, not in sigmas. The paper means
# two sigmas. Its code passes those 0.04 to SciPy, which takes bounds in units of sigma, so that its
# weights end at 0.04 sigmas.
BOUNDS = {"paper": 2 * SIGMA, "released_code": 2 * SIGMA * SIGMA}
SCHEMES = (*BOUNDS, "fresh")


def reinitialise(
    model: PreTrainedModel, layers: Iterable[int], scheme: str, seed: int, keep_norms: bool = False
) -> None:
    """Give layers new weights, in place; embeddings, pooler and head stay as they are.

    Parameters
    ----------
    layers : numbers from 1.
    scheme : ``paper``: the weights of linear maps from a normal distribution with sigma 0.02, cut
        at two sigmas (standard deviation 0.0176), their biases as they were.
        ``released_code``: the same with the slip of the authors' code (0.00046).
        ``fresh``: as the model's own class initialises a layer, biases included.
    seed : draws the weights.
    keep_norms : leave layer norms as they are; else they are set to change nothing.
    """
    every = encoder_layers(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for number in sorted(layers):
            for module in every[number - 1].modules():
                if is_norm(module):
                    if not keep_norms:
                        reset_norm(module, architecture(model).neutral)
                elif scheme == "fresh":
                    draw_weights(model, module)
                elif isinstance(module, LINEAR):
                    bound = BOUNDS[scheme]
                    nn.init.trunc_normal_(module.weight, std=SIGMA, a=-bound, b=bound)


def is_norm(module: nn.Module) -> bool:
    """Whether it is a norm of vectors, whatever its model calls it."""
    return type(module).__name__.endswith("Norm")


def reset_norm(module: nn.Module, neutral: float) -> None:
    """Let a norm only norm: weights that change nothing, and no shift.

    Parameters
    ----------
    neutral : the weight that changes nothing; 0 where a model adds 1 to it.
    """
    for name, value in {"weight": neutral, "bias": 0.0}.items():
        if getattr(module, name, None) is not None:
            nn.init.constant_(getattr(module, name), value)


def permutation(layers: int, number: int) -> list[int]:
    """The order of `layers` layers that the number stands for: the old numbers, from 1.

    The same for every task and every model with as many layers.
    """
    return [int(layer) + 1 for layer in np.random.RandomState(number).permutation(layers)]


def permute(model: PreTrainedModel, number: int) -> None:
    """Put the encoder's layers into another order, in place.

    Raises
    ------
    StrataError : a layer does what it does because of its place.
    """
    row = architecture(model)
    tied = row.tied_first or (row.tied_by and getattr(model.config, row.tied_by) and row.tied_by)
    if tied:
        raise StrataError(
            f"The layers of a {model.config.model_type} cannot change places: {tied}, so that a "
            "plain checkpoint could not hold them."
        )
    set_layers(model, permutation(len(encoder_layers(model)), number))
