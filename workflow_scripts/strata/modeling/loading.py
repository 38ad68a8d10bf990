"""Task models and tokenizers from a model folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, PreTrainedModel, logging, set_seed

from strata.data.task import Task
from strata.modeling.head_styles import HEAD_STYLES, STYLE_KEY
from strata.runtime.errors import StrataError
from strata.study.architectures import check_supported, read_config
from strata.study.plain_heads import OWN


def load_model(
    folder: str | Path, task: Task, seed: int | None = None, style: str | None = None
) -> PreTrainedModel:
    """A task model in float32: a run's checkpoint, or a pretrained encoder with a fresh head.

    Parameters
    ----------
    folder : model folder in the Hugging Face layout.
    task : says which head and how many outputs.
    seed : draws the weights that the folder does not hold; the same seed draws the same head.
    style : of the head, a row of ``HEAD_STYLES``; by default that of the folder.

    Raises
    ------
    StrataError : the folder holds no encoder that is supported, or a head of an unknown style.
    """
    config = read_config(folder)
    check_supported(config, str(folder))
    style = style or config.get(STYLE_KEY, OWN)
    if style not in HEAD_STYLES:
        raise StrataError(
            f"{folder} has a head of style '{style}' ({STYLE_KEY} in its config.json); known are "
            f"{', '.join(HEAD_STYLES)}."
        )
    settings: dict[str, Any] = {}
    if task.kind.problem_type:
        settings = {"num_labels": task.num_labels, "problem_type": task.kind.problem_type}
    if task.labels:
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    if STYLE_KEY in config:  # of a run that now serves as a pretrained model
        settings[STYLE_KEY] = style
    if seed is not None:
        set_seed(seed)
    with quiet_loading():
        return HEAD_STYLES[style](task, config["model_type"]).from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **settings,
        )


def load_encoder(folder: str | Path) -> PreTrainedModel:
    """The encoder of a model folder without any head, in float32.

    Raises
    ------
    StrataError : the folder holds no encoder that is supported.
    """
    check_supported(read_config(folder), str(folder))
    with quiet_loading():
        return AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No report of missing weights, which would alarm users: a fresh head is wanted."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def check_length(model: PreTrainedModel, max_length: int) -> None:
    """Refuse sequences longer than the model's positions, before the first forward pass.

    Parameters
    ----------
    max_length : tokens a row.

    Raises
    ------
    StrataError : the model has fewer positions.
    """
    config = model.config
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or (
        config.model_type == "deberta-v2" and not getattr(config, "position_biased_input", True)
    ):
        return
    if config.model_type in ("roberta", "xlm-roberta", "mpnet"):
        limit -= config.pad_token_id + 1
    if max_length > limit:
        raise StrataError(
            f"max_length is {max_length}, but the model ({config.model_type}) has {limit} "
            "positions; lower training.max_length."
        )
