"""The smaller model: the encoder cut to a depth, or to a layer set, as a plain checkpoint."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.analysis.words import points_of
from strata.data.task import Task
from strata.modeling.adopt import own_order, set_labels
from strata.modeling.head_styles import STYLE_KEY, auto_class, style_of
from strata.modeling.layer_sets import keep_layers
from strata.modeling.loading import load_model
from strata.runtime.errors import StrataError
from strata.study.architectures import read_config
from strata.study.layer_sets import AS_IS, HEAD, TRAINED, CutModel, Layers, LayerSet
from strata.study.plain_heads import OWN, place_of
from strata.study.run_records import RunMetrics
from strata.study.trained_cuts import TrainedCut

TRAINED_KEY = "strata_cut"  # in the config of an export that was trained after its cut: its name


@dataclass(frozen=True)
class Choice:
    """Which depth is exported, and the claim about it.

    Attributes
    ----------
    claim : str
        A sentence for the model card.
    """

    depth: int
    claim: str


@dataclass(frozen=True)
class SetChoice:
    """Which layers are exported, and the claim about them.

    Attributes
    ----------
    kept : LayerSet or None
        The layers; None if every run failed, so that all are kept.
    claim : str
        A sentence for the model card.
    """

    kept: LayerSet | None
    claim: str


@dataclass(frozen=True)
class TrainedChoice:
    """Which model trained after its cut is exported, and the claim about it.

    Attributes
    ----------
    cut : TrainedCut or None
        The model; None if nothing is cut and the full model is exported.
    seed : int
        The run's seed.
    """

    cut: TrainedCut | None
    seed: int
    claim: str


def choose(text: str, summary: pd.DataFrame, tolerance: float, confidence: float) -> Choice:
    """The depth that a target means: ``3``, ``-auto`` (certified) or ``-within`` (the tolerance).

    Both are for TUNED, whose head is exported, or for UNTUNED if no head was tuned. It is the full
    depth if no smaller one qualifies.

    Raises
    ------
    StrataError
        The model has no such depth.
    """
    row = summary[summary["configuration"] == exported(summary)].iloc[0]
    layers, points = int(row["layers"]), points_of(tolerance)
    runs = f"{row['n_examples']:,} examples, seeds {row['seeds']}"
    if not text.startswith("-"):
        return Choice(_within_model(int(text), layers), "The depth was requested by number.")
    column = {"-auto": "certified_depth", "-within": "within_depth"}[text]
    if pd.isna(row[column]):
        return Choice(layers, "Every run failed, so nothing was cut.")
    depth = int(row[column])
    if text == "-auto" and depth < layers:
        claim = (
            f"Depth {depth} is certified: it and every depth above it lose less than {points}, "
            f"with {confidence:.0%} confidence ({runs}); a claim about {row['claim']}."
        )
    elif text == "-auto":
        claim = (
            f"No smaller depth is certified to lose less than {points} with {confidence:.0%} "
            f"confidence ({runs}), so nothing was cut."
        )
    elif depth < layers:
        loss, low, high = (100 * row[f"crossfit_{part}"] for part in ("difference", "low", "high"))
        claim = (
            f"Depth {depth} is the smallest within {points} of the full model in the mean of these "
            f"runs ({runs}), chosen on the examples below; that describes these runs and certifies "
            "nothing. Where other examples chose the depth, the mean difference was "
            f"{loss:+.2f} points [{low:+.2f}, {high:+.2f}]."
        )
    else:
        claim = f"No smaller depth is within {points} of the full model ({runs}): nothing was cut."
    return Choice(depth, claim)


def exported(summary: pd.DataFrame) -> str:
    """The configuration of the exported heads: tuned, or untuned if none was tuned."""
    return "tuned" if (summary["configuration"] == "tuned").any() else "untuned"


def _within_model(depth: int, layers: int) -> int:
    if not 1 <= depth <= layers:
        raise StrataError(f"There is no depth {depth}: the model has depths 1 to {layers}.")
    return depth


def choose_seed(runs: Mapping[int, RunMetrics]) -> int:
    """The seed of the first run that did not fail; of the first run if all did."""
    return next((seed for seed, run in runs.items() if not run.failed), next(iter(runs)))


def choose_set(text: str, table: pd.DataFrame, answers: pd.DataFrame, seed: int) -> SetChoice:
    """The layer set that a target means: ``layers-auto`` (the smallest certified), or a named set.

    Parameters
    ----------
    text : str
        ``layers-auto``, ``layers-auto_head``, or a ``CutModel``.
    table, answers : DataFrame
        The tables of ``frontier.frontier_of_run`` and ``frontier_answers``.
    seed : int
        The seed of the run that is cut.
    """
    done = HEAD if text.endswith("_head") else AS_IS
    if text.removesuffix("_head") != "layers-auto":
        kept = CutModel.parse(text).kept
        own = table[(table["seed"] == seed) & (table["name"] == text)]
        if own.empty:
            place = "no method of the frontier proposed them."
        else:
            place = _place(own.sort_values("chosen", ascending=False).iloc[0])
        return SetChoice(kept, f"The layers were requested by number; {place}")
    row = answers[(answers["seed"] == seed) & (answers["done"] == done)].iloc[0]
    if pd.isna(row["layers"]):
        return SetChoice(None, "Every run failed, so nothing was cut.")
    kept = LayerSet.parse(row["layers"])
    if row["size"] == row["total_layers"]:
        return SetChoice(kept, _nothing_certified(row, "set of layers"))
    return SetChoice(
        kept,
        f"Layers {kept} are the smallest set that is certified: they lose less than "
        f"{_certainty(row)}. {_on_front(row)}",
    )


def choose_trained(
    text: str, table: pd.DataFrame, answers: pd.DataFrame, seed: int
) -> TrainedChoice:
    """The model trained after its cut that a target means, like ``choose_set``.

    Parameters
    ----------
    text : str
        ``layers-auto_trained`` or a ``TrainedCut``.
    seed : int
        The seed of the run that is exported if the target names a model.
    """
    if text != "layers-auto_trained":
        own = table[(table["seed"] == seed) & (table["name"] == text)]
        place = "it is not one of the study's." if own.empty else _place(own.iloc[0])
        claim = f"The model was requested by name; {place}"
        return TrainedChoice(TrainedCut.parse(text), seed, claim)
    own = answers[answers["done"] == TRAINED]
    if not own["exported"].any():
        return TrainedChoice(None, int(own["seed"].iloc[0]), "Every run failed: nothing was cut.")
    row = own[own["exported"]].iloc[0]
    if row["size"] == row["total_layers"]:
        return TrainedChoice(None, int(row["seed"]), _nothing_certified(row, "model"))
    claim = (
        f"{row['name']} is the smallest model trained after its cut that is certified: it loses "
        f"less than {_certainty(row)}. {_on_front(row)}"
    )
    return TrainedChoice(TrainedCut.parse(row["name"]), int(row["seed"]), claim)


def _certainty(row: pd.Series) -> str:
    """The tolerance, and how certain an answer is, in words."""
    return (
        f"{points_of(row['tolerance'])}, with {row['confidence']:.0%} confidence "
        f"({row['n_examples']:,} examples, the run of seed {row['seed']}; chosen on "
        f"{row['n_choose']:,} other examples). This is a claim about this one model"
    )


def _nothing_certified(row: pd.Series, what: str) -> str:
    return (
        f"No smaller {what} is certified to lose less than {points_of(row['tolerance'])} with "
        f"{row['confidence']:.0%} confidence ({row['n_examples']:,} examples, the run of seed "
        f"{row['seed']}), so nothing was cut."
    )


def _place(row: pd.Series) -> str:
    """A set's place on the frontier, in words."""
    loss, low, high = (100 * row[f"difference{part}"] for part in ("", "_low", "_high"))
    verdict = (
        row["verdict"] if isinstance(row["verdict"], str) and row["verdict"] else "nothing cut"
    )
    return (
        f"on the frontier: {loss:+.2f} points [{low:+.2f}, {high:+.2f}] from the full model "
        f"({verdict}). {_on_front(row)}"
    )


