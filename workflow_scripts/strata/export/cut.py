"""The smaller model: the encoder cut to a depth with the head tuned there, a plain checkpoint."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.data.task import Task
from strata.modeling.encoder import truncate
from strata.modeling.head_tuning import load_head_of_depth
from strata.modeling.loading import load_model
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics


def choose_depth(summary: pd.DataFrame) -> int:
    """The depth that the summary gives for TUNED (the exported head is the tuned one).

    With every run failed there is no answer, and the full depth is returned.
    """
    row = summary[summary["configuration"] == "tuned"].iloc[0]
    return int(row["layers"] if pd.isna(row["depth"]) else row["depth"])


def depth_of(text: str, summary: pd.DataFrame) -> int:
    """The depth that a target names: ``3``, or ``-auto`` for the summary's own.

    Raises
    ------
    StrataError : the model has no such depth.
    """
    depth = choose_depth(summary) if text == "-auto" else int(text)
    layers = int(summary["layers"].iloc[0])
    if not 1 <= depth <= layers:
        raise StrataError(f"There is no depth {depth}: the model has depths 1 to {layers}.")
    return depth


def choose_seed(runs: Mapping[int, RunMetrics]) -> int:
    """The first seed whose run did not fail; the first of all if every one did."""
    return next((seed for seed, run in runs.items() if not run.failed), next(iter(runs)))


def cut_model(checkpoint: str | Path, heads: str | Path, task: Task, depth: int) -> PreTrainedModel:
    """A run's model cut to `depth` layers, with the head that was tuned at that depth.

    Parameters
    ----------
    heads : stacked heads as ``head_tuning.save_stack`` wrote them.
    """
    model = truncate(load_model(checkpoint, task), depth)
    _, unexpected = model.load_state_dict(load_head_of_depth(heads, depth), strict=False)
    if unexpected:
        raise ValueError(f"{heads} holds {', '.join(unexpected)}, which the model does not have.")
    return model


def write_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> None:
    """Write the model folder: config, safetensors weights, tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
