"""Contradictions between the keys of a config, which a schema cannot express."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from strata.runtime.errors import StrataError
from strata.study.architectures import WITH_CHOICES, check_supported, read_config
from strata.study.given import cut_seeds, encoder_entry, has_train, is_given_study, seeds_of
from strata.study.metrics import metrics_for
from strata.study.recipes import architecture_of, config_folder, exported_style, given_folder
from strata.study.task_types import TASK_TYPES


def inconsistencies(config: Mapping[str, Any]) -> Iterator[str]:
    study = config["study"]
    if ".." in config["outdir"].split("/"):
        yield f"outdir: '{config['outdir']}' is not a folder below this one; do not use '..'."
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
    for pattern, changes in config["variants"].items():
        if "max_length" in changes:
            yield (
                f"variants.{pattern}.max_length: all variants read the same tokens; set "
                "training.max_length, or a task's."
            )
    yield from _withheld_elsewhere(config)
    for model in study["models"]:
        for seed in config["frontier"]["seeds"] or []:
            if model in config["models"] and seed not in seeds_of(config, model):
                yield f"frontier.seeds: {model} has no run with seed {seed}."
        for seed in config["frontier"]["training"]["seeds"] or []:
            if model in config["models"] and seed not in cut_seeds(config, model):
                yield f"frontier.training.seeds: the run of {model} with seed {seed} is not cut."
    for name in config["frontier"]["training"]["tasks"] or []:
        if name not in study["tasks"]:
            yield f"frontier.training.tasks: '{name}' is not among study.tasks."
    localized = config["reinit"]["localized"]
    if localized and localized["stride"] > localized["block"]:
        yield (
            f"reinit.localized.stride: {localized['stride']} is more than a block's "
            f"{localized['block']} layers, so that layers would be left out."
        )
    for name in config["reinit"]["models"] or []:
        if name not in study["models"]:
            yield f"reinit.models: '{name}' is not among study.models."
    for name in config["variability"]["tasks"] or []:
        if name not in study["tasks"]:
            yield f"variability.tasks: '{name}' is not among study.tasks."
    if config["cka"]["pooling"] not in config["evaluation"]["poolings"]:
        yield (
            f"cka.pooling: '{config['cka']['pooling']}' is not stored; evaluation.poolings has "
            f"{', '.join(config['evaluation']['poolings'])}."
        )
    for name, task in config["tasks"].items():
        yield from (f"tasks.{name}.{problem}" for problem in _task_problems(task))
    for name in study["tasks"]:
        if name in config["tasks"] and not has_train(config, name) and not _is_given(config):
            model = study["models"][0]
            yield f"tasks.{name}.splits: train is missing, and {model} is trained on it."
    for name in study["models"]:
        yield from _model_problems(config, name)
    yield from _choice_problems(config)
    if {"export", "frontier"} & set(study["analyses"]) or config["export"]["onnx"]:
        yield from _export_problems(config)


def _withheld_elsewhere(config: Mapping[str, Any]) -> Iterator[str]:
    """Problems with `withhold`: the same examples must be withheld from all runs of a study."""
    for kind in ("models", "tasks"):
        for name, entry in config[kind].items():
            if "withhold" in entry.get("training", {}):
                yield (
                    f"{kind}.{name}.training.withhold: applies to the whole study; set "
                    "training.withhold."
                )
    for pattern, changes in config["variants"].items():
        if "withhold" in changes:
            yield f"variants.{pattern}.withhold: applies to the whole study; set training.withhold."


def _task_problems(task: Mapping[str, Any]) -> Iterator[str]:
    kind, allowed = TASK_TYPES[task["type"]], metrics_for(task["type"])
    if task["metric"] not in allowed:
        yield (
            f"metric: '{task['metric']}' does not fit type {task['type']}; allowed is one of "
            f"{', '.join(allowed)}."
        )
    if kind.compares_rows != ("choices" in task):
        yield "choices: multiple-choice tasks need this key, other tasks must not have it."
    if kind.compares_rows and len(task["texts"]) != 1:
        yield "texts: a multiple-choice task has exactly one, the prompt."
    classes = ("labels" in task) + ("cuts" in task)
    if classes != (1 if kind.names_labels else 0):
        yield "labels: classification tasks have either 'labels' or 'cuts', others neither."
    names = [cut["name"] for cut in task.get("cuts", ())]
    if len(set(names)) < len(names):
        yield f"cuts: two classes have the same name ({', '.join(names)}); names must differ."
    if ("eval" in task["splits"]) == ("holdout" in task):
        yield "splits: give either 'splits.eval' or 'holdout'."
    elif "train" not in task["splits"] and "holdout" in task:
        yield "holdout: examples are held out of 'splits.train', which is missing."


def _model_problems(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """Problems that the config.json of a local model already shows."""
    if name not in config["models"]:
        return
    entry, encoder = config["models"][name], encoder_entry(config, name)
    places = [(f"models.{name}", encoder, config_folder)] if encoder else []
    places += [
        (f"models.{name}.checkpoints.{index}", each, partial(given_folder, number=index + 1))
        for index, each in enumerate(entry.get("checkpoints", ()))
    ]
    for key, each, folder in places:
        kind, _, place = each["source"].partition(":")
        if kind == "path":
            try:
                check_supported(read_config(folder(name, place)), name)
            except StrataError as error:
                yield f"{key}: {error}"


def _choice_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Multiple-choice tasks of models for which Transformers has no multiple-choice class."""
    study = config["study"]
    tasks = [name for name in study["tasks"] if name in config["tasks"]]
    choices = [name for name in tasks if TASK_TYPES[config["tasks"][name]["type"]].compares_rows]
    for model in study["models"]:
        if choices and not list(_model_problems(config, model)) and _is_known(config, model):
            kind = architecture_of(config, model)
            if kind not in WITH_CHOICES:
                yield (
                    f"study.tasks: '{choices[0]}' is multiple choice, and Transformers has no "
                    f"multiple-choice class for '{model}' ({kind}); it has one for "
                    f"{', '.join(sorted(WITH_CHOICES))}."
                )


def _is_given(config: Mapping[str, Any]) -> bool:
    return config["study"]["models"][0] in config["models"] and is_given_study(config)


def _export_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Heads that no plain Transformers class can hold, for the models whose type is known."""
    for model in config["study"]["models"]:
        if list(_model_problems(config, model)) or not _is_known(config, model):
            continue
        for task in config["study"]["tasks"]:
            if task in config["tasks"]:
                try:
                    exported_style(config, model, task)
                except StrataError as error:
                    yield f"study.analyses: export of {error}"


def _is_known(config: Mapping[str, Any], model: str) -> bool:
    """Whether a model's architecture is known before it is downloaded."""
    if model not in config["models"]:
        return False
    try:
        architecture_of(config, model)
    except StrataError:
        return False
    return True
