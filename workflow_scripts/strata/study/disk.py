"""Disk space that a job's files will take, for Snakemake's resource ``disk_mb``."""

import json
from collections.abc import Sequence
from pathlib import Path

from strata.study.architectures import layer_count, read_config
from strata.study.layer_sets import METHODS

# For a large model and all examples, if a model or task is not there yet.
LAYERS, HIDDEN, EXAMPLES = 24, 1024, 40_000


def activations_mb(
    model: str | Path, task: str | Path, limit: int | None, split: str = "train"
) -> int:
    """MiB of a split's activations: float16, one vector per layer and row.

    Parameters
    ----------
    model : path-like
        The model's folder in data/.
    task : path-like
        The task's task.json.
    limit : int or None
        The largest number of examples taken; None for all.
    """
    layers, rows = LAYERS, limit or EXAMPLES
    hidden: int = HIDDEN
    if (Path(model) / "config.json").is_file() and Path(task).is_file():
        encoder = read_config(model)
        layers = layer_count(encoder)
        hidden = encoder.get("hidden_size") or encoder.get("dim") or HIDDEN
        about = json.loads(Path(task).read_text(encoding="utf-8"))
        examples = about["sizes"].get(split, 0)
        rows = min(examples, limit or examples) * about["choices"]
    return rows * layers * hidden * 2 // 2**20 + 1


def mean_activations_mb(model: str | Path, task: str | Path, kept: int, limit: int | None) -> int:
    """MiB of mean-pooled train activations: float32, the layers and depth 0.

    Parameters
    ----------
    kept : int
        The largest number of examples whose vectors are stored; the others are only read.
    limit : int or None
        The largest number of examples taken; None for all.
    """
    return 3 * activations_mb(model, task, kept if limit is None else min(kept, limit))


def set_vectors_mb(
    model: str | Path, task: str | Path, parts: Sequence[tuple[str, int | None]]
) -> int:
    """MiB of the layer sets' vectors, float32, one set per size and method.

    Parameters
    ----------
    parts : sequence of tuple
        For each part of the file, the split that its examples are of and the most that are taken
        (None for all).
    """
    rows = [activations_mb(model, task, limit, split) for split, limit in parts]
    return 2 * len(METHODS) * sum(rows)
