"""Early exit, from stored logits alone: an example leaves at the first depth that is confident.

A threshold is chosen on one half of the examples and judged on the other, and vice versa. It is
compared with the static cut, which stops every example at one depth. The heads are TUNED's (at each
depth the better of its two recipes), and the full model's own at the last depth. A batch waits for
its deepest example: the expectation of that depth is exact, over all batches that can be drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from strata.analysis.calibration import log_probabilities
from strata.data.parts import halve
from strata.data.task import Task
from strata.evaluation.prediction_files import logits_of
from strata.evaluation.resampling import resampled_scores, scores_in
from strata.study.run_records import RunMetrics
from strata.study.settings import Sampling

STATIC, FULL, CURVE, CHOSEN = "static", "full", "curve", "chosen"  # kinds of rows
# Batch size -> the column with the depth that such a batch waits for.
BATCHES = {1: "mean_depth", 8: "deepest_8", 32: "deepest_32"}
AT_ONCE, NEVER = 0.0, 1.0  # thresholds passed at the first depth always, or only at the last
SHARES = np.linspace(0, 1, 201)  # the quantiles of the confidences that serve as thresholds
COMPARED = ("difference", "difference_8", "difference_32", "from_full")
COLUMNS = [
    "model", "task", "seed", "kind", "depth", "threshold", "threshold_back", "metric", "value",
    "low", "high", *BATCHES.values(),
    *(f"{name}{end}" for name in COMPARED for end in ("", "_low", "_high")), "n_examples", "failed",
]  # fmt: skip


@dataclass(frozen=True)
class DepthAnswers:
    """The predictions of one run's heads; at the last depth the full model's own.

    Attributes
    ----------
    labels : ndarray of shape (examples,)
        The examples' labels.
    predictions : ndarray of shape (depths, examples)
        Predictions at each depth.
    confidence : ndarray of shape (depths, examples)
        The largest probability at each depth.
    """

    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, tuned: pd.DataFrame, untuned: pd.DataFrame) -> Self:
        """From the prediction tables of TUNED and UNTUNED, with logits."""
        last = untuned["depth"].max()
        whole = untuned[untuned["depth"] == last]
        below = tuned[(tuned["configuration"] == "tuned-best") & (tuned["depth"] < last)]
        tables = [
            own.set_index("example_id").loc[whole["example_id"]]
            for _, own in pd.concat([below, whole]).groupby("depth")
        ]
        logs = [log_probabilities(logits_of(own)).max(-1) for own in tables]
        predictions = np.stack([own["prediction"].to_numpy() for own in tables])
        return cls(whole["label"].to_numpy(), predictions, np.exp(logs))

    def part(self, examples: np.ndarray) -> Self:
        """The answers for some examples, by index."""
        return type(self)(
            self.labels[examples], self.predictions[:, examples], self.confidence[:, examples]
        )

    def given(self, left: np.ndarray) -> np.ndarray:
        """The predictions if examples leave at these depths, counted from 0; (..., examples)."""
        return self.predictions[left, np.arange(left.shape[-1])]


def exit_depths(confidence: np.ndarray, threshold: float) -> np.ndarray:
    """The depth at which each example leaves, counted from 0.

    Parameters
    ----------
    confidence : ndarray of shape (depths, examples)
        Confidence at each depth.
    threshold : float
        What a confidence must exceed; the rest leave at the last depth.

    Returns
    -------
    ndarray of shape (examples,)
        The depths, counted from 0.
    """
    sure = confidence > threshold
    sure[-1] = True
    return sure.argmax(0)


def deepest_of(left: np.ndarray, size: int) -> float:
    """The expected depth of the deepest example of a random batch, drawn without replacement.

    Parameters
    ----------
    left : ndarray of shape (examples,)
        The depths at which examples leave, counted from 0.
    size : int
        Examples per batch; with 1 the result is the mean depth.

    Returns
    -------
    float
        The number of layers run, so counted from 1; NaN if there are fewer examples than `size`.
    """
    if len(left) < size:
        return float("nan")
    # A batch draws its first, its second, ... example among those that leave at each depth or
    # before.
    before = np.cumsum(np.bincount(left))[:, None]
    drawn = np.arange(size)
    within = np.prod((before - drawn) / (len(left) - drawn), axis=1)
    return float(1 + (1 - within).sum())


def threshold_grid(confidence: np.ndarray) -> np.ndarray:
    """Thresholds from "at once" to "never", at quantiles of the confidences, ascending."""
    return np.unique([AT_ONCE, *np.quantile(confidence, SHARES), NEVER])


def choose_thresholds(answers: DepthAnswers, metric: str) -> np.ndarray:
    """For every budget, the threshold with the best score among those within it.

    Ties go to the lowest threshold, with which examples leave earliest.

    Returns
    -------
    ndarray of shape (depths - 1,)
        Thresholds for a mean depth of at most 1, 2, … layers.
    """
    grid, left, scores = _all_thresholds(answers, metric)
    budgets = np.arange(1, len(answers.predictions))[:, None]
    kept = np.where(left.mean(1) + 1 <= budgets, scores, -np.inf)
    return grid[kept.argmax(1)]


def exits_of_run(answers: DepthAnswers, metric: str, sampling: Sampling) -> pd.DataFrame:
    """Static cuts, the full model, chosen thresholds and the whole curve of one run.

    Returns
    -------
    DataFrame
        Columns of ``exits_table``, without model, task, seed, metric, n_examples and failed.
    """
    (cuts, left), (chosen, others) = _static(answers), _chosen(answers, metric)
    table = pd.DataFrame(cuts + chosen)
    predictions = answers.given(np.stack(left + others))
    values = _scores(metric, answers.labels, predictions)
    drawn = resampled_scores(metric, answers.labels, predictions, sampling)
    low, high = _interval(drawn, sampling)
    table = table.assign(value=values, low=low, high=high)
    for name, depths in _compared_with(table).items():
        has, place = depths.notna(), depths.fillna(1).astype(int) - 1
        low, high = _interval(drawn - drawn[place], sampling)
        paired = {name: values - values[place], f"{name}_low": low, f"{name}_high": high}
        table = table.assign(**{column: np.where(has, of, np.nan) for column, of in paired.items()})
    return pd.concat([table, _curve(answers, metric)], ignore_index=True)


def _compared_with(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The depth of the cut that each row is compared with; NaN if there is none."""
    chosen = table["kind"] == CHOSEN
    full = pd.Series(table.loc[table["kind"] == FULL, "depth"].item(), index=table.index)
    depths = {"difference": table["depth"].where(chosen)}
    for size in (8, 32):
        # Rounding in a float's last digits is no layer.
        depths[f"difference_{size}"] = np.floor(table[BATCHES[size]] + 1e-9).where(chosen)
    return depths | {"from_full": full.where(table["kind"] != FULL)}


