"""Truncation: the head on the representation of every depth (Phang et al. 2021, section 4).

UNTUNED applies the run's head as it is; TUNED tunes it further at each depth; TUNEDORIG tunes a
fresh head on the pretrained encoder. Each gives a table of predictions; scores come from it.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from strata import heads
from strata.activations import Activations
from strata.models import Head
from strata.predictions import prediction_table
from strata.tasks import Task


def untuned(evaluated: Activations, head: Head, task: Task) -> pd.DataFrame:
    """Predictions of the run's own head on every depth, nothing trained."""
    stack = heads.repeat(head, len(evaluated.depths()))
    return _predictions(evaluated, head, stack, task, "untuned")


def tuned(
    trained: Activations,
    evaluated: Activations,
    head: Head,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    configuration: str,
) -> tuple[pd.DataFrame, heads.Stack]:
    """Predictions of heads tuned at every depth, and the heads.

    Parameters
    ----------
    trained, evaluated : representations of train and eval examples, of the same state.
    head : where tuning starts: the run's (TUNED) or a fresh one (TUNEDORIG).
    settings, seed : see ``heads.tune``.
    configuration : "tuned" or "tuned-orig", for the table.
    """
    labels = trained.examples()["label"].to_numpy()
    stack = heads.tune(head, trained.vectors(), labels, task, settings, seed)
    return _predictions(evaluated, head, stack, task, configuration), stack


def tuned_orig_converged(
    trained: Activations,
    evaluated: Activations,
    head: Head,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
) -> pd.DataFrame:
    """TUNEDORIG with each depth's head tuned to convergence (see ``heads.tune_converged``)."""
    labels = trained.examples()["label"].to_numpy()
    stack, rates, standard = heads.tune_converged(
        head, trained.vectors(), labels, task, settings, seed
    )
    print("learning rate by depth: " + ", ".join(f"{rate:g}" for rate in rates), flush=True)
    return _predictions(evaluated, head, stack, task, "tuned-orig-converged", standard)


def _predictions(
    evaluated: Activations,
    head: Head,
    stack: heads.Stack,
    task: Task,
    configuration: str,
    standard: heads.Standard | None = None,
) -> pd.DataFrame:
    predictions = heads.apply(head, stack, evaluated.vectors(), task, standard=standard)
    return prediction_table(evaluated.examples(), predictions, evaluated.depths(), configuration)
