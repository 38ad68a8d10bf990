"""Encoders layer by layer, and heads, of every supported architecture by one mechanism.

The layers are called as the model's own encoder calls them: `Encoder.start` runs the model's
forward up to its first layer, keeps the arguments passed there (masks, position biases), and
`Encoder.run` calls layers with them. A head is the whole model with its embeddings and layers
taken out: what goes in is what the last layer would have put out.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    logging,
    set_seed,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from strata.architectures import SUPPORTED, check_supported, read_config, shares_layers
from strata.jobs import StrataError
from strata.tasks import Task

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "regression": "regression",
}


def auto_class(task_type: str) -> type:
    """The Transformers auto class whose head fits the task."""
    if task_type == "multiple-choice":
        return AutoModelForMultipleChoice
    return AutoModelForSequenceClassification


def load_model(folder: str | Path, task: Task, seed: int | None = None) -> PreTrainedModel:
    """A task model in float32: a checkpoint of ours, or a pretrained encoder with a fresh head.

    Parameters
    ----------
    folder : model folder in the Hugging Face layout.
    task : says which head and how many outputs.
    seed : draws the weights that the folder does not hold; the same seed draws the same head.
    """
    check_supported(read_config(folder), str(folder))
    settings = {}
    if task.type in PROBLEM_TYPES:
        settings = {"num_labels": task.num_labels, "problem_type": PROBLEM_TYPES[task.type]}
    if task.type == "classification":
        settings["id2label"] = dict(enumerate(task.labels))
        settings["label2id"] = {label: i for i, label in enumerate(task.labels)}
    if seed is not None:
        set_seed(seed)
    with _quiet():
        return auto_class(task.type).from_pretrained(
            folder,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **settings,
        )


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def check_folder(folder: str | Path, name: str) -> None:
    """Refuse a model folder whose config, weights and tokenizer are not of one model.

    Heads are drawn anew, so any or none may be there; and masked-language-model checkpoints lack a
    pooler. All else that the weights lack would silently be random, and layers that they hold and
    the config does not have would silently be left out.

    Raises
    ------
    StrataError : with the name `name`.
    """
    try:
        with _quiet():
            model, found = AutoModel.from_pretrained(
                folder,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
            )
    except Exception as error:  # whatever the library makes of odd files
        raise StrataError(
            f"Model '{name}': its config.json and weights cannot be loaded ({_brief(error)}); get "
            "the model's files anew."
        ) from error
    layers = "{}.{}.".format(*SUPPORTED[model.config.model_type])
    wrong = {
        "lack": [key for key in found["missing_keys"] if not key.startswith("pooler.")],
        "have another shape of": [key for key, *_ in found["mismatched_keys"]],
        "also hold": [k for k in found["unexpected_keys"] if re.search(rf"\b{layers}\d", k)],
    }
    for fault, keys in wrong.items():
        if keys:
            raise StrataError(
                f"Model '{name}': its weights {fault} {min(keys)}"
                + (f" and {len(keys) - 1} others" if len(keys) > 1 else "")
                + f", which does not fit its config.json ({model.config.num_hidden_layers} layers "
                f"of size {model.config.hidden_size}); get both from one place."
            )
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise StrataError(
            f"Model '{name}': its weights hold values that are not finite; get them anew."
        )
    _check_tokenizer(folder, name, model.eval())


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
            problem = f"it cannot read what its tokenizer puts out ({_brief(error)})"
    raise StrataError(f"Model '{name}': {problem}; get the tokenizer files of this model.")


def _brief(error: Exception) -> str:
    """An error of a library as part of a sentence."""
    first = next(filter(None, map(str.strip, str(error).splitlines())), "no more is said")
    return f"{type(error).__name__}: {first.rstrip('.')[:200]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """No report of missing weights, which would alarm: a fresh head is what we ask for."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def check_length(model: PreTrainedModel, max_length: int) -> None:
    """Refuse sequences longer than the model's positions, before the first forward."""
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


@dataclass(frozen=True)
class Start:
    """A batch at the encoder's door: its embeddings, and how layers are to be called on it."""

    hidden: Tensor
    arguments: tuple
    keywords: dict[str, Any]


class _Stopped(Exception):
    pass


