"""Selected minus last layers: paired over seeds and examples."""

import numpy as np
import pandas as pd
import pytest

from helpers import tiny
from strata.analysis.paired import selected_less_last
from strata.analysis.runs import Scoring
from strata.study.plans import selection_variants
from strata.study.settings import Sampling

N = 400


def scoring():
    return Scoring(tiny.task(), pd.DataFrame({"example_id": range(N)}), Sampling(200, 0.95))


def runs(plan, seeds, right):
    """Predictions of every run, right as often as `right(variant, seed)` says, on like examples."""
    labels = np.arange(N) % 2
    hard = np.random.default_rng(0).random(N)  # the same examples are hard for every run
    found = {}
    for variant in {run["variant"] for run in plan if run["variant"]}:
        for seed in seeds:
            own = hard + 0.05 * np.random.default_rng(seed).standard_normal(N)
            wrong = own > np.quantile(own, right(variant, seed))
            found[variant, seed] = pd.DataFrame(
                {"label": labels, "prediction": np.where(wrong, 1 - labels, labels)}
            )
    return found


def test_the_difference_is_that_of_the_mean_scores_and_pairing_narrows_it():
    plan = selection_variants(3, 6, [1, 2], False)
    found = runs(plan, (1, 2), lambda variant, seed: 0.8 if variant.startswith("head3") else 0.9)
    table = selected_less_last(plan, found, scoring())
    assert table["top"].tolist() == [1, 2] and (table["seeds"] == 2).all()
    assert table["difference"].to_numpy() == pytest.approx([-0.1, -0.1], abs=1e-3)
    assert table["selected"].to_numpy() == pytest.approx([0.8, 0.8], abs=1e-3)
    unpaired = 1.96 * np.sqrt((0.8 * 0.2 + 0.9 * 0.1) / N / 2) * 2
    assert (table["high"] - table["low"] < 2 * unpaired).all()
    assert (table["high"] < 0).all() and (table["about"] == "these runs").all()
    assert not table["failed"].any()


def test_the_same_layers_have_no_difference_and_say_so():
    plan = selection_variants(6, 6, [1], False)
    row = selected_less_last(plan, runs(plan, (1,), lambda *_: 0.9), scoring()).iloc[0]
    assert row["note"] == "the same layers: the selected depth is the last"
    assert pd.isna(row[["difference", "low", "high"]]).all()


def test_what_has_no_run_says_why():
    plan = selection_variants(1, 6, [2], False)
    row = selected_less_last(plan, runs(plan, (1,), lambda *_: 0.9), scoring()).iloc[0]
    assert row["note"] == "depth 1 has fewer than 2 layers"


def test_from_five_seeds_on_the_interval_knows_that_seeds_differ():
    plan = selection_variants(3, 6, [1], False)

    def right(variant, seed):
        return 0.8 + 0.03 * (seed % 3 - 1) if variant.startswith("head3") else 0.8

    few, many = (
        selected_less_last(plan, runs(plan, range(1, 1 + seeds), right), scoring()).iloc[0]
        for seeds in (4, 6)
    )
    assert few["about"] == "these runs" and many["about"] == "the recipe"
    assert many["high"] - many["low"] > few["high"] - few["low"]
    differences = np.array([0.03 * (seed % 3 - 1) for seed in range(1, 7)])
    assert many["high"] - many["low"] > 2 * 2.57 * differences.std(ddof=1) / np.sqrt(6) * 0.99


def test_a_run_that_beats_no_baseline_is_flagged():
    plan = selection_variants(3, 6, [1], False)
    found = runs(plan, (1,), lambda variant, seed: 0.5 if variant == "head3top1" else 0.9)
    assert selected_less_last(plan, found, scoring())["failed"].item()