def _interval(drawn: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The (low, high) ends, each (sets,), from resampled values (sets, resamples)."""
    tail = (1 - sampling.confidence) / 2
    return np.quantile(drawn, [tail, 1 - tail], axis=1)


def exits_table(
    model: str,
    task: Task,
    answers: Mapping[int, DepthAnswers],
    runs: Mapping[int, RunMetrics],
    sampling: Sampling,
) -> pd.DataFrame:
    """Early exit compared with static cuts, for every run of a pair.

    Parameters
    ----------
    answers : mapping of int to DepthAnswers
        The predictions of each seed's heads.
    runs : mapping of int to RunMetrics
        The metrics of each seed's run.

    Returns
    -------
    DataFrame
        COLUMNS. Scores are fractions, depths count layers, and each seed has rows of four kinds:

        - ``static``: every example stopped at `depth`; ``full``: the whole model.
        - ``chosen``: early exit with a mean depth of at most `depth` on the examples that chose.
          `threshold` is the first half's choice, with which the second is judged, `threshold_back`
          the second's. Paired differences, each with its interval, are from the static cut at
          `depth` (difference), from the static cut with as many layers as a batch of 8 or of 32
          waits for, rounded down (difference_8, difference_32), and from the full model (from_full,
          also for static cuts).
        - ``curve``: one threshold, on all examples.

        deepest_8 and deepest_32 are NaN if a half has fewer than 8 or 32 examples.
    """
    tables = [
        exits_of_run(own, task.metric, sampling).assign(
            seed=seed, n_examples=len(own.labels), failed=runs[seed].failed
        )
        for seed, own in answers.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    table["depth"] = table["depth"].astype("Int64")
    table = table.assign(model=model, task=task.name, metric=task.metric)
    return table.reindex(columns=COLUMNS)


Rows = tuple[
    list[dict[str, Any]], list[np.ndarray]
]  # rows, and for each the depths at which examples leave


def _static(answers: DepthAnswers) -> Rows:
    """Cuts at every depth; at the last depth nothing is cut."""
    depths, examples = answers.predictions.shape
    left = [np.full(examples, depth) for depth in range(depths)]
    rows = [{"kind": STATIC, "depth": each[0] + 1, **_waits([each])} for each in left]
    rows[-1]["kind"] = FULL
    return rows, left


def _chosen(answers: DepthAnswers, metric: str) -> Rows:
    """Early exit within every budget, each half with the threshold that the other chose."""
    first, second = halve(pd.DataFrame({"place": np.arange(len(answers.labels))}))
    halves = [first["place"].to_numpy(), second["place"].to_numpy()]
    order = np.argsort(np.concatenate(halves))
    parts = [answers.part(half) for half in halves]
    rows, left = [], []
    for budget, (there, back) in enumerate(
        zip(*(choose_thresholds(part, metric) for part in parts), strict=True), start=1
    ):
        own = [exit_depths(parts[0].confidence, back), exit_depths(parts[1].confidence, there)]
        about = {"kind": CHOSEN, "depth": budget, "threshold": there, "threshold_back": back}
        rows.append(about | _waits(own))
        left.append(np.concatenate(own)[order])
    return rows, left


def _curve(answers: DepthAnswers, metric: str) -> pd.DataFrame:
    """Every threshold on all examples: only a description, since nothing is chosen."""
    grid, left, scores = _all_thresholds(answers, metric)
    waits = pd.DataFrame([_waits([each]) for each in left])
    return waits.assign(kind=CURVE, threshold=grid, value=scores)


def _all_thresholds(
    answers: DepthAnswers, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, the depths at which examples leave (thresholds, examples), and the scores."""
    grid = threshold_grid(answers.confidence)
    left = np.stack([exit_depths(answers.confidence, each) for each in grid])
    return grid, left, _scores(metric, answers.labels, answers.given(left))


def _waits(parts: Sequence[np.ndarray]) -> dict[str, float]:
    """The depth that batches of every size wait for; a batch is from one part of the examples."""
    counts = [len(part) for part in parts]
    return {
        column: float(np.average([deepest_of(part, size) for part in parts], weights=counts))
        for size, column in BATCHES.items()
    }


def _scores(metric: str, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Scores of predictions (sets, examples), on all examples."""
    return scores_in(metric, labels, predictions, np.ones((1, len(labels))))[:, 0]
