"""Training the selected layers less training as many last ones, on the same seeds and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.runs import Scoring
from strata.evaluation.metrics import bootstrap, run_metrics, score

# From so many on, the spread of seeds is estimated, and the claim is about the recipe.
MANY_SEEDS = 5
SAME = "the same layers: the selected depth is the last"
COLUMNS = (
    "top",
    "seeds",
    "metric",
    "selected",
    "last",
    "difference",
    "low",
    "high",
    "about",
    "failed",
    "n_examples",
    "note",
)


def selected_less_last(
    plan: Sequence[Mapping[str, Any]],
    predictions: Mapping[tuple[str, int], pd.DataFrame],
    scoring: Scoring,
) -> pd.DataFrame:
    """The paired difference for every number of trained layers.

    Parameters
    ----------
    plan : of ``study.plans.selection_runs``.
    predictions : (variant, seed) -> the eval examples that count, with label and prediction.

    Returns
    -------
    columns top, seeds, metric, selected and last (mean scores), difference, low, high, about (what
    the interval speaks of: "these runs", examples alone being drawn, or "the recipe", from five
    seeds on), failed (a run does not beat the baseline), n_examples, note (why there is none).
    """
    tops = sorted({run["top"] for run in plan if run["comparison"] == "selected"})
    rows = []
    for top in tops:
        pair = {
            run["comparison"]: run
            for run in plan
            if run["top"] == top and run["comparison"] in ("selected", "last")
        }
        rows.append({"top": top} | _row(pair["selected"], pair["last"], predictions, scoring))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    selected: Mapping[str, Any],
    last: Mapping[str, Any],
    predictions: Mapping[tuple[str, int], pd.DataFrame],
    scoring: Scoring,
) -> dict[str, Any]:
    metric = scoring.task.metric
    about = {"metric": metric, "n_examples": len(scoring.examples)}
    missing = selected["reason"] or last["reason"]
    if not missing and selected["variant"] == last["variant"]:
        missing = SAME
    if missing:
        return about | {"note": missing}
    seeds = sorted(seed for variant, seed in predictions if variant == selected["variant"])
    runs = {
        (side, seed): predictions[run["variant"], seed]
        for side, run in (("selected", selected), ("last", last))
        for seed in seeds
    }
    labels = runs["selected", seeds[0]]["label"].to_numpy()
    predicted = {
        f"{side} {seed}": run["prediction"].to_numpy() for (side, seed), run in runs.items()
    }
    scores = {name: score(metric, labels, each).value for name, each in predicted.items()}
    failed = any(
        run_metrics(scoring.task, labels, each, scoring.sampling).failed
        for each in predicted.values()
    )
    low, high = _interval(labels, predicted, scores, seeds, scoring)
    return about | {
        "seeds": len(seeds),
        "selected": _mean(scores, "selected", seeds),
        "last": _mean(scores, "last", seeds),
        "difference": float(np.mean(_differences(scores, seeds))),
        "low": low,
        "high": high,
        "about": "the recipe" if len(seeds) >= MANY_SEEDS else "these runs",
        "failed": failed,
        "note": "",
    }


def _mean(scores: Mapping[str, float], side: str, seeds: Sequence[int]) -> float:
    return float(np.mean([scores[f"{side} {seed}"] for seed in seeds]))


def _differences(scores: Mapping[str, float], seeds: Sequence[int]) -> np.ndarray:
    return np.array([scores[f"selected {seed}"] - scores[f"last {seed}"] for seed in seeds])


def _interval(
    labels: np.ndarray,
    predicted: dict[str, np.ndarray],
    scores: Mapping[str, float],
    seeds: Sequence[int],
    scoring: Scoring,
) -> tuple[float, float]:
    """Of the mean difference over seeds: the same examples are drawn for all runs."""
    low, high = bootstrap(
        scoring.task.metric,
        labels,
        predicted,
        lambda drawn: float(_differences(drawn, seeds).mean()),
        scoring.sampling,
    )
    if len(seeds) < MANY_SEEDS:
        return low, high
    from scipy.stats import norm, t

    tail = (1 + scoring.sampling.confidence) / 2
    of_examples = (high - low) / (2 * norm.ppf(tail))
    differences = _differences(scores, seeds)
    of_seeds = differences.std(ddof=1) / np.sqrt(len(seeds))
    half = t.ppf(tail, len(seeds) - 1) * np.hypot(of_seeds, of_examples)
    return float(differences.mean() - half), float(differences.mean() + half)