class Encoder:
    """The layers of a Transformers encoder, addressable one by one.

    Attributes
    ----------
    model : the task model, in eval mode.
    layers : L modules, the first at index 0; ALBERT's one group stands there L times.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model.eval()
        self.layers = encoder_layers(model)

    @property
    def depth(self) -> int:
        """L, the number of layers."""
        return len(self.layers)

    def start(self, inputs: dict[str, Tensor]) -> Start:
        """Run the model up to its first layer.

        Parameters
        ----------
        inputs : tokenizer output, each tensor [batch, tokens].
        """
        kept: list[Start] = []

        def stop(_, arguments, keywords):
            hidden, *others = arguments
            kept.append(Start(hidden, tuple(others), keywords))
            raise _Stopped

        handle = self.layers[0].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model.base_model(**inputs)
        except _Stopped:
            pass
        finally:
            handle.remove()
        return kept[0]

    def run(self, hidden: Tensor, start: Start, first: int, last: int) -> Tensor:
        """Apply layers `first`..`last` (from 1, inclusive; none if last < first).

        Parameters
        ----------
        hidden : [batch, tokens, hidden], the state at depth `first` - 1 (or any other).
        start : of a batch with the same tokens.
        """
        for layer in self.layers[first - 1 : last]:
            out = layer(hidden, *start.arguments, **start.keywords)
            hidden = out[0] if isinstance(out, tuple) else out
        return hidden

    def states(self, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
        """The hidden states at depths 0..L, each [batch, tokens, hidden], as they are made."""
        start = self.start(inputs)
        hidden = start.hidden
        yield hidden
        for k in range(1, self.depth + 1):
            hidden = self.run(hidden, start, k, k)
            yield hidden


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers in order, one entry a depth."""
    runner, holder = SUPPORTED[model.config.model_type]
    held = getattr(getattr(model.base_model, runner), holder)
    if shares_layers(model.config.model_type):
        return [held[0]] * model.config.num_hidden_layers
    return list(held)


def truncate(model: PreTrainedModel, depth: int) -> PreTrainedModel:
    """Cut the model to its first `depth` layers, in place; its config follows."""
    runner, holder = SUPPORTED[model.config.model_type]
    module = getattr(model.base_model, runner)
    if not shares_layers(model.config.model_type):
        setattr(module, holder, nn.ModuleList(list(getattr(module, holder))[:depth]))
    model.config.num_hidden_layers = depth
    return model


class _NoEmbeddings(nn.Module):
    def forward(self, *args, inputs_embeds=None, **kwargs):
        # Passed by name or, in DistilBERT, by place: the one argument that holds vectors.
        if inputs_embeds is not None:
            return inputs_embeds
        return next(a for a in args if isinstance(a, Tensor) and a.is_floating_point())


class _NoLayers(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        # The richest of the encoders' output types: each model finds the fields that it reads.
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states, hidden_states=(hidden_states,)
        )


class Head(nn.Module):
    """Everything after the last layer, pooler included, as a function of the head input.

    It is the model itself with embeddings and layers taken out, so its own forward decides what
    a head does; its parameters keep the names they have in the checkpoint.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        runner, _ = SUPPORTED[model.config.model_type]
        base = _shallow(model.base_model)
        base.embeddings = _NoEmbeddings()
        if hasattr(base, "embeddings_project"):  # ELECTRA with narrower embeddings
            base.embeddings_project = nn.Identity()
        setattr(base, runner, _NoLayers())
        self.model = _shallow(model)
        setattr(self.model, model.base_model_prefix, base)
        self.one_of_many = type(model).__name__.endswith("ForMultipleChoice")

    def forward(self, inputs: Tensor) -> Tensor:
        """[rows, hidden] -> [rows, outputs]; one output a row for multiple choice."""
        tokens = inputs[:, None, :]
        if self.one_of_many:
            return self.model(inputs_embeds=tokens[:, None]).logits
        return self.model(inputs_embeds=tokens).logits


def load_head(folder: str | Path, task: Task, seed: int | None = None) -> Head:
    """The head of a checkpoint (or, with a seed, a fresh one), in eval mode."""
    return Head(load_model(folder, task, seed)).eval()


def head_names(head: Head) -> dict[str, str]:
    """Parameter names in `head` -> in the task model's state dict."""
    return {name: name.removeprefix("model.") for name, _ in head.named_parameters()}


def _shallow(module: nn.Module) -> nn.Module:
    """A copy that shares submodules and parameters, but whose list of submodules is its own."""
    twin = copy(module)
    twin._modules = dict(module._modules)
    return twin


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
