"""The config: checked against its schema and against itself, defaults filled in, merged by run."""

import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from strata.architectures import (
    check_supported,
    layer_count,
    read_config,
    shares_layers,
)
from strata.jobs import StrataError
from strata.variants import Variant

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
DEEPEST = 20  # far more than any study needs; YAML can hold a list that is in itself
METRIC_TITLES = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "accuracy-f1": "(Accuracy + F1) / 2",
    "mcc": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "pearson-spearman": "(Pearson + Spearman) / 2",
}
METRICS_OF_TYPE = {
    "classification": ("accuracy", "f1", "accuracy-f1", "mcc"),
    "regression": ("pearson", "spearman", "pearson-spearman"),
    "multiple-choice": ("accuracy",),
}


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config with defaults filled in.

    Raises
    ------
    StrataError : every problem found, one sentence each with key, value and what is allowed.
    """
    schema = _schema()
    problems = list(_beyond_json(config)) or [
        _sentence(error)
        for top in Draft202012Validator(schema).iter_errors(config)
        for error in _innermost(top)
    ]
    problems = list(dict.fromkeys(problems))
    if not problems:
        config = deepcopy(config)
        _fill(config, schema, schema)
        problems = list(_inconsistencies(config))
    if problems:
        lines = (f"  - {_printable(problem)}" for problem in problems)
        raise StrataError("\n".join(("the config is not valid:", *lines)))
    return config


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
    folder = _folder_of(model, place if kind == "path" else None)
    if (folder / "config.json").is_file():
        found = read_config(folder)
        return layer_count(found), shares_layers(found["model_type"])
    raise StrataError(
        f"models.{model} has no 'layers': give the number of its layers, so that the runs it "
        "needs can be planned before it is downloaded."
    )


def _folder_of(model: str, place: str | None) -> Path:
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


@cache
def _schema() -> dict[str, Any]:
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def _beyond_json(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """What YAML can hold and JSON cannot, so that a schema says nothing about it, or worse."""
    key = ".".join(path) or "the config"
    if len(path) > DEEPEST:
        yield f"{'.'.join(path[:3])}: is nested more than {DEEPEST} deep; no key is."
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(name, str):
                yield from _beyond_json(inner, (*path, name))
            else:
                yield (
                    f"{key}: the key {name!r} is not text ({type(name).__name__}); put it in "
                    "quotes."
                )
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _beyond_json(inner, (*path, str(index)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: {value!r} is not allowed; allowed is a finite number."
    elif isinstance(value, str) and re.search(r"[\ud800-\udfff]", value):
        yield f"{key}: {value!r} is not allowed; allowed is text of whole characters."


def _printable(text: str) -> str:
    """A problem stays on its line, whatever the keys in it hold."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _innermost(error: ValidationError) -> Iterator[ValidationError]:
    """Of a failed alternative, the one that fits best; else the error itself."""
    if error.context and error.validator in ("oneOf", "anyOf"):
        yield min(error.context, key=lambda e: (-len(e.path), e.validator == "type"))
    else:
        yield error


def _sentence(error: ValidationError) -> str:
    key = ".".join(map(str, error.absolute_path)) or "the config"
    value, limit, rule = error.instance, error.validator_value, error.validator
    if rule == "additionalProperties":
        allowed = [*error.schema.get("properties", {})]
        unknown = [k for k in value if k not in allowed and not _matches(k, error.schema)]
        names = ", ".join(map(repr, unknown))
        if "patternProperties" in error.schema:
            return f"{key}: {names} is not a name: use lower-case letters, digits and '-'."
        return f"{key}: there is no key {names}; allowed are {', '.join(allowed)}."
    if rule == "required":
        missing = [k for k in limit if k not in value]
        return f"{key}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
    allowed = {
        "enum": lambda: f"one of {', '.join(map(str, limit))}",
        "type": lambda: _types(value, limit),
        "minimum": lambda: f"at least {limit}",
        "maximum": lambda: f"at most {limit}",
        "exclusiveMinimum": lambda: f"above {limit}",
        "exclusiveMaximum": lambda: f"below {limit}",
        "pattern": lambda: f"text that matches {limit}",
        "minItems": lambda: f"{limit} or more entries",
        "maxItems": lambda: f"{limit} entries at most",
        "uniqueItems": lambda: "entries that differ",
        "contains": lambda: f"a list that contains {limit['const']}",
    }.get(rule, lambda: f"{rule} {limit}")
    return f"{key}: {value!r} is not allowed; allowed is {allowed()}."


