"""From a variant's string to the model that is trained: new weights, frozen layers, adapters."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from strata.modeling.adapters import add_adapters
from strata.modeling.encoder import (
    LINEAR,
    architecture,
    encoder_layers,
    final_norm,
    truncate,
)
from strata.modeling.head import Head
from strata.modeling.reinit import permute, reinitialise
from strata.runtime.errors import StrataError
from strata.study.settings import (
    AblationSettings,
    AdapterSettings,
    LoraSettings,
    ReinitSettings,
)
from strata.study.variants import Variant


def training_examples(examples: pd.DataFrame, variant: Variant, seed: int) -> pd.DataFrame:
    """The examples that a run trains on: all, or the first `variant.size` of a permutation."""
    if variant.size is None or variant.size >= len(examples):
        return examples
    rows = np.random.default_rng(seed).permutation(len(examples))[: variant.size]
    return examples.iloc[rows].reset_index(drop=True)


def adapt(
    model: PreTrainedModel, variant: Variant, settings: AblationSettings, seed: int
) -> dict[str, float]:
    """Change a pretrained model in place as its variant says, before it is trained.

    Parts frozen by ``probe`` and ``head`` stay in eval mode (no dropout) while the rest is trained.

    Parameters
    ----------
    settings : AblationSettings
        The settings that the variant needs (``settings.ablation_settings_of``).
    seed : int
        Draws new weights.

    Returns
    -------
    dict of str to float
        For parameters with a learning rate of their own, by name, the factor to the recipe's rate.

    Raises
    ------
    StrataError
        The variant names layers that the model does not have.
    TypeError
        The settings are for another kind of variant.
    """
    layers = len(encoder_layers(model))
    try:
        variant.check(layers, architecture(model).shares_layers)
    except ValueError as error:
        raise StrataError(str(error)) from error
    named = list(range(variant.first or 1, (variant.last or layers) + 1))
    match variant, settings:
        case Variant(kind="reinit" | "keep"), ReinitSettings(scheme=scheme):
            if variant.kind == "keep":
                named = [layer for layer in range(1, layers + 1) if layer not in named]
            reinitialise(model, named, scheme, seed, variant.keep_norms)
            if variant.faster > 1:
                return dict.fromkeys(parameters_of(model, named), float(variant.faster))
        case Variant(kind="permute", permutation=int(number)), None:
            permute(model, number)
        case Variant(kind="lora"), LoraSettings():
            add_lora(model, named, settings)
        case Variant(kind="adapter"), AdapterSettings(bottleneck=bottleneck):
            add_adapters(model, named if variant.span else None, bottleneck, seed)
        case Variant(kind="probe" | "head", depth=int(depth)), None:
            truncate(model, depth)
            freeze_below(model, depth - (variant.top or 0))
        case Variant(kind="full"), None:
            pass
        case _:
            raise TypeError(f"'{variant}' does not go with {settings}.")
    return {}


def parameters_of(model: PreTrainedModel, layers: Sequence[int]) -> list[str]:
    """Names of all parameters of some layers (numbers from 1), in the model's order."""
    every = encoder_layers(model)
    inside = {id(p) for layer in layers for p in every[layer - 1].parameters()}
    return [name for name, p in model.named_parameters() if id(p) in inside]


def freeze_below(model: PreTrainedModel, depth: int) -> None:
    """Train only the layers above `depth` and the head."""
    model.requires_grad_(False)
    trained = encoder_layers(model)[depth:]
    norm = final_norm(model) if trained else None  # it belongs to the layers before it
    for module in [*trained, *([norm] if norm is not None else []), Head(model)]:
        module.requires_grad_(True)
    _keep_frozen_in_eval_mode(model)


def add_lora(model: PreTrainedModel, layers: Sequence[int], settings: LoraSettings) -> None:
    """Add low-rank adapters to every linear map of some layers (Hu et al. 2021); train the head.

    Parameters
    ----------
    layers : sequence of int
        The layers' numbers, from 1.
    """
    every = encoder_layers(model)
    wanted = {id(module) for layer in layers for module in every[layer - 1].modules()}
    names = [
        name
        for name, module in model.named_modules()
        if id(module) in wanted and isinstance(module, LINEAR)
    ]
    head = Head(model)  # its parameters, before the model gets those of adapters
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=names,
    )
    inject_adapter_in_model(config, model)  # this freezes the rest
    head.requires_grad_(True)


def merge_adapters(model: nn.Module) -> None:
    """Add LoRA's adapters to the weights that they adapt, so that inference costs nothing more.

    Bottleneck adapters are not linear and stay.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.merge()


def _keep_frozen_in_eval_mode(model: nn.Module) -> None:
    """Keep frozen parts in eval mode when Trainer puts the whole model into train mode."""
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
            module.train = lambda mode=True, frozen=module: frozen
