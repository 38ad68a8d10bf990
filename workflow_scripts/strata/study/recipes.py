"""What a run, a head or a fetch depends on, merged from the config."""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from strata.runtime.errors import StrataError
from strata.study.architectures import ARCHITECTURES, layer_count, read_config
from strata.study.given import (
    checkpoint_entry,
    encoder_entry,
    has_pretrained,
    is_given,
    is_given_study,
)
from strata.study.layer_sets import Layers
from strata.study.metrics import METRICS
from strata.study.plain_heads import OWN, place_of
from strata.study.trained_cuts import WAYS, TrainedCut
from strata.study.variants import Variant

UNKNOWN_WARMUP = 0.1  # share of the steps, if the recipe counts epochs
DECLARED = {
    "architecture": "give the model_type of its config.json",
    "layers": "give the number of its layers",
}


def training_settings(
    config: Mapping[str, Any], model: str, task: str, variant: str = "full"
) -> dict[str, Any]:
    """The recipe of a run: the study's, overridden by the model's, the task's and the variants'."""
    parts = [
        config["training"],
        {"max_length": "auto"} if is_given(config, model) else {},
        config["models"][model].get("training", {}),
        config["tasks"][task].get("training", {}),
    ]
    # More specific patterns come later, whatever their order in the files.
    fitting = [p for p in config["variants"] if fnmatchcase(variant, p)]
    parts += [config["variants"][p] for p in sorted(fitting, key=lambda p: (_spelled(p), p))]
    settings: dict[str, Any] = {}
    for part in parts:
        # Whichever of the two is given last counts.
        settings |= {"epochs": None} | part if "max_steps" in part else part
    settings.pop("withhold", None)  # decides which examples there are
    return settings


def cut_training_settings(
    config: Mapping[str, Any], model: str, task: str, cut: TrainedCut
) -> dict[str, Any]:
    """The recipe of a model that is trained after its cut: a run's, for the steps in its name.

    The warm-up is the same share of the steps, unless a pattern of ``variants`` gives another. The
    last step's weights are kept, since choosing the best would use the examples that judge.
    """
    recipe = training_settings(config, model, task)
    own = training_settings(config, model, task, str(cut))
    settings = own | {"max_steps": cut.steps, "epochs": None, "checkpoint": "last"}
    if own["warmup_steps"] == recipe["warmup_steps"] >= 1:
        counted = recipe["epochs"] is None
        share = recipe["warmup_steps"] / recipe["max_steps"] if counted else UNKNOWN_WARMUP
        settings["warmup_steps"] = round(min(share, 1) * cut.steps)
    return settings


def cut_ways(config: Mapping[str, Any], model: str) -> list[str]:
    """The ways to train a model after its cut; some start from the pretrained encoder."""
    there = has_pretrained(config, model)
    return [name for name, way in WAYS.items() if way.from_finetuned or there]


def withheld_share(config: Mapping[str, Any]) -> float:
    """Share of the train examples that choose layers; 0 if the runs may have seen all of them."""
    return 0.0 if is_given_study(config) else config["training"]["withhold"]


def _spelled(pattern: str) -> int:
    return len(re.sub(r"[*?]", "", pattern))


