"""Early exit, from stored logits alone: each example leaves at the first depth that is sure of it.

A threshold is chosen on one half of the examples and judged on the other, and back; beside it
stands the static cut, which stops every example at one depth. The heads are TUNED's (at each depth
the better of its two recipes), and the full model's own at the last depth. What a batch waits for
is its deepest example: that depth's expectation is exact, over all batches that can be drawn.
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
# What a batch of so many examples waits for -> its column.
BATCHES = {1: "mean_depth", 8: "deepest_8", 32: "deepest_32"}
AT_ONCE, NEVER = 0.0, 1.0  # thresholds that the first depth always passes, and none but the last
SHARES = np.linspace(0, 1, 201)  # of confidences, whose quantiles are thresholds
COMPARED = ("difference", "difference_8", "difference_32", "from_full")
COLUMNS = [
    "model", "task", "seed", "kind", "depth", "threshold", "threshold_back", "metric", "value",
    "low", "high", *BATCHES.values(),
    *(f"{name}{end}" for name in COMPARED for end in ("", "_low", "_high")), "n_examples", "failed",
]  # fmt: skip


@dataclass(frozen=True)
class DepthAnswers:
    """What the heads of one run answer, the full model's own at the last depth.

    Attributes
    ----------
    labels : [examples]
    predictions : [depths, examples]
    confidence : [depths, examples], the largest probability.
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
        """Of some examples, by their places."""
        return type(self)(
            self.labels[examples], self.predictions[:, examples], self.confidence[:, examples]
        )

    def given(self, left: np.ndarray) -> np.ndarray:
        """The answers of examples that leave at these depths, counted from 0; [..., examples]."""
        return self.predictions[left, np.arange(left.shape[-1])]


def exit_depths(confidence: np.ndarray, threshold: float) -> np.ndarray:
    """The depth at which each example leaves, counted from 0.

    Parameters
    ----------
    confidence : [depths, examples]
    threshold : what a confidence must exceed; the last depth takes all the rest.

    Returns
    -------
    [examples]
    """
    sure = confidence > threshold
    sure[-1] = True
    return sure.argmax(0)


def deepest_of(left: np.ndarray, size: int) -> float:
    """The expected depth of the deepest example of a random batch, drawn without replacement.

    Parameters
    ----------
    left : [examples], depths counted from 0.
    size : examples a batch; with 1 this is the mean depth.

    Returns
    -------
    layers run, so counted from 1; NaN where there are fewer examples than that.
    """
    if len(left) < size:
        return float("nan")
    # Of the examples that leave at each depth or before, a batch draws its first, its second, ...
    before = np.cumsum(np.bincount(left))[:, None]
    drawn = np.arange(size)
    within = np.prod((before - drawn) / (len(left) - drawn), axis=1)
    return float(1 + (1 - within).sum())


def threshold_grid(confidence: np.ndarray) -> np.ndarray:
    """Thresholds from "at once" to "never", at quantiles of the confidences, ascending."""
    return np.unique([AT_ONCE, *np.quantile(confidence, SHARES), NEVER])


def choose_thresholds(answers: DepthAnswers, metric: str) -> np.ndarray:
    """For every budget, the threshold with the best score among those that keep to it.

    Of equal scores the lowest threshold, with which examples leave first.

    Returns
    -------
    [depths - 1]: for a mean depth of at most 1, 2, … layers.
    """
    grid, left, scores = _all_thresholds(answers, metric)
    budgets = np.arange(1, len(answers.predictions))[:, None]
    kept = np.where(left.mean(1) + 1 <= budgets, scores, -np.inf)
    return grid[kept.argmax(1)]


def exits_of_run(answers: DepthAnswers, metric: str, sampling: Sampling) -> pd.DataFrame:
    """Static cuts, the full model, chosen thresholds and the whole curve of one run.

    Returns
    -------
    columns of ``exits_table``, without model, task, seed, metric, n_examples and failed.
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
    """The depth of the cut that each row is compared with; NaN where there is none to compare."""
    chosen = table["kind"] == CHOSEN
    full = pd.Series(table.loc[table["kind"] == FULL, "depth"].item(), index=table.index)
    depths = {"difference": table["depth"].where(chosen)}
    for size in (8, 32):
        # The last digits of a float are no layer.
        depths[f"difference_{size}"] = np.floor(table[BATCHES[size]] + 1e-9).where(chosen)
    return depths | {"from_full": full.where(table["kind"] != FULL)}


def _interval(drawn: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Of resampled values [sets, resamples], (low, high), each [sets]."""
    tail = (1 - sampling.confidence) / 2
    return np.quantile(drawn, [tail, 1 - tail], axis=1)


def exits_table(
    model: str,
    task: Task,
    answers: Mapping[int, DepthAnswers],
    runs: Mapping[int, RunMetrics],
    sampling: Sampling,
) -> pd.DataFrame:
    """Early exit beside static cuts, of every run of a pair.

    Parameters
    ----------
    answers : seed -> what its heads answer.
    runs : seed -> metrics.json.

    Returns
    -------
    COLUMNS. Scores are fractions, depths layers, and each seed has rows of four kinds:

    - ``static``: every example stopped at `depth`; ``full``: the whole model.
    - ``chosen``: early exit with a mean depth of at most `depth` on the examples that chose.
      `threshold` is the first half's choice, with which the second is judged, `threshold_back` the
      second's. Paired differences, each with its interval, are from the static cut at `depth`
      (difference), from that with as many layers as a batch of 8 or of 32 waits for, rounded down
      (difference_8, difference_32), and from the full model (from_full, of static cuts too).
    - ``curve``: one threshold, on all examples.

    deepest_8 and deepest_32 are NaN where a half has fewer examples than that.
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


Rows = tuple[list[dict[str, Any]], list[np.ndarray]]  # and at which depths examples leave, each


def _static(answers: DepthAnswers) -> Rows:
    """Cuts at every depth, of which the last is none."""
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
    """Every threshold on all examples: a description, since nothing is chosen."""
    grid, left, scores = _all_thresholds(answers, metric)
    waits = pd.DataFrame([_waits([each]) for each in left])
    return waits.assign(kind=CURVE, threshold=grid, value=scores)


def _all_thresholds(
    answers: DepthAnswers, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, at which depths examples leave, [thresholds, examples], and what that scores."""
    grid = threshold_grid(answers.confidence)
    left = np.stack([exit_depths(answers.confidence, each) for each in grid])
    return grid, left, _scores(metric, answers.labels, answers.given(left))


def _waits(parts: Sequence[np.ndarray]) -> dict[str, float]:
    """What batches of every size wait for; a batch is of one part of the examples."""
    counts = [len(part) for part in parts]
    return {
        column: float(np.average([deepest_of(part, size) for part in parts], weights=counts))
        for size, column in BATCHES.items()
    }


def _scores(metric: str, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """On all examples, of predictions [sets, examples]."""
    return scores_in(metric, labels, predictions, np.ones((1, len(labels))))[:, 0]
