"""Trained heads in a model folder, found from its files alone (no torch here)."""

from pathlib import Path

from safetensors import safe_open

from strata.study.architectures import read_config

# Names of classes with a trained head, and prefixes of a head's own weights.
HEADED = ("ForSequenceClassification", "ForMultipleChoice")
HEADS = ("classifier.", "head.", "pre_classifier.", "pooler.", "score.", "sequence_summary.")


def class_name(folder: str | Path) -> str:
    """The class of a folder's weights, from its config.json; empty if that does not say."""
    named = read_config(folder).get("architectures") or [""]
    return str(named[0])


def trained_head(folder: str | Path) -> list[str]:
    """The names of the weights of a head for whole examples, if the folder contains one."""
    names: list[str] = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            names += [name for name in tensors.keys() if name.startswith(HEADS)]  # noqa: SIM118
    outputs = [name for name in names if name.startswith(("classifier.", "score."))]
    return names if outputs or (names and class_name(folder).endswith(HEADED)) else []
