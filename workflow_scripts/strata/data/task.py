"""A prepared task, and its examples.

A task in `data/tasks/{task}/` consists of ``train.parquet`` and ``eval.parquet`` with the columns
``example_id`` (row in the source split, from 0), ``text_a``, ``text_b`` (pairs only) or ``choices``
(multiple choice only: a list of texts) and ``label`` (class or gold index, or a float), and
``task.json``, which says what they are.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata.study.settings import Sample
from strata.study.task_types import TASK_TYPES, TaskType

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Task:
    """A prepared task: its type, label names, metric, and where it came from.

    Attributes
    ----------
    choices : int
        The number of rows that an encoder reads per example; 1 except for multiple choice.
    sizes : dict of str to int
        The number of examples in each split.
    dropped : dict of str to int
        The number of rows in each split that are in no class of the cuts.
    source : dict of str to object
        Where the task came from, with the commit that a hub revision resolved to.
    """

    name: str
    type: str
    labels: list[str] | None
    metric: str
    choices: int
    sizes: dict[str, int]
    dropped: dict[str, int]
    source: dict[str, Any]

    @property
    def kind(self) -> TaskType:
        """The properties of its type."""
        return TASK_TYPES[self.type]

    @property
    def num_labels(self) -> int:
        """Number of the head's outputs: the classes, or 1 for regression and multiple choice."""
        return len(self.labels) if self.labels else 1

    @classmethod
    def read(cls, path: str | Path) -> "Task":
        """Read a task.json."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def read_examples(path: str | Path, sample: Sample | None = None) -> pd.DataFrame:
    """The examples of a prepared split, or a sample of them, in order."""
    frame = pd.read_parquet(path)
    if sample is None or sample.limit is None or sample.limit >= len(frame):
        return frame
    rng = np.random.default_rng(sample.seed)
    rows = np.sort(rng.choice(len(frame), sample.limit, replace=False))
    return frame.iloc[rows].reset_index(drop=True)
