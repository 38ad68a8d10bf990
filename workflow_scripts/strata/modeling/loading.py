"""Task models and tokenizers from a model folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    logging,
    set_seed,
)

from strata.data.task import Task
from strata.runtime.errors import StrataError
from strata.study.architectures import check_supported, read_config


def auto_class(
    task: Task,
) -> type[AutoModelForMultipleChoice | AutoModelForSequenceClassification]:
    """The Transformers auto class whose head fits the task."""
    if task.kind.compares_rows:
        return AutoModelForMultipleChoice
    return AutoModelForSequenceClassification


def load_model(folder: str | Path, task: Task, seed: int | None = None) -> PreTrainedModel:
    """A task model in float32: a run's checkpoint, or a pretrained encoder with a fresh head.

    Parameters
    ----------
    folder : model folder in the Hugging Face layout.
    task : says which head and how many outputs.
    seed : draws the weights that the folder does not hold; the same seed draws the same head.
    """
    check_supported(read_config(folder), str(folder))
    settings: dict[str, Any] = {}
    if task.kind.problem_type:
        settings = {"num_labels": task.num_labels, "problem_type": task.kind.problem_type}
    if task.labels:
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    if seed is not None:
        set_seed(seed)
    with quiet_loading():
        return auto_class(task).from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **settings,
        )


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
