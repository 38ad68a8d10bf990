"""The answer: how far a model can be cut, in three numbers that are never mixed up.

- **Within** the tolerance: the smallest depth such that neither it nor any depth above loses more,
  in the mean of these runs on these examples. A description: chosen and scored on the same
  examples, so it is biased upwards.
- **Cross-fitted**: what that choice loses on examples that did not choose.
- **Certified**: the smallest depth such that its loss, and that of every depth above it, is below
  the tolerance with the requested confidence.

Layers above a depth that is not certified are not necessarily needed: the depth *loses more*, or it
*cannot be told*. TUNED heads train longer than the model that they are compared with, so TUNED is
certified against the full model and against TUNED at depth L, and loses more than the latter if
that is the better of the two beyond its interval.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from strata.analysis.depth_bounds import (
    Answers,
    Bounds,
    cross_fitted,
    examples_needed,
    fixed_sequence,
    full_scores,
    mean_bounds,
    smallest_within,
)
from strata.evaluation.resampling import interval
from strata.study.architectures import ARCHITECTURES, layer_count, read_config
from strata.study.run_records import RunMetrics
from strata.study.settings import Sampling, SummarySettings

COLUMNS = [
    "model", "task", "configuration", "metric", "n_examples", "seeds", "failed_seeds",
    "baseline", "full", "full_low", "full_high", "full_all_runs", "layers", "parameters",
    "within_depth", "within_value", "within_difference", "within_low", "within_high",
    "within_parameters_saved", "crossfit_difference", "crossfit_low", "crossfit_high",
    "certified_depth", "certified_value", "certified_difference", "certified_bound",
    "certified_parameters_saved", "claim", "next_verdict", "next_difference", "next_low",
    "next_high", "next_examples", "top_difference", "top_low", "top_high", "undertrained", "note",
]  # fmt: skip
VERDICT_COLUMNS = [
    "model", "task", "configuration", "depth", "metric", "value", "value_all_runs", "difference",
    "difference_low", "difference_high", "lower_bound", "upper_bound", "difference_from_top",
    "lower_bound_from_top", "upper_bound_from_top", "verdict", "changed", "examples_needed",
    "parameters", "claim", "n_examples", "seeds",
]  # fmt: skip
CONFIGURATIONS = ("untuned", "tuned")
# Layer names in weight files, which for some types differ from module names.
LAYER = re.compile(r"(?:^|\.)(?:layers?|h)\.(\d+)\.")
CERTIFIED, LOSES_MORE, CANNOT_BE_TOLD = "certified", "loses more", "cannot be told"
NOTHING_CUT = "nothing cut"  # the verdict on depth L


def smallest_depth(scores: Mapping[int, float], full: float, tolerance: float) -> int:
    """The smallest depth k such that every depth from k to L stays within `tolerance` of `full`.

    Parameters
    ----------
    scores : mapping of int to float
        The score at each depth 1..L.
    full : float
        The full model's score; depth L always counts as within.
    """
    return smallest_within(np.array([scores[k] for k in sorted(scores)]) - full, tolerance)


def certified_depth(
    differences: np.ndarray,
    tolerance: float,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> int:
    """The certified depth, for a metric that is a mean over examples.

    Parameters
    ----------
    differences : ndarray of shape (seeds, depths, examples)
        Each example's score with the model cut to depths 1..L minus its score with the full model
        (-1 to 1); depth L is the last.
    tolerance : float
        The largest loss allowed, a fraction.
    seed : int, default 0
        Draws the bootstrap samples of the examples.

    Returns
    -------
    int
        The smallest certified depth; L if depth L - 1 is not certified. With fewer than five seeds
        the claim is about these runs, else about the recipe; it is wrong in at most a share 1 -
        `confidence` of cases.
    """
    sampling = Sampling(resamples, confidence)
    return fixed_sequence([mean_bounds(np.asarray(differences), sampling, seed).low], tolerance)


@dataclass(frozen=True)
class Evidence:
    """What is known about a model's runs on a task.

    Attributes
    ----------
    predictions : mapping of tuple of str and int to DataFrame
        Prediction tables of one configuration each, by configuration and seed.
    metrics : mapping of int to RunMetrics
        The metrics of each seed's run.
    checkpoint : path-like
        A run's model folder, from which the size is read.
    """

    predictions: Mapping[tuple[str, int], pd.DataFrame]
    metrics: Mapping[int, RunMetrics]
    checkpoint: str | Path

    @property
    def good(self) -> list[int]:
        """Seeds of the runs that did not fail; the others are left out of the answer."""
        return [seed for seed, run in self.metrics.items() if not run.failed]

    @property
    def configurations(self) -> list[str]:
        """UNTUNED and, if there was something to tune on, TUNED."""
        return [name for name in CONFIGURATIONS if any(of == name for of, _ in self.predictions)]

    @property
    def metric(self) -> str:
        return next(iter(self.metrics.values())).metric

    @property
    def labels(self) -> np.ndarray:
        """The examples' labels, (examples,)."""
        table = next(iter(self.predictions.values()))
        return table.loc[table["depth"] == table["depth"].max(), "label"].to_numpy()

    def answers(self, configuration: str, seeds: Sequence[int] | None = None) -> np.ndarray:
        """Predictions, by default of the good seeds, (seeds, depths 1..L, examples)."""
        seeds = self.good if seeds is None else seeds
        tables = [self.predictions[configuration, seed] for seed in seeds]
        return np.stack(
            [
                np.stack([each["prediction"] for _, each in table.groupby("depth")])
                for table in tables
            ]
        )