def _types(value: Any, limit: str | list[str]) -> str:
    # YAML reads yes, 2020 and 2020-01-01 as something else than text.
    quotable = limit == "string" and not isinstance(value, dict | list | None)
    allowed = limit if isinstance(limit, str) else " or ".join(limit)
    return f"{allowed}, so put it in quotes" if quotable else allowed


def _matches(key: str, schema: Mapping[str, Any]) -> bool:
    return any(re.search(pattern, key) for pattern in schema.get("patternProperties", {}))


def _fill(value: Any, part: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of `part` (of the schema), nested ones too."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        _fill(value, schema["$defs"][name], schema)
    if not isinstance(value, dict):
        return
    for key, inner in part.get("properties", {}).items():
        if key not in value and "default" in inner:
            value[key] = deepcopy(inner["default"])
        if key in value:
            _fill(value[key], inner, schema)
    for inner in part.get("patternProperties", {}).values():
        for entry in value.values():
            _fill(entry, inner, schema)


def _inconsistencies(config: Mapping[str, Any]) -> Iterator[str]:
    study = config["study"]
    if ".." in config["outdir"].split("/"):
        yield f"outdir: '{config['outdir']}' is not a folder below this one; leave '..' out."
    for kind in ("models", "tasks"):
        for name in study[kind]:
            if name not in config[kind]:
                yield (
                    f"study.{kind}: '{name}' is not registered under '{kind}'; registered are "
                    f"{', '.join(config[kind])}."
                )
    for name in study["skipping"]:
        if name not in study["models"]:
            yield (
                f"study.skipping: '{name}' is not among study.models "
                f"({', '.join(study['models'])})."
            )
    shown = study.setdefault("figure1", {"model": study["models"][0], "task": study["tasks"][0]})
    for kind, name in shown.items():
        if name not in study[f"{kind}s"]:
            yield f"study.figure1.{kind}: '{name}' is not among study.{kind}s."
    for pattern, own in config["variants"].items():
        if "max_length" in own:
            yield (
                f"variants.{pattern}.max_length: all variants read the same tokens; set "
                "training.max_length, or a task's."
            )
    localized = config["reinit"]["localized"]
    if localized and localized["stride"] > localized["block"]:
        yield (
            f"reinit.localized.stride: {localized['stride']} is more than a block's "
            f"{localized['block']} layers, so that layers would be left out."
        )
    for name in config["reinit"]["models"] or []:
        if name not in study["models"]:
            yield f"reinit.models: '{name}' is not among study.models."
    if config["cka"]["pooling"] not in config["evaluation"]["poolings"]:
        yield (
            f"cka.pooling: '{config['cka']['pooling']}' is not kept; evaluation.poolings has "
            f"{', '.join(config['evaluation']['poolings'])}."
        )
    for name, task in config["tasks"].items():
        yield from (f"tasks.{name}.{problem}" for problem in _task_problems(task))
    for name in study["models"]:
        yield from _model_problems(name, config["models"].get(name, {}))


def _task_problems(task: Mapping[str, Any]) -> Iterator[str]:
    kind, allowed = task["type"], METRICS_OF_TYPE[task["type"]]
    if task["metric"] not in allowed:
        yield (
            f"metric: '{task['metric']}' does not fit type {kind}; allowed is one of "
            f"{', '.join(allowed)}."
        )
    if (kind == "multiple-choice") != ("choices" in task):
        yield "choices: multiple-choice tasks have it, others do not."
    if kind == "multiple-choice" and len(task["texts"]) != 1:
        yield "texts: a multiple-choice task has one, the prompt."
    classes = ("labels" in task) + ("cuts" in task)
    if classes != (1 if kind == "classification" else 0):
        yield "labels: a classification task has either 'labels' or 'cuts', others have neither."
    names = [cut["name"] for cut in task.get("cuts", ())]
    if len(set(names)) < len(names):
        yield f"cuts: two classes have one name ({', '.join(names)}); names must differ."
    if ("eval" in task["splits"]) == ("holdout" in task):
        yield "splits: give either 'splits.eval' or 'holdout'."


def _model_problems(name: str, model: Mapping[str, Any]) -> Iterator[str]:
    """What a local model's config.json already tells."""
    kind, _, place = model.get("source", "").partition(":")
    if kind != "path":
        return
    try:
        check_supported(read_config(_folder_of(name, place)), name)
    except StrataError as error:
        yield f"models.{name}: {error}"
