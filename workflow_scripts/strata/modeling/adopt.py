"""Models that are already fine-tuned: loaded with their own heads, or refused with a reason."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from strata.data.task import Task
from strata.evaluation.label_order import (
    LabelOrder,
    better_order,
    match_labels,
    suggested_map,
)
from strata.modeling.head_styles import HEAD_STYLES, STYLE_KEY
from strata.modeling.loading import check_style, quiet_loading, without_cache
from strata.modeling.trained_heads import class_name
from strata.runtime.errors import StrataError
from strata.study.plain_heads import OWN
from strata.study.settings import Sampling

OF_ENCODERS = ("ForMaskedLM", "ForPreTraining")  # classes of models before fine-tuning
SEVERAL = "multi_label_classification"
LABELS = "labels.json"  # in an adopted run's folder: the labels of the checkpoint


@dataclass(frozen=True)
class Adopted:
    """A checkpoint whose outputs are in the task's order.

    Attributes
    ----------
    order : LabelOrder or None
        The order that the checkpoint had; None if outputs have no names.
    """

    model: PreTrainedModel
    order: LabelOrder | None

    @property
    def layers(self) -> int:
        """Number of layers L."""
        return self.model.config.num_hidden_layers


def load_given(
    folder: str | Path, task: Task, what: str, label_map: Mapping[str, str] | None = None
) -> Adopted:
    """Load a fine-tuned model in float32, with its head's outputs in the order of the task's
    labels.

    Parameters
    ----------
    folder : path-like
        The folder of the fetched checkpoint.
    what : str
        Words for the checkpoint, for messages.
    label_map : mapping of str to str, optional
        The task's label for each of the checkpoint's label names.

    Raises
    ------
    StrataError
        The checkpoint has no head, or one for another type of task, or other labels.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    _check_class(class_name(folder), task, what)
    model = _with_own_head(folder, task, config, what)
    _check_outputs(config, task, what)
    order = None
    if task.labels:
        names = _label_names(config, what)
        order = match_labels(names, task.labels, label_map, what)
        if order.by == "position":
            pairs = zip(names, task.labels, strict=True)
            words = ", ".join(f"{name} is {label}" for name, label in pairs)
            print(f"{what}: its labels are only numbered: {words}", flush=True)
        set_labels(model, order.outputs, task.labels)
    return Adopted(without_cache(model.eval()), order)


def _label_names(config: PretrainedConfig, what: str) -> list[str]:
    if sorted(config.id2label) != list(range(config.num_labels)):
        raise StrataError(
            f"{what}: the id2label of its config.json numbers its labels "
            f"{', '.join(map(str, sorted(config.id2label)))}; labels count from 0."
        )
    return [str(config.id2label[index]) for index in range(config.num_labels)]


def _check_class(name: str, task: Task, what: str) -> None:
    """Refuse a head for another type of task, judged by the class that config.json states."""
    wanted = "ForMultipleChoice" if task.kind.compares_rows else "ForSequenceClassification"
    if "For" in name and not name.endswith((wanted, *OF_ENCODERS)):
        raise StrataError(
            f"{what} is a {name}, but a task of type {task.type} needs a model {wanted}: it is not "
            "fine-tuned for such a task."
        )


def _check_outputs(config: PretrainedConfig, task: Task, what: str) -> None:
    """Refuse a head whose number of outputs differs from the task's, or with other outputs."""
    if task.kind.compares_rows:
        return
    if config.problem_type == SEVERAL:
        raise StrataError(
            f"{what} gives each example any number of labels (problem_type "
            "multi_label_classification); a task here has one label per example."
        )
    count, wanted_count = config.num_labels, task.num_labels
    if count == 1 and not task.kind.continuous:
        raise StrataError(
            f"{what} has a single output, for a regression or a yes-or-no question, but the task "
            f"has {wanted_count} labels: give a model with one output per label."
        )
    if count != wanted_count:
        has = f"the labels {', '.join(map(str, config.id2label.values()))}"
        needs = (
            "one output" if task.kind.continuous else f"the labels {', '.join(task.labels or [])}"
        )
        raise StrataError(f"{what} has {count} outputs ({has}), but the task has {needs}.")


