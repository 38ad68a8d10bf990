"""Training the selected layers minus training as many last ones, on the same seeds and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.depth_bounds import Answers
from strata.analysis.runs import Scoring
from strata.evaluation.metrics import run_metrics

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
    plan : sequence of mapping of str to object
        The plan from ``study.plans.selection_runs``.
    predictions : mapping of tuple of str and int to DataFrame
        The eval examples that count, with label and prediction, by variant and seed.

    Returns
    -------
    DataFrame
        Columns top, seeds, metric, selected and last (mean scores), difference, low, high, about
        (what the interval speaks of: "these runs", with only examples resampled, or "the recipe",
        with five seeds or more), failed (a run does not beat the baseline), n_examples, note (why
        there is no difference).
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
    labels = predictions[selected["variant"], seeds[0]]["label"].to_numpy()
    answers = {
        side: np.stack([predictions[run["variant"], seed]["prediction"] for seed in seeds])
        for side, run in (("selected", selected), ("last", last))
    }
    failed = any(
        run_metrics(scoring.task, labels, each, scoring.sampling).failed
        for side in answers.values()
        for each in side
    )
    scored = {
        side: Answers.of(metric, labels, each[:, None], scoring.sampling)
        for side, each in answers.items()
    }
    # Two one-sided bounds make a two-sided interval.
    tail = (1 + scoring.sampling.confidence) / 2
    gain = scored["selected"].less(scored["last"], tail)
    loss = scored["last"].less(scored["selected"], tail)
    return about | {
        "seeds": len(seeds),
        "selected": float(scored["selected"].scores.mean()),
        "last": float(scored["last"].scores.mean()),
        "difference": float(gain.difference[0]),
        "low": float(gain.low[0]),
        "high": -float(loss.low[0]),
        "about": scoring.sampling.about(len(seeds)),
        "failed": failed,
        "note": "",
    }
