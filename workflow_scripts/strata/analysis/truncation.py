"""Truncation: the head on the representation of every depth (Phang et al. 2021, section 4).

UNTUNED applies the run's head as it is; TUNED tunes it further at each depth; TUNEDORIG tunes a
fresh head on the pretrained encoder. Each gives a table of predictions; scores come from it.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from strata.analysis.activations import Activations
from strata.data.task import Task
from strata.evaluation.predictions import prediction_table
from strata.modeling.head import Head
from strata.modeling.head_tuning import (
    Stack,
    Standardizer,
    apply_heads,
    repeat_head,
    tune_converged,
    tune_heads,
)


def untuned(evaluated: Activations, head: Head, task: Task) -> pd.DataFrame:
    """Predictions of the run's own head on every depth, nothing trained."""
    stack = repeat_head(head, len(evaluated.depths()))
    return _predictions(evaluated, head, stack, task, "untuned")


def tuned(
    trained: Activations,
    evaluated: Activations,
    head: Head,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    configuration: str,
) -> tuple[pd.DataFrame, Stack]:
    """Predictions of heads tuned at every depth, and the heads.

    Parameters
    ----------
    trained, evaluated : representations of train and eval examples, of the same state.
    head : where tuning starts: the run's (TUNED) or a fresh one (TUNEDORIG).
    settings, seed : see ``head_tuning.tune_heads``.
    configuration : "tuned" or "tuned-orig", for the table.
    """
    labels = trained.examples()["label"].to_numpy()
    stack = tune_heads(head, trained.vectors(), labels, task, settings, seed)
    return _predictions(evaluated, head, stack, task, configuration), stack


def tuned_orig_converged(
    trained: Activations,
    evaluated: Activations,
    head: Head,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
) -> pd.DataFrame:
    """TUNEDORIG with heads tuned to convergence (see ``head_tuning.tune_converged``)."""
    labels = trained.examples()["label"].to_numpy()
    stack, rates, standard = tune_converged(head, trained.vectors(), labels, task, settings, seed)
    print("learning rate by depth: " + ", ".join(f"{rate:g}" for rate in rates), flush=True)
    return _predictions(evaluated, head, stack, task, "tuned-orig-converged", standard)


def _predictions(
    evaluated: Activations,
    head: Head,
    stack: Stack,
    task: Task,
    configuration: str,
    standard: Standardizer | None = None,
) -> pd.DataFrame:
    predictions = apply_heads(head, stack, evaluated.vectors(), task, standard=standard)
    return prediction_table(evaluated.examples(), predictions, evaluated.depths(), configuration)
