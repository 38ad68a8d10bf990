"""Models that are already fine-tuned: registered by their checkpoints, not by an encoder's source.

Their runs are adopted, not trained: checkpoint n is the study's seed n. A study of such models has
no other models, and one task. What needs something that the study does not have (the pretrained
encoder, train examples) is left out, and ``left_out`` says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from strata.study.task_types import TASK_TYPES

Config = Mapping[str, Any]
OWN_RUNS = ("reinit", "variability", "agreement")  # analyses that fine-tune by a study's recipe


def is_given(config: Config, model: str) -> bool:
    """Whether a registered model is already fine-tuned."""
    return "checkpoints" in config["models"][model]


def given_models(config: Config) -> list[str]:
    """The registered models that are already fine-tuned, whether or not a study uses them."""
    return [name for name in config["models"] if is_given(config, name)]


def is_given_study(config: Config) -> bool:
    """Whether the study is of models that are already fine-tuned (it then has no others)."""
    return is_given(config, config["study"]["models"][0])


def seeds_of(config: Config, model: str) -> list[int]:
    """The seeds of a model's runs; for a given model the numbers of its checkpoints, from 1."""
    if is_given(config, model):
        return list(range(1, len(config["models"][model]["checkpoints"]) + 1))
    return config["study"]["seeds"]


def cut_seeds(config: Config, model: str) -> list[int]:
    """The seeds of the runs whose layers are chosen (``frontier``)."""
    asked = config["frontier"]["seeds"]
    return [seed for seed in seeds_of(config, model) if asked is None or seed in asked]


def trained_seeds(config: Config, model: str) -> list[int]:
    """The seeds of the runs whose layers are chosen and that are also trained after the cut."""
    asked = config["frontier"]["training"]["seeds"]
    return [seed for seed in cut_seeds(config, model) if asked is None or seed in asked]


def shared_seeds(config: Config, first: str, second: str) -> list[int]:
    """The seeds that the runs of both models have."""
    others = seeds_of(config, second)
    return [seed for seed in seeds_of(config, first) if seed in others]


def has_pretrained(config: Config, model: str) -> bool:
    """Whether the pretrained encoder that a model's runs started from is available."""
    return not is_given(config, model) or "pretrained" in config["models"][model]


def has_train(config: Config, task: str) -> bool:
    """Whether a task has examples to train on."""
    return "train" in config["tasks"][task]["splits"]


def has_exits(config: Config, task: str) -> bool:
    """Whether a task can have early exit: heads at every depth, predictions with a confidence."""
    return has_train(config, task) and not TASK_TYPES[config["tasks"][task]["type"]].continuous


def encoder_entry(config: Config, model: str) -> dict[str, Any] | None:
    """Where a model's pretrained encoder is; None for a given model registered without one."""
    entry = config["models"][model]
    return entry.get("pretrained") if is_given(config, model) else entry


def checkpoint_entry(config: Config, model: str, number: int) -> dict[str, Any]:
    """Where a given model's checkpoint is.

    Parameters
    ----------
    number : int
        The checkpoint's number, from 1.
    """
    return config["models"][model]["checkpoints"][number - 1]


