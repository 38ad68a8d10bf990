"""Heads that a model folder holds, looked up in its files alone (no torch here)."""

from pathlib import Path

from safetensors import safe_open

from strata.study.architectures import read_config

# What classes with a trained head are called, and how names of a head's own weights begin.
HEADED = ("ForSequenceClassification", "ForMultipleChoice")
HEADS = ("classifier.", "head.", "pre_classifier.", "pooler.", "score.", "sequence_summary.")


def class_name(folder: str | Path) -> str:
    """The class whose weights a folder holds, by its config.json; empty where that does not say."""
    named = read_config(folder).get("architectures") or [""]
    return str(named[0])


def trained_head(folder: str | Path) -> list[str]:
    """The names of the weights of a head for examples as a whole, if the folder holds one."""
    names: list[str] = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            names += [name for name in tensors.keys() if name.startswith(HEADS)]  # noqa: SIM118
    outputs = [name for name in names if name.startswith(("classifier.", "score."))]
    return names if outputs or (names and class_name(folder).endswith(HEADED)) else []
