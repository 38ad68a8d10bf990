"""From logits to predictions, scores and the tables that keep both."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from strata.data.task import Task
from strata.evaluation.metrics import score


def decode(logits: Tensor, task: Task) -> np.ndarray:
    """Predictions from logits.

    Parameters
    ----------
    logits : [..., rows, outputs]; an example has task.choices rows.

    Returns
    -------
    [..., examples]: class index, choice index, or the regression's value.
    """
    if task.kind.continuous:
        return logits[..., 0].double().cpu().numpy()
    if task.kind.compares_rows:
        logits = logits[..., 0].unflatten(-1, (-1, task.choices))
    return logits.argmax(-1).cpu().numpy()


def prediction_table(
    examples: pd.DataFrame, predictions: np.ndarray, depths: Sequence[int], configuration: str
) -> pd.DataFrame:
    """Tidy predictions: a row a depth and example.

    Parameters
    ----------
    examples : with example_id and label.
    predictions : [depths, examples]

    Returns
    -------
    columns configuration, depth, example_id, label, prediction.
    """
    return pd.DataFrame(
        {
            "configuration": configuration,
            "depth": np.repeat(np.asarray(depths), len(examples)),
            "example_id": np.tile(examples["example_id"].to_numpy(), len(depths)),
            "label": np.tile(examples["label"].to_numpy(), len(depths)),
            "prediction": predictions.reshape(-1),
        }
    )


def score_table(predictions: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Scores of a prediction table: a row a configuration and depth.

    Returns
    -------
    columns configuration, depth, metric, value, degenerate, n (rows the encoder read), n_examples.
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