@dataclass(frozen=True)
class Comparison:
    """One configuration's depths, compared with the full model and with its own depth L.

    Attributes
    ----------
    values, values_all_runs : ndarray
        Mean scores, (depths,), without and with runs that failed.
    full, top : Bounds
        Bounds of (cut - full model), and of (cut - this configuration at depth L).
    changed : ndarray
        Share of predictions that differ from the full model's, (depths,).
    undertrained : bool
        Whether the tuned head at depth L beats the full model, beyond its interval.
    crossfit : tuple of float, float and float
        The cross-fitted loss and its interval.
    full_interval : tuple of float and float
        The interval of the full model's mean score.
    """

    values: np.ndarray
    values_all_runs: np.ndarray
    full: Bounds
    top: Bounds
    changed: np.ndarray
    undertrained: bool
    crossfit: tuple[float, float, float]
    full_interval: tuple[float, float]
    tolerance: float
    n_examples: int

    @property
    def certified(self) -> int:
        return fixed_sequence([self.full.low, self.top.low], self.tolerance)

    @property
    def within(self) -> int:
        return smallest_within(self.full.difference, self.tolerance)

    @property
    def verdicts(self) -> list[str]:
        """The verdicts on depths 1..L."""
        high = (self.top if self.undertrained else self.full).high
        more = np.where(high < -self.tolerance, LOSES_MORE, CANNOT_BE_TOLD)
        depths = np.arange(1, len(high) + 1)
        found = np.where(depths >= self.certified, CERTIFIED, more)
        return [*found[:-1].tolist(), NOTHING_CUT]

    @property
    def examples_needed(self) -> np.ndarray:
        """About how many examples would certify each depth if it lost nothing, (depths,)."""
        return examples_needed(self.full.error, self.n_examples, self.tolerance)


def compare(configuration: str, evidence: Evidence, settings: SummarySettings) -> Comparison:
    """Compare UNTUNED or TUNED at every depth with the full model, over the good seeds."""
    metric, labels = evidence.metric, evidence.labels
    whole = evidence.answers("untuned")[:, -1:]
    every = evidence.answers(configuration, list(evidence.metrics))
    predictions = evidence.answers(configuration)
    cut, full = (Answers.of(metric, labels, p, settings) for p in (predictions, whole))
    last = cut.at(slice(-1, None))
    against_full = cut.less(full, settings.confidence)
    top_low, _ = interval(against_full.drawn[-1], settings.confidence)
    value, chosen = cross_fitted(metric, labels, predictions, whole, settings.tolerance)
    # With the choice fixed, resampling gives the loss's uncertainty.
    drawn = chosen @ against_full.drawn
    low, high = interval(drawn - drawn.mean() + value, settings.confidence)
    return Comparison(
        values=cut.scores.mean(0),
        values_all_runs=full_scores(metric, labels, every).mean(0),
        full=against_full,
        top=cut.less(last, settings.confidence),
        changed=(predictions != whole).mean((0, 2)),
        undertrained=configuration != "untuned" and top_low > 0,
        crossfit=(value, low, high),
        full_interval=interval(full.drawn.mean((0, 1)), settings.confidence),
        tolerance=settings.tolerance,
        n_examples=len(labels),
    )


