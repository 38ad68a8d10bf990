"""What a run, a head or a fetch depends on, merged from the config."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from strata.runtime.errors import StrataError
from strata.study.architectures import layer_count, read_config, shares_layers
from strata.study.metrics import METRIC_TITLES
from strata.study.variants import Variant


def training_settings(
    config: Mapping[str, Any], model: str, task: str, variant: str = "full"
) -> dict[str, Any]:
    """The recipe of a run: the study's, then the model's, the task's and the variants' own."""
    own = [
        config["training"],
        config["models"][model].get("training", {}),
        config["tasks"][task].get("training", {}),
    ]
    # The more a pattern spells out, the later it comes; files may give them in any order.
    fitting = [p for p in config["variants"] if fnmatchcase(variant, p)]
    own += [config["variants"][p] for p in sorted(fitting, key=lambda p: (_spelled(p), p))]
    settings: dict[str, Any] = {}
    for part in own:
        # Whichever of the two is said last counts.
        settings |= {"epochs": None} | part if "max_steps" in part else part
    return settings


def _spelled(pattern: str) -> int:
    return len(re.sub(r"[*?]", "", pattern))


def ablation_settings(config: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """What else than the recipe and the variant's string decides a run."""
    if variant.kind in ("reinit", "keep"):
        return {"scheme": config["reinit"]["scheme"]}
    return config["variability"]["lora"] if variant.kind == "lora" else {}


def reinit_settings(config: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The ``reinit`` section for a task: sizes that it does not exceed are all of its examples."""
    examples = config["tasks"][task].get("train_examples", float("inf"))

    def capped(size: int | str) -> int | str:
        return size if size == "all" or size < examples else "all"

    settings = dict(config["reinit"])
    for part, own in settings.items():
        if isinstance(own, dict) and "sizes" in own:
            settings[part] = own | {"sizes": list(dict.fromkeys(map(capped, own["sizes"])))}
        elif isinstance(own, dict):
            settings[part] = own | {"size": capped(own["size"])}
    return settings


def encoder_facts(config: Mapping[str, Any], model: str) -> tuple[int, bool]:
    """Layers of a model, and whether they share weights, before it need be there.

    Of a local source from its config.json, else from the model's entry, else from what was
    downloaded before.

    Raises
    ------
    StrataError : nothing says how many layers it has.
    """
    entry = config["models"][model]
    kind, _, place = entry["source"].partition(":")
    if kind != "path" and "layers" in entry:
        return entry["layers"], entry["shares_layers"]
    folder = config_folder(model, place if kind == "path" else None)
    if (folder / "config.json").is_file():
        found = read_config(folder)
        return layer_count(found), shares_layers(found["model_type"])
    raise StrataError(
        f"models.{model} has no 'layers': give the number of its layers, so that the runs it "
        "needs can be planned before it is downloaded."
    )


def config_folder(model: str, place: str | None) -> Path:
    """A local source's folder; where that is gone (or not local), the copy in data/."""
    copied = Path("data/models") / model
    here = place is not None and (Path(place).is_dir() or not copied.is_dir())
    return Path(place) if here else copied


def reinit_models(config: Mapping[str, Any]) -> list[str]:
    """The models that are partly reinitialised: those listed, else all whose layers are their own.

    Raises
    ------
    StrataError : a model is listed whose layers share their weights.
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
    return {**config["heads"], **config["tasks"][task].get("heads", {})}


def source_description(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of a registry entry decides the fetched data: not its title, not its recipes."""
    others = ("title", "training", "heads", "layers", "shares_layers", "train_examples")
    return {k: v for k, v in entry.items() if k not in others}


def sampling(config: Mapping[str, Any]) -> dict[str, Any]:
    """How intervals are made."""
    return {key: config["summary"][key] for key in ("resamples", "confidence")}


def titles(config: Mapping[str, Any]) -> dict[str, str]:
    """Display names of models, tasks and metrics."""
    entries = {**config["models"], **config["tasks"]}
    return METRIC_TITLES | {name: entry.get("title", name) for name, entry in entries.items()}
