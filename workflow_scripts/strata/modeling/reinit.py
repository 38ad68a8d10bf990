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
# Where each scheme truncates the normal distribution, as a weight, not in sigmas. The paper means
# two sigmas, 0.04. Its code passes 0.04 to SciPy, which takes bounds in sigmas, so that its weights
# end at 0.04 sigmas.
BOUNDS = {"paper": 2 * SIGMA, "released_code": 2 * SIGMA * SIGMA}
SCHEMES = (*BOUNDS, "fresh")


def reinitialise(
    model: PreTrainedModel, layers: Iterable[int], scheme: str, seed: int, keep_norms: bool = False
) -> None:
    """Give layers new weights, in place; embeddings, pooler and head do not change.

    Parameters
    ----------
    layers : iterable of int
        The layers' numbers, from 1.
    scheme : str
        ``paper``: weights of linear maps from a normal distribution with sigma 0.02, cut at two
        sigmas (standard deviation 0.0176), biases unchanged. ``released_code``: the same with the
        mistake in the authors' code (0.00046). ``fresh``: as the model's own class initialises a
        layer, including biases.
    seed : int
        Draws the weights.
    keep_norms : bool, default False
        Whether layer norms keep their values; otherwise they are set to change nothing.
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
    """Whether a module is a norm of vectors, whatever its model calls it."""
    return type(module).__name__.endswith("Norm")


def reset_norm(module: nn.Module, neutral: float) -> None:
    """Make a norm only normalise: weights that change nothing, and no shift.

    Parameters
    ----------
    neutral : float
        The weight that changes nothing; 0 if the model adds 1 to it.
    """
    for name, value in {"weight": neutral, "bias": 0.0}.items():
        if getattr(module, name, None) is not None:
            nn.init.constant_(getattr(module, name), value)


def permutation(layers: int, number: int) -> list[int]:
    """The order of `layers` layers with this number: the old positions, from 1.

    It is the same for every task and every model with as many layers.
    """
    return [int(layer) + 1 for layer in np.random.RandomState(number).permutation(layers)]


def permute(model: PreTrainedModel, number: int) -> None:
    """Reorder the encoder's layers in place.

    Raises
    ------
    StrataError
        What a layer does depends on its place.
    """
    row = architecture(model)
    tied = row.tied_first or (row.tied_by and getattr(model.config, row.tied_by) and row.tied_by)
    if tied:
        raise StrataError(
            f"The layers of a {model.config.model_type} cannot change places: {tied}, so a plain "
            "checkpoint cannot hold them."
        )
    set_layers(model, permutation(len(encoder_layers(model)), number))