def _on_front(row: pd.Series) -> str:
    """A set's costs, as the frontier measured them, in words."""
    return (
        f"Measured against the full model: {row['latency_ratio']:.2f} times as fast on one text "
        f"({row['latency_ms']:.1f} ms, {row['device']}, {row['threads']:.0f} threads), "
        f"{row['speed_ratio']:.2f} times in batches of 32, {row['file_mb']:.1f} MB."
    )


def cut_model(
    checkpoint: str | Path,
    task: Task,
    kept: LayerSet,
    head: Mapping[str, Tensor] | None = None,
) -> PreTrainedModel:
    """A run's model without all other layers.

    The labels of a model that came fine-tuned get their original order and names.

    Parameters
    ----------
    head : mapping of str to Tensor, optional
        Weights of a head that was tuned for these layers; None for the run's own.

    Returns
    -------
    PreTrainedModel
        A model of a plain Transformers class.

    Raises
    ------
    StrataError
        There is no plain class for such a set, or for a head of the run's style.
    ValueError
        The head belongs to another model.
    """
    model = load_model(checkpoint, task)
    try:
        Layers.of(read_config(checkpoint), model.config.num_hidden_layers).check(kept)
    except ValueError as error:
        raise StrataError(str(error)) from error
    keep_layers(model, kept.layers)
    # A model that came fine-tuned may be such an export itself.
    vars(model.config).pop(TRAINED_KEY, None)
    if head is not None:
        _, unexpected = model.load_state_dict(dict(head), strict=False)
        if unexpected:
            raise ValueError(
                f"The head has {', '.join(unexpected)}, which the model does not have."
            )
    if order := own_order(checkpoint):
        places = [order.outputs.index(output) for output in range(len(order.names))]
        set_labels(model, places, order.names)
    return as_plain(model, task)


def as_plain(model: PreTrainedModel, task: Task) -> PreTrainedModel:
    """The same model, in eval mode, as one of the plain Transformers class for the task.

    Raises
    ------
    StrataError
        There is no plain class for a head of the model's style.
    """
    if style_of(model) == OWN:
        return model
    place = place_of(model.config.model_type, task.type, style_of(model))
    config = deepcopy(model.config)
    delattr(config, STYLE_KEY)
    for name, value in place.settings.items():
        setattr(config, name, value)
    plain = auto_class(task).from_config(config, dtype=model.dtype, trust_remote_code=False)
    places = {"classifier.dense": place.dense, "classifier.out_proj": place.out_proj}
    weights = {}
    for name, tensor in model.state_dict().items():
        layer, _, kind = name.rpartition(".")
        where = places.get(layer, layer).format(encoder=model.base_model_prefix)
        weights[f"{where}.{kind}"] = tensor
    plain.load_state_dict(weights)  # all of them, and no others
    return plain.eval()


def write_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> None:
    """Write the model folder: config, safetensors weights, tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