def summarise(
    model: str, task: str, evidence: Evidence, settings: SummarySettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How far a model can be cut on a task: the answers, and the verdict on every depth.

    Returns
    -------
    tuple of DataFrame and DataFrame
        One row per configuration (COLUMNS), and one row per configuration and depth
        (VERDICT_COLUMNS; none if every run failed).
    """
    good, metrics = evidence.good, evidence.metrics
    any_run = next(iter(metrics.values()))
    common = {
        "model": model,
        "task": task,
        "metric": any_run.metric,
        "n_examples": any_run.n_examples,
        "seeds": _listed(good),
        "failed_seeds": _listed([seed for seed in metrics if seed not in good]),
        "baseline": any_run.baseline,
        "full_all_runs": float(np.mean([run.score for run in metrics.values()])),
        "layers": layer_count(read_config(evidence.checkpoint)),
        "parameters": parameter_count(evidence.checkpoint),
        "claim": settings.about(len(good)),
    }
    rows, verdicts = [], []
    for configuration in evidence.configurations:
        row: dict[str, Any] = {**common, "configuration": configuration, "note": ""}
        if good:
            found = compare(configuration, evidence, settings)
            row |= _answer(found, evidence, settings)
            judged = _verdicts(found, settings.confidence).assign(**row)
            sizes = [parameter_count(evidence.checkpoint, depth) for depth in judged["depth"]]
            verdicts.append(judged.assign(parameters=sizes))
        else:
            row |= {"note": "every run failed: no score beats the baseline", "claim": ""}
        rows.append(row)
    every_depth = pd.concat(verdicts) if verdicts else pd.DataFrame()
    return (
        pd.DataFrame(rows).reindex(columns=COLUMNS),
        every_depth.reindex(columns=VERDICT_COLUMNS).reset_index(drop=True),
    )


def _verdicts(found: Comparison, confidence: float) -> pd.DataFrame:
    tail = (1 - confidence) / 2
    low, high = np.quantile(found.full.drawn, [tail, 1 - tail], axis=1)
    return pd.DataFrame(
        {
            "depth": np.arange(1, len(found.values) + 1),
            "value": found.values,
            "value_all_runs": found.values_all_runs,
            "difference": found.full.difference,
            "difference_low": low,
            "difference_high": high,
            "lower_bound": found.full.low,
            "upper_bound": found.full.high,
            "difference_from_top": found.top.difference,
            "lower_bound_from_top": found.top.low,
            "upper_bound_from_top": found.top.high,
            "verdict": found.verdicts,
            "changed": found.changed,
            "examples_needed": found.examples_needed,
        }
    )


def _answer(found: Comparison, evidence: Evidence, settings: SummarySettings) -> dict[str, Any]:
    scores = [evidence.metrics[seed].score for seed in evidence.good]
    table = _verdicts(found, settings.confidence).set_index("depth")
    within, certified, layers = table.loc[found.within], table.loc[found.certified], len(table)
    top = table.loc[layers]
    answer = {
        "full": float(np.mean(scores)),
        "full_low": found.full_interval[0],
        "full_high": found.full_interval[1],
        "within_depth": found.within,
        "within_value": within["value"],
        "within_difference": within["difference"],
        "within_low": within["difference_low"],
        "within_high": within["difference_high"],
        "within_parameters_saved": _saved(evidence.checkpoint, found.within),
        "crossfit_difference": found.crossfit[0],
        "crossfit_low": found.crossfit[1],
        "crossfit_high": found.crossfit[2],
        "certified_depth": found.certified,
        "certified_value": certified["value"],
        "certified_difference": certified["difference"],
        "certified_bound": min(certified["lower_bound"], certified["lower_bound_from_top"])
        if found.certified < layers
        else None,
        "certified_parameters_saved": _saved(evidence.checkpoint, found.certified),
        "top_difference": top["difference"],
        "top_low": top["difference_low"],
        "top_high": top["difference_high"],
        "undertrained": found.undertrained,
    }
    if found.certified > 1:
        after = table.loc[found.certified - 1]
        answer |= {
            "next_verdict": after["verdict"],
            "next_difference": after["difference"],
            "next_low": after["difference_low"],
            "next_high": after["difference_high"],
            "next_examples": after["examples_needed"],
        }
    if ARCHITECTURES[read_config(evidence.checkpoint)["model_type"]].shares_layers:
        answer["note"] = "layers share weights: saves layers and time, no parameters"
    return answer


def _saved(checkpoint: str | Path, depth: int) -> int:
    return parameter_count(checkpoint) - parameter_count(checkpoint, depth)


def parameter_count(checkpoint: str | Path, depth: int | None = None) -> int:
    """Parameters of a model folder's weights, or of those left when cut to `depth` layers."""
    row, count = ARCHITECTURES[read_config(checkpoint)["model_type"]], 0
    for file in sorted(Path(checkpoint).glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no dict)
                layer = None if row.shares_layers else LAYER.search(name)
                if depth is None or layer is None or int(layer[1]) < depth:
                    count += int(np.prod(tensors.get_slice(name).get_shape()))
    return count


def _listed(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))
