"""Checks of a fetched model, before anything is trained from it."""

import re
from pathlib import Path
from typing import NoReturn

import torch
from transformers import AutoModel, PreTrainedModel

from strata.data.tokens import load_tokenizer
from strata.modeling.encoder import architecture
from strata.modeling.loading import quiet_loading
from strata.runtime.errors import StrataError, always_raises


def check_folder(folder: str | Path, name: str, has_tokenizer: bool = True) -> None:
    """Refuse a model folder if config, weights and tokenizer (if any) are not of one model.

    Heads get new weights, so any or none may be present, and checkpoints of masked language models
    have no pooler. Anything else that is missing from the weights would silently be random, and
    layers in the weights that the config does not have would silently be left out.

    Raises
    ------
    StrataError
        The folder is not one working model; the message begins with `name`.
    """
    try:
        with quiet_loading():
            model, keys_of = AutoModel.from_pretrained(
                folder,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
            )
    except Exception as error:  # whatever the library raises for odd files
        raise StrataError(
            f"Model '{name}': its config.json and weights cannot be loaded ({_brief(error)}); "
            "download the model's files again."
        ) from error
    row = architecture(model)
    layers = f"{row.layers}."
    missing = [key for key in keys_of["missing_keys"] if not key.startswith("pooler.")]
    reshaped = [key for key, *_ in keys_of["mismatched_keys"]]
    spare = [key for key in keys_of["unexpected_keys"] if re.search(rf"\b{layers}\d", key)]
    if missing:
        _refuse_weights(name, model, missing, "lack")
    if reshaped:
        _refuse_weights(name, model, reshaped, "have a different shape of")
    if spare:
        _refuse_weights(name, model, spare, "also hold")
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise StrataError(
            f"Model '{name}': its weights hold values that are not finite; download them again."
        )
    if has_tokenizer:
        _check_tokenizer(folder, name, model.eval())


@always_raises
def _refuse_weights(name: str, model: PreTrainedModel, keys: list[str], fault: str) -> NoReturn:
    raise StrataError(
        f"Model '{name}': its weights {fault} {min(keys)}"
        + (f" and {len(keys) - 1} others" if len(keys) > 1 else "")
        + f", which does not fit its config.json ({model.config.num_hidden_layers} layers of size "
        f"{model.config.hidden_size}); get both from the same place."
    )


@torch.no_grad()
def _check_tokenizer(folder: str | Path, name: str, model: PreTrainedModel) -> None:
    try:
        tokenizer = load_tokenizer(folder)
        ids = tokenizer.get_vocab().values()
    except Exception as error:
        raise StrataError(
            f"Model '{name}': its tokenizer cannot be loaded ({_brief(error)}); get the tokenizer "
            "files of this model."
        ) from error
    rows = model.get_input_embeddings().num_embeddings
    if tokenizer.pad_token_id is None:
        problem = "its tokenizer has no padding token"
    elif len(ids) <= len(tokenizer.all_special_ids):
        problem = "its tokenizer knows no words"
    elif max(ids) >= rows:
        problem = f"its tokenizer counts tokens up to {max(ids)}, its weights up to {rows - 1}"
    else:
        try:
            model(**tokenizer("one text", "and another", return_tensors="pt"))
            return
        except Exception as error:  # noqa: BLE001 (torch's and the model's are many)
            problem = f"it cannot read its tokenizer's output ({_brief(error)})"
    raise StrataError(f"Model '{name}': {problem}; get the tokenizer files of this model.")


def _brief(error: Exception) -> str:
    """A library's error, as part of a sentence."""
    first = next(filter(None, map(str.strip, str(error).splitlines())), "no more is said")
    return f"{type(error).__name__}: {first.rstrip('.')[:200]}"