def ablation_settings(config: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """What decides a run besides the recipe and the variant's string."""
    if variant.kind in ("reinit", "keep"):
        return {"scheme": config["reinit"]["scheme"]}
    return config["variability"][variant.kind] if variant.kind in ("lora", "adapter") else {}


def reinit_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The ``reinit`` section for a task; sizes beyond the task's size become "all"."""
    examples = config["tasks"][task].get("train_examples", float("inf"))

    def capped(size: int | str) -> int | str:
        return size if size == "all" or size < examples else "all"

    settings = dict(config["reinit"])
    for name, part in settings.items():
        if isinstance(part, dict) and "sizes" in part:
            settings[name] = part | {"sizes": list(dict.fromkeys(map(capped, part["sizes"])))}
        elif isinstance(part, dict):
            settings[name] = part | {"size": capped(part["size"])}
    return settings


def declared(config: Mapping[str, Any], model: str, key: str, read: Callable[..., Any]) -> Any:
    """What is known of a model before it is fetched, so that its runs can be planned.

    A local source's config.json comes first, then the entry, then what was downloaded before.

    Parameters
    ----------
    key : str
        The key of the entry.
    read : callable
        Reads the same fact from a config.json.

    Raises
    ------
    StrataError
        None of these says it.
    """
    entry = config["models"][model]
    places = _places(config, model)
    local = [folder for kind, folder in places if kind == "path"]
    if not local and key in entry:
        return entry[key]
    for folder in local or [folder for _, folder in places]:
        if (folder / "config.json").is_file():
            return read(read_config(folder))
    raise StrataError(
        f"models.{model} has no '{key}': {DECLARED[key]}, so that its runs can be planned before "
        "it is downloaded."
    )


def _places(config: Mapping[str, Any], model: str) -> list[tuple[str, Path]]:
    """Kind of source and folder of everything that is registered for a model."""
    places: list[tuple[str, Callable[[str, str | None], Path]]] = []
    if is_given(config, model):
        first = checkpoint_entry(config, model, 1)["source"]
        places.append((first, partial(given_folder, number=1)))
    if (encoder := encoder_entry(config, model)) is not None:
        places.append((encoder["source"], config_folder))
    found = []
    for source, folder in places:
        kind, _, place = source.partition(":")
        found.append((kind, folder(model, place if kind == "path" else None)))
    return found


def architecture_of(config: Mapping[str, Any], model: str) -> str:
    """A model's architecture, see ``declared``."""
    return declared(config, model, "architecture", lambda encoder: encoder["model_type"])


def encoder_facts(config: Mapping[str, Any], model: str) -> tuple[int, bool]:
    """Layers of a model, and whether they share weights, see ``declared``."""
    layers = declared(config, model, "layers", layer_count)
    return layers, ARCHITECTURES[architecture_of(config, model)].shares_layers


def layers_of(config: Mapping[str, Any], model: str) -> Layers | None:
    """What decides which layers a set may leave out; None if nothing is known of the model yet."""
    for _, folder in _places(config, model):
        if (folder / "config.json").is_file():
            encoder = read_config(folder)
            return Layers.of(encoder, layer_count(encoder))
    if not {"layers", "architecture"} <= config["models"][model].keys():
        return None
    count, _ = encoder_facts(config, model)
    return Layers.of({"model_type": architecture_of(config, model)}, count)


def config_folder(model: str, place: str | None) -> Path:
    """A local encoder's folder; if that is gone (or not local), the copy in data/."""
    return _here_or_copied(Path("data/models") / model, place)


def given_folder(model: str, place: str | None, number: int) -> Path:
    """The same for a given model's checkpoint."""
    return _here_or_copied(Path("data/given") / model / str(number), place)


def _here_or_copied(copied: Path, place: str | None) -> Path:
    if place is None or (copied.is_dir() and not Path(place).is_dir()):
        return copied
    return Path(place)


def reinit_models(config: Mapping[str, Any]) -> list[str]:
    """The models that are partly reinitialised: those listed, else all that do not share layers.

    Raises
    ------
    StrataError
        The layers of a listed model share their weights.
    """
    listed = config["reinit"]["models"]
    if listed is None:
        models = config["study"]["models"]
        return [model for model in models if not encoder_facts(config, model)[1]]
    for model in listed:
        layers, shared = encoder_facts(config, model)
        try:
            Variant("reinit", 1, layers).check(layers, shared)
        except ValueError as error:
            raise StrataError(f"reinit.models: '{model}': {error}") from error
    return listed


def head_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    """How a task's heads are tuned."""
    settings = _heads(config, task)
    del settings["style"]
    return settings


def head_style(config: Mapping[str, Any], task: str, model: str | None = None) -> str:
    """The style of a task's heads, including those of its runs.

    Parameters
    ----------
    model : str, optional
        A model that came fine-tuned has the style of its checkpoint.
    """
    if model is not None and is_given(config, model):
        folders = [folder for _, folder in _places(config, model)[:1]]
        configs = [read_config(each) for each in folders if (each / "config.json").is_file()]
        return str(configs[0].get("strata_head", OWN)) if configs else OWN
    return _heads(config, task)["style"]


def _heads(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    return {**config["heads"], **config["tasks"][task].get("heads", {})}


def exported_style(config: Mapping[str, Any], model: str, task: str) -> str:
    """The style of a pair's heads, if a smaller model with such a head can be exported.

    Raises
    ------
    StrataError
        No plain Transformers class can hold such a head.
    """
    style = head_style(config, task, model)
    if style != OWN:
        try:
            place_of(architecture_of(config, model), config["tasks"][task]["type"], style)
        except StrataError as error:
            raise StrataError(f"{model} on {task}: {error}") from error
    return style


def source_description(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a registry entry that decides what is fetched: neither title nor recipes."""
    others = ("title", "training", "heads", "architecture", "layers", "train_examples")
    return {k: v for k, v in entry.items() if k not in others}


def sampling(config: Mapping[str, Any]) -> dict[str, Any]:
    """How intervals are made."""
    settings = {key: config["summary"][key] for key in ("resamples", "confidence")}
    return settings | ({"given": True} if is_given_study(config) else {})


def titles(config: Mapping[str, Any]) -> dict[str, str]:
    """Display names of models, tasks and their metrics."""
    entries = {**config["models"], **config["tasks"]}
    # Not for all metrics: a new one would otherwise redraw every figure.
    used = {task["metric"] for task in config["tasks"].values()}
    metrics = {name: METRICS[name].title for name in sorted(used)}
    return metrics | {name: entry.get("title", name) for name, entry in entries.items()}
