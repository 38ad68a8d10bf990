"""Task models and tokenizers from a model folder."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel, logging, set_seed

from strata.data.task import Task
from strata.data.tokens import positions
from strata.modeling.head_styles import HEAD_STYLES, STYLE_KEY
from strata.modeling.trained_heads import HEADED, class_name
from strata.runtime.errors import StrataError
from strata.study.architectures import ARCHITECTURES, check_supported, read_config
from strata.study.plain_heads import OWN


def load_model(
    folder: str | Path, task: Task, seed: int | None = None, style: str | None = None
) -> PreTrainedModel:
    """Load a task model in float32: a run's checkpoint, or a pretrained encoder with a fresh head.

    A head in the encoder's folder is not used, whatever its task.

    Parameters
    ----------
    folder : path-like
        Model folder in the Hugging Face layout.
    task : Task
        Determines the kind of head and the number of outputs.
    seed : int, optional
        Draws the head and whatever else the folder does not contain; None for a run's checkpoint.
    style : str, optional
        The style of the head, a row of ``HEAD_STYLES``; by default that of the folder.

    Raises
    ------
    StrataError
        The folder contains no supported encoder, or a head of an unknown style.
    """
    config = read_config(folder)
    check_supported(config, str(folder))
    style = check_style(style or config.get(STYLE_KEY, OWN), str(folder))
    settings: dict[str, Any] = {}
    if task.kind.problem_type:
        settings = {"num_labels": task.num_labels, "problem_type": task.kind.problem_type}
    if task.labels:
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    if STYLE_KEY in config:  # the checkpoint of a run that now serves as a pretrained model
        settings[STYLE_KEY] = style
    if seed is not None:
        set_seed(seed)
    with quiet_loading():
        model, keys = HEAD_STYLES[style](task, config["model_type"]).from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            output_loading_info=True,
            **settings,
        )
    if seed is not None and _brought_head(model, keys["missing_keys"], class_name(folder)):
        set_seed(seed)
        _draw_head(model)
    return without_cache(model)


def _brought_head(model: PreTrainedModel, missing: Collection[str], name: str) -> bool:
    """Whether the head weights in a folder were made for some task.

    Weights that a class for masked tokens shares with a head (ModernBERT's dense layer) are part of
    pretraining.
    """
    beside = [n for n, _ in model.named_parameters() if not n.startswith(model.base_model_prefix)]
    if name.endswith(HEADED):
        return any(n not in missing for n in beside)
    return any(n not in missing for n in beside if n.startswith(("classifier.", "score.")))


def _draw_head(model: PreTrainedModel) -> None:
    """Give everything outside the base model new weights, so that no other task's head is kept."""
    for name, part in model.named_children():
        if name != model.base_model_prefix:
            for module in part.modules():
                draw_weights(model, module)


def draw_weights(model: PreTrainedModel, module: nn.Module) -> None:
    """Give a module new weights as its model's class draws them."""
    for parameter in module.parameters(recurse=False):
        # Transformers skips what it marked as loaded.
        parameter._is_hf_initialized = False
    with torch.no_grad():
        model._init_weights(module)


def check_style(style: str, what: str) -> str:
    """The style of a head; StrataError if there is no style with this name."""
    if style not in HEAD_STYLES:
        raise StrataError(
            f"{what} has a head of style '{style}' ({STYLE_KEY} in its config.json); known are "
            f"{', '.join(HEAD_STYLES)}."
        )
    return style


def load_encoder(folder: str | Path) -> PreTrainedModel:
    """The encoder of a model folder without any head, in float32.

    Raises
    ------
    StrataError
        The folder contains no supported encoder.
    """
    check_supported(read_config(folder), str(folder))
    with quiet_loading():
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    return without_cache(model)


def without_cache(model: PreTrainedModel) -> PreTrainedModel:
    """Switch off a model's cache of keys and values, in place."""
    if ARCHITECTURES[model.config.model_type].reads == "last":
        model.config.use_cache = False
    return model


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Suppress the report of missing weights: it would alarm users, and the head is meant to be
    new.
    """
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def check_length(model: PreTrainedModel, max_length: int | Literal["auto"]) -> None:
    """Refuse sequences longer than the model has positions, before the first forward pass.

    Parameters
    ----------
    max_length : int or "auto"
        Tokens per row; "auto" is never too long.

    Raises
    ------
    StrataError
        `max_length` exceeds the model's positions.
    """
    limit = positions(model.config)
    if max_length != "auto" and limit is not None and max_length > limit:
        raise StrataError(
            f"max_length is {max_length}, but the model ({model.config.model_type}) has {limit} "
            "positions; lower training.max_length."
        )
