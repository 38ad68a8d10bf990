"""How confident a cut model is, and which of its predictions change, at every depth.

A score says how many predictions are right. This module adds how well the predicted probabilities
fit (negative log-likelihood), whether they are calibrated (expected calibration error; Guo et al.
2017, *On Calibration of Modern Neural Networks*, section 2), and which predictions differ from the
full model's, for better or for worse: a cut may keep the score and still change many predictions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from strata.data.task import Task
from strata.evaluation.prediction_files import logits_of
from strata.study.run_records import RunMetrics

BINS = 15
DRAWS = 200
KEYS = ["model", "task", "seed", "configuration", "depth"]
COLUMNS = [
    *KEYS, "nll", "nll_se", "squared_error", "squared_error_se",
    "ece", "ece_noise", "ece_noise_high", "flips", "flips_se", "worse", "worse_se",
    "better", "better_se", "moved", "moved_se", "n", "n_examples", "failed",
]  # fmt: skip


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax over the last axis, in float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def mean_loss(labels: np.ndarray, logits: np.ndarray, task: Task) -> float:
    """Mean negative log-likelihood of the labels or, for a regression, mean squared error.

    Parameters
    ----------
    labels : ndarray of shape (examples,)
        The examples' labels.
    logits : ndarray of shape (examples, answers)
        The logits of each example's answers.
    """
    if task.kind.continuous:
        return float(np.mean((logits[:, 0] - labels) ** 2))
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def bin_gaps(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Expected calibration error of several sets of outcomes for the same confidences.

    For the top label, with 15 bins of equal width, (0, 1/15], …: the mean over examples of the gap
    between their bin's mean confidence and its share of right predictions.

    Parameters
    ----------
    confidence : ndarray of shape (examples,)
        Confidence of each prediction, in (0, 1].
    right : ndarray of shape (sets, examples)
        Whether each prediction was right.

    Returns
    -------
    ndarray of shape (sets,)
        The error of each set.
    """
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    member = np.digitize(confidence, edges, right=True)[:, None] == np.arange(BINS)
    gaps = right.astype(np.float64) @ member - confidence @ member
    return np.abs(gaps).sum(-1) / len(confidence)


def calibration_noise(confidence: np.ndarray, seed: int = 0) -> np.ndarray:
    """Calibration errors that perfectly calibrated predictions with these confidences would show.

    The expected calibration error is never below 0, so at finite n it is above 0 even for
    calibrated predictions, and more so with fewer examples. In each draw every prediction is right
    with its stated probability.

    Returns
    -------
    ndarray of shape (DRAWS,)
        The error in each draw.
    """
    rng = np.random.default_rng(seed)
    drawn = (rng.random((DRAWS, len(confidence)), dtype=np.float32) < confidence).astype(np.int8)
    return bin_gaps(confidence, drawn)


def calibration_of_run(predictions: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Likelihood, calibration and changed predictions of one run, by configuration and depth.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table with logits; UNTUNED at its last depth is the full model.

    Returns
    -------
    DataFrame
        One row per configuration and depth, with the columns of ``calibration_table`` except model,
        task, seed, failed.
    """
    untuned = predictions[predictions["configuration"] == "untuned"]
    whole = untuned[untuned["depth"] == untuned["depth"].max()].set_index("example_id")
    rows = []
    for (configuration, depth), group in predictions.groupby(
        ["configuration", "depth"], sort=False
    ):
        full = whole.loc[group["example_id"], "prediction"].to_numpy()
        numbers = _of_values(group, full) if task.kind.continuous else _of_answers(group, full)
        count = {"n": len(group) * task.choices, "n_examples": len(group)}
        rows.append({"configuration": configuration, "depth": depth, **numbers, **count})
    return pd.DataFrame(rows)


def _of_answers(group: pd.DataFrame, full: np.ndarray) -> dict[str, float]:
    """Numbers of one configuration and depth, if labels are classes or choices."""
    labels, predicted = group["label"].to_numpy(), group["prediction"].to_numpy()
    logs = log_probabilities(logits_of(group))
    confidence, right = np.exp(logs.max(-1)), predicted == labels
    noise = calibration_noise(confidence)
    per_example = {
        "nll": -logs[np.arange(len(labels)), labels.astype(int)],
        "flips": predicted != full,
        "worse": (full == labels) & ~right,
        "better": (full != labels) & right,
    }
    return _means(per_example) | {
        "ece": float(bin_gaps(confidence, right[None])[0]),
        "ece_noise": float(noise.mean()),
        "ece_noise_high": float(np.quantile(noise, 0.95)),
    }


def _of_values(group: pd.DataFrame, full: np.ndarray) -> dict[str, float]:
    """Numbers of one configuration and depth, if labels are numbers."""
    predicted = group["prediction"].to_numpy()
    error = (predicted - group["label"].to_numpy()) ** 2
    return _means({"squared_error": error, "moved": np.abs(predicted - full)})


def _means(per_example: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Means over examples, and their standard errors."""
    found: dict[str, float] = {}
    for name, values in per_example.items():
        found[name] = float(values.mean())
        spread = values.std(ddof=1) if len(values) > 1 else np.nan
        found[f"{name}_se"] = float(spread / np.sqrt(len(values)))
    return found


def calibration_table(
    model: str,
    task: Task,
    predictions: Mapping[int, Sequence[pd.DataFrame]],
    runs: Mapping[int, RunMetrics],
) -> pd.DataFrame:
    """Likelihood, calibration and changed predictions by depth, for every run and configuration.

    Parameters
    ----------
    predictions : mapping of int to sequence of DataFrame
        The prediction tables of each seed, with logits.
    runs : mapping of int to RunMetrics
        The metrics of each seed's run.

    Returns
    -------
    DataFrame
        Columns model, task, seed, configuration, depth and, each with its standard error over
        examples (``_se``): nll, the negative log-likelihood in nats; flips, the share of
        predictions that differ from the full model's, split into worse (right before) and better
        (wrong before); for regression instead squared_error, and moved, the mean absolute
        difference from the full model's value. ece is the expected calibration error; ece_noise and
        ece_noise_high are its mean and 95th percentile if every prediction were right with its
        stated probability. n (rows the encoder read), n_examples, failed. The row ``baseline`` has
        no seed and depth: it uses the labels' shares as probabilities, or their mean, which are the
        best constants under these two losses.
    """
    tables = [
        calibration_of_run(pd.concat(tables, ignore_index=True), task).assign(seed=seed)
        for seed, tables in predictions.items()
    ]
    examples = next(iter(predictions.values()))[0].drop_duplicates("example_id")
    constant = pd.DataFrame([_best_constant(examples["label"].to_numpy(), task)])
    table = pd.concat([*tables, constant], ignore_index=True)
    table = table.assign(model=model, task=task.name)
    table["failed"] = [seed in runs and runs[seed].failed for seed in table["seed"]]
    for column in ("seed", "depth"):
        table[column] = table[column].astype("Int64")
    return table.reindex(columns=COLUMNS)


def _best_constant(labels: np.ndarray, task: Task) -> dict[str, float | str]:
    if task.kind.continuous:
        loss = _means({"squared_error": (labels - labels.mean()) ** 2})
    else:
        _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
        loss = _means({"nll": -np.log(counts / len(labels))[which]})
    count = {"n": len(labels) * task.choices, "n_examples": len(labels)}
    return {"configuration": "baseline", **loss, **count}