def _with_own_head(
    folder: str | Path, task: Task, config: PretrainedConfig, what: str
) -> PreTrainedModel:
    settings: dict[str, str] = {}
    if task.kind.problem_type and config.problem_type != SEVERAL:
        settings = {"problem_type": task.kind.problem_type}
    style = check_style(getattr(config, STYLE_KEY, OWN), what)
    with quiet_loading():
        model, keys = HEAD_STYLES[style](task, config.model_type).from_pretrained(
            folder,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **settings,
        )
    # The head's own weight first, since it tells most.
    beside = f"{model.base_model_prefix}."
    if missing := sorted(
        keys["missing_keys"], key=lambda key: (key.startswith(beside), key.endswith("bias"), key)
    ):
        raise StrataError(
            f"{what}: its {missing[0]} is missing, so this is an encoder, not a fine-tuned model; "
            "to fine-tune it, register it with 'source' instead of 'checkpoints'."
        )
    if reshaped := sorted(key for key, *_ in keys["mismatched_keys"]):
        raise StrataError(
            f"{what}: its {reshaped[0]} has a different shape from what its config.json says; get "
            "both from the same place."
        )
    return model


def fit_notes(
    adopted: Adopted, predictions: pd.DataFrame, task: Task, sampling: Sampling, what: str
) -> list[str]:
    """Signs in the eval predictions that the labels' order, or a regression's sign, is wrong.

    Parameters
    ----------
    predictions : DataFrame
        Predictions on all eval examples, with columns label and prediction.

    Raises
    ------
    StrataError
        The labels were matched by position, but another order fits better.
    """
    labels, answers = (predictions[name].to_numpy() for name in ("label", "prediction"))
    if task.kind.continuous:
        if np.std(answers) and np.corrcoef(labels, answers)[0, 1] < 0:
            return [f"{what}: its values fall where the task's rise; is the scale the other way?"]
        return []
    if adopted.order is None or task.labels is None:
        return []
    better = better_order(labels, answers, len(task.labels), sampling)
    if better is None:
        return []
    suggested = suggested_map(adopted.order, task.labels, better)
    if adopted.order.by == "position":
        raise StrataError(
            f"{what} names its labels {', '.join(adopted.order.names)}, and in the order of the "
            f"task's labels they do not fit: another order gains {better.words()}. Put {suggested} "
            "into the model's entry, or the order that you know to be right."
        )
    note = (
        f"{what}: with its labels matched by {adopted.order.by}, another order would gain "
        f"{better.words()}: {suggested}."
    )
    return [note]


def output_layer(model: PreTrainedModel) -> nn.Linear:
    """The linear map that outputs a task model's logits."""
    last = model.score if hasattr(model, "score") else model.classifier
    return getattr(last, "out_proj", last)


def set_labels(model: PreTrainedModel, outputs: list[int], labels: list[str]) -> None:
    """Reorder the outputs of a classifier in place, and its config with them.

    Parameters
    ----------
    outputs : list of int
        For each new position, the number of the output that goes there.
    labels : list of str
        The labels' names, in the new order.
    """
    layer = output_layer(model)
    with torch.no_grad():
        layer.weight.copy_(layer.weight[outputs].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[outputs].clone())
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}


def write_adopted(
    adopted: Adopted, tokenizer: PreTrainedTokenizerBase, source: str | Path, folder: str | Path
) -> None:
    """Write a run's checkpoint: model, tokenizer, origin, and its original labels."""
    adopted.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    about = (Path(source) / "source.json").read_text(encoding="utf-8")
    (Path(folder) / "source.json").write_text(about, encoding="utf-8")
    order = None if adopted.order is None else asdict(adopted.order)
    (Path(folder) / LABELS).write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")


def own_order(checkpoint: str | Path) -> LabelOrder | None:
    """How an adopted checkpoint's outputs were ordered; None for runs that were trained here."""
    path = Path(checkpoint) / LABELS
    if not path.is_file():
        return None
    order = json.loads(path.read_text(encoding="utf-8"))
    return None if order is None else LabelOrder(**order)


def is_adopted(checkpoint: str | Path) -> bool:
    """Whether a run's checkpoint came already fine-tuned."""
    return (Path(checkpoint) / LABELS).is_file()
