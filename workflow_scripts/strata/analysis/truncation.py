"""Truncation: the head on the representation of every depth (Phang et al. 2021, section 4).

UNTUNED applies the run's head as it is; TUNED tunes it further at each depth; TUNEDORIG tunes a
fresh head on the pretrained encoder. Each gives a table of predictions; scores come from it.
"""

from dataclasses import dataclass

import pandas as pd

from strata.analysis.activations import Activations
from strata.data.task import Task
from strata.evaluation.predictions import prediction_table
from strata.modeling.head import Head
from strata.modeling.head_tuning import (
    HeadInputs,
    Stack,
    Standardizer,
    head_logits,
    repeat_head,
    tune_converged,
    tune_heads,
)
from strata.study.settings import HeadSettings


@dataclass(frozen=True)
class Splits:
    """Representations of a state's train and eval examples, of one task."""

    train: Activations
    eval: Activations
    task: Task


def untuned(evaluated: Activations, head: Head, task: Task) -> pd.DataFrame:
    """Predictions of the run's own head on every depth, nothing trained."""
    stack = repeat_head(head, len(evaluated.depths()))
    return _predictions(evaluated, task, head, stack, "untuned")


def tuned(
    splits: Splits, head: Head, settings: HeadSettings, seed: int, configuration: str
) -> tuple[pd.DataFrame, Stack]:
    """Predictions of heads tuned at every depth, and the heads.

    Parameters
    ----------
    head : where tuning starts: the run's (TUNED) or a fresh one (TUNEDORIG).
    settings, seed : see ``head_tuning.tune_heads``.
    configuration : "tuned" or "tuned-orig", for the table.
    """
    inputs = _inputs(splits.train, splits.task)
    stack = tune_heads(head, inputs, settings, seed)
    return _predictions(splits.eval, splits.task, head, stack, configuration), stack


def tuned_orig_converged(
    splits: Splits, head: Head, settings: HeadSettings, seed: int
) -> pd.DataFrame:
    """TUNEDORIG with heads tuned to convergence (see ``head_tuning.tune_converged``)."""
    inputs = _inputs(splits.train, splits.task)
    stack, rates, standard = tune_converged(head, inputs, settings, seed)
    print("learning rate by depth: " + ", ".join(f"{rate:g}" for rate in rates), flush=True)
    name = "tuned-orig-converged"
    return _predictions(splits.eval, splits.task, head, stack, name, standard)


def _inputs(
    activations: Activations, task: Task, standard: Standardizer | None = None
) -> HeadInputs:
    labels = activations.examples()["label"].to_numpy()
    return HeadInputs(activations.vectors(), labels, task, standard=standard)


def _predictions(
    evaluated: Activations,
    task: Task,
    head: Head,
    stack: Stack,
    configuration: str,
    standard: Standardizer | None = None,
) -> pd.DataFrame:
    logits = head_logits(head, stack, _inputs(evaluated, task, standard))
    examples, depths = evaluated.examples(), evaluated.depths()
    return prediction_table(examples, logits, depths, configuration, task)