def located(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A model's entry, with checkpoints and encoder as mappings even if given as text."""

    def place(value: str | dict[str, Any]) -> dict[str, Any]:
        return {"source": value} if isinstance(value, str) else value

    found = dict(entry)
    if "checkpoints" in entry:
        found["checkpoints"] = [place(each) for each in entry["checkpoints"]]
    if "pretrained" in entry:
        found["pretrained"] = place(entry["pretrained"])
    return found


def given_problems(config: Config) -> Iterator[str]:
    """Problems of a study of given models, and of their entries."""
    study, registered = config["study"], config["models"]
    for name, entry in registered.items():
        if ("source" in entry) == ("checkpoints" in entry):
            yield (
                f"models.{name}: give either 'source' (an encoder to fine-tune) or 'checkpoints' "
                "(models that are already fine-tuned)."
            )
        elif "checkpoints" in entry:
            for index, each in enumerate(entry["checkpoints"]):
                yield from _unpinned(f"models.{name}.checkpoints.{index}", each)
            if "pretrained" in entry:
                yield from _unpinned(f"models.{name}.pretrained", entry["pretrained"])
            for key in sorted({"revision", "sha256", "inside"} & entry.keys()):
                yield (
                    f"models.{name}.{key}: give this key for each checkpoint (checkpoints: "
                    f"[{{source: ..., {key}: ...}}])."
                )
        else:
            for key in sorted({"pretrained", "label_map"} & entry.keys()):
                yield (
                    f"models.{name}.{key}: only models with 'checkpoints' have this key, and this "
                    "one has none."
                )
    models = [name for name in study["models"] if name in registered]
    given = [name for name in models if is_given(config, name)]
    if given and len(given) < len(models):
        other = next(name for name in models if name not in given)
        yield (
            f"study.models: '{given[0]}' is already fine-tuned and '{other}' is not; a study has "
            "models of one kind."
        )
    for name in given if len(study["tasks"]) == 1 else []:
        task = study["tasks"][0]
        names_labels = {"labels", "cuts"} & config["tasks"].get(task, {}).keys()
        if "label_map" in registered[name] and not names_labels:
            yield f"models.{name}.label_map: the labels of task '{task}' have no names."
    if given and len(study["tasks"]) > 1:
        yield (
            f"study.tasks: '{given[0]}' is already fine-tuned for one task: name only that task."
        )


def _unpinned(key: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Keys missing to pin a package's file by its hash; the schema checks only mappings."""
    missing = [part for part in ("sha256", "inside") if part not in entry]
    if entry["source"].startswith("pypi:") and missing:
        yield f"{key}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."


def as_given_study(study: Mapping[str, Any]) -> dict[str, Any]:
    """A study of given models, without its settings for skipping and Figure 1.

    If the study's file does not set them, they come from config.yaml and name that file's models.
    """
    first = {"model": study["models"][0], "task": study["tasks"][0]}
    return {**study, "skipping": list(study["models"]), "figure1": first}


def analyses_of(config: Config) -> list[str]:
    """The study's analyses, without those that fine-tune models themselves."""
    asked = config["study"]["analyses"]
    return [name for name in asked if name not in OWN_RUNS or not is_given_study(config)]


def left_out(config: Config) -> list[str]:
    """What a study of given models leaves out and what it would need, one sentence each."""
    if not is_given_study(config):
        return []
    models, (task,) = config["study"]["models"], config["study"]["tasks"]
    asked, lines = config["study"]["analyses"], []
    bare = [model for model in models if not has_pretrained(config, model)]
    if bare:
        lines.append(
            f"{_named(bare)} without 'pretrained': no maps of ORIG, no FT-ORIG, no TUNEDORIG, no "
            "variability, and no answer to whether fine-tuning made the blocks."
        )
    if not has_train(config, task):
        lines.append(
            f"{task} without 'splits.train': no TUNED, no TUNEDORIG, no variability; exports have "
            "the checkpoint's own head."
        )
    elif "holdout" in config["tasks"][task]:
        lines.append(
            f"Warning: the eval examples of {task} are held out of its train split; if the "
            "checkpoints were trained on that split, they were also trained on these examples, and "
            "their scores are too high. Give 'splits.eval' if there are examples that they have "
            "not seen."
        )
    companions = [name for name in OWN_RUNS if name in asked and name != "variability"]
    if companions:
        lines.append(
            f"{' and '.join(companions)}: left out, since the checkpoints were not trained with "
            "this study's recipe."
        )
    if config["frontier"]["training"]["sizes"] and not has_train(config, task):
        lines.append(
            "frontier.training: left out, since training after the cut needs 'splits.train'."
        )
    if "exits" in asked and not has_exits(config, task):
        lines.append(
            "exits: left out, since early exit needs heads at every depth ('splits.train') and "
            "predictions with a confidence (so no regression)."
        )
    if "variability" in asked and len(bare) < len(models) and has_train(config, task):
        lines.append(
            "variability: a depth is selected, but no models are trained to judge that choice."
        )
    return lines


def _named(models: list[str]) -> str:
    return f"{', '.join(models)} {'is' if len(models) == 1 else 'are'} registered"
