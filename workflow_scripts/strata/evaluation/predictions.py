"""From logits to predictions, scores and the tables that keep them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata.data.task import Task
from strata.evaluation.metrics import score


def decode(logits: Tensor, task: Task) -> np.ndarray:
    """Predictions from logits.

    Parameters
    ----------
    logits : Tensor of shape (..., rows, outputs)
        The head's outputs; an example has task.choices rows.

    Returns
    -------
    ndarray of shape (..., examples)
        The predicted class, choice or, for regression, value.
    """
    return decide(by_example(logits, task), task)


def by_example(logits: Tensor, task: Task) -> Tensor:
    """Logits of shape (..., rows, outputs) as (..., examples, answers).

    An answer is a class, a choice (each row then has one output), or a regression's one value.
    """
    return logits[..., 0].unflatten(-1, (-1, task.choices)) if task.kind.compares_rows else logits


def decide(logits: Tensor, task: Task) -> np.ndarray:
    """Predictions of shape (..., examples) from logits of shape (..., examples, answers)."""
    if task.kind.continuous:
        return logits[..., 0].double().cpu().numpy()
    return logits.argmax(-1).cpu().numpy()


def answers(examples: pd.DataFrame, logits: Tensor, task: Task) -> pd.DataFrame:
    """Each example's label, prediction and logits: one row per example.

    Parameters
    ----------
    examples : DataFrame
        Examples with columns example_id and label.
    logits : Tensor of shape (rows, outputs)
        The head's outputs.

    Returns
    -------
    DataFrame
        Columns example_id, label, prediction, and the logits in float32: logit_0, logit_1, …, one
        per answer (see ``by_example``).
    """
    logits = by_example(logits, task)
    scores = logits.to("cpu", torch.float32).numpy()
    columns = {f"logit_{answer}": scores[:, answer] for answer in range(scores.shape[1])}
    return examples[["example_id", "label"]].assign(prediction=decide(logits, task), **columns)


def prediction_table(
    examples: pd.DataFrame, logits: Tensor, depths: Sequence[int], configuration: str, task: Task
) -> pd.DataFrame:
    """Tidy predictions: one row per depth and example.

    Parameters
    ----------
    examples : DataFrame
        Examples with columns example_id and label.
    logits : Tensor of shape (depths, rows, outputs)
        The head's outputs.

    Returns
    -------
    DataFrame
        Columns configuration, depth, and those of ``answers``.
    """
    tables = [answers(examples, at_depth, task) for at_depth in logits]
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "configuration", configuration)
    table.insert(1, "depth", np.repeat(np.asarray(depths), len(examples)))
    return table


def score_table(predictions: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Scores of a prediction table: one row per configuration and depth.

    Returns
    -------
    DataFrame
        Columns configuration, depth, metric, value, degenerate, n (rows the encoder read),
        n_examples.
    """
    records = []
    groups = predictions.groupby(["configuration", "depth"], sort=False)
    for (configuration, depth), group in groups:
        labels, predicted = group["label"].to_numpy(), group["prediction"].to_numpy()
        scored = score(task.metric, labels, predicted)
        records.append(
            {
                "configuration": configuration,
                "depth": depth,
                "metric": task.metric,
                "value": scored.value,
                "degenerate": scored.degenerate,
                "n": len(group) * task.choices,
                "n_examples": len(group),
            }
        )
    return pd.DataFrame.from_records(records)
