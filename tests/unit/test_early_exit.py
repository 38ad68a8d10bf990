"""Early exit on constructed logits: who leaves where, what a batch waits for, who chooses."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from helpers import tiny
from strata.analysis.early_exit import (
    COLUMNS,
    DepthAnswers,
    choose_thresholds,
    deepest_of,
    exit_depths,
    exits_of_run,
    exits_table,
    threshold_grid,
)
from strata.data.parts import halve
from strata.evaluation.predictions import prediction_table
from strata.study.settings import Sampling

SAMPLING = Sampling(200, 0.95)


def made(right, confidence) -> DepthAnswers:
    """Answers (depths, examples) that are right or wrong, with the given confidence."""
    right = np.asarray(right, dtype=bool)
    labels = np.arange(right.shape[1]) % 2
    confidence = np.asarray(confidence, dtype=float)
    return DepthAnswers(labels, np.where(right, labels, 1 - labels), confidence)


def simulated(informative, examples=3000, seed=0) -> DepthAnswers:
    """Four depths that are right in 60, 70, 80 and 90 %; confident if right, or at random."""
    rng = np.random.default_rng(seed)
    right = rng.random((4, examples)) < np.array([[0.6], [0.7], [0.8], [0.9]])
    confidence = rng.uniform(0.5, 1, size=right.shape)
    if informative:
        confidence = np.where(right, confidence / 2 + 0.5, confidence)
    return made(right, confidence)


def rows_of(answers, kind, sampling=SAMPLING) -> pd.DataFrame:
    table = exits_of_run(answers, "accuracy", sampling)
    return table[table["kind"] == kind].reset_index(drop=True)


# ---------------------------------------------------------------- who leaves where


def test_an_example_leaves_at_the_first_depth_that_is_surer_than_the_threshold():
    confidence = np.array([[0.9, 0.6, 0.7, 0.5], [0.5, 0.8, 0.7, 0.6], [0.5, 0.9, 0.6, 0.6]])
    assert exit_depths(confidence, 0.7).tolist() == [0, 1, 2, 2]  # 0.7 itself does not exceed it
    assert exit_depths(confidence, 0.65).tolist() == [0, 1, 0, 2]
    assert exit_depths(confidence, 0.0).tolist() == [0, 0, 0, 0]
    assert exit_depths(confidence, 1.0).tolist() == [2, 2, 2, 2]
    certain = np.ones((3, 2))
    assert exit_depths(certain, 1.0).tolist() == [2, 2]


def test_thresholds_go_from_at_once_to_never():
    confidence = np.random.default_rng(0).uniform(0.5, 1, size=(3, 50))
    grid = threshold_grid(confidence)
    assert (np.diff(grid) > 0).all() and len(grid) > 100
    means = [exit_depths(confidence, each).mean() for each in grid]
    assert means[0] == 0 and means[-1] == 2 and (np.diff(means) >= 0).all()


@pytest.mark.parametrize("size", (1, 2, 3, 7))
def test_what_a_batch_waits_for_is_the_mean_over_all_batches(size):
    left = np.array([0, 3, 1, 1, 0, 2, 0])
    every = [max(left[list(batch)]) + 1 for batch in combinations(range(len(left)), size)]
    assert deepest_of(left, size) == pytest.approx(np.mean(every))


def test_larger_batches_wait_longer_and_none_is_larger_than_there_are_examples():
    left = np.random.default_rng(0).integers(6, size=40)
    waits = [deepest_of(left, size) for size in (1, 8, 32, 40)]
    assert waits[0] == pytest.approx(left.mean() + 1)
    assert (np.diff(waits) >= 0).all() and waits[-1] == left.max() + 1
    assert np.isnan(deepest_of(left, 41))
    assert deepest_of(np.full(40, 2), 32) == 3


# ---------------------------------------------------------------- from prediction tables


@pytest.mark.parametrize("kind", ("classification", "multiple-choice"))
def test_heads_are_the_better_tuned_ones_and_the_full_models_own(kind):
    """Confidence is the largest probability: of a class, or of a choice among its example's."""
    task, rng = tiny.task(kind), np.random.default_rng(0)
    answers = 3 if kind == "multiple-choice" else 2
    examples = pd.DataFrame({"example_id": [7, 2, 9], "label": [0, 1, 1]})
    tables, logits = [], {}
    for name in ("tuned", "tuned-best", "untuned"):
        logits[name] = rng.normal(size=(3, 3, answers)).astype(np.float32)
        rows = torch.from_numpy(logits[name])
        rows = rows.reshape(3, -1, 1) if kind == "multiple-choice" else rows
        tables.append(prediction_table(examples, rows, [1, 2, 3], name, task))
    tuned = pd.concat(tables[:2]).sample(frac=1, random_state=0)  # in any order
    found = DepthAnswers.of(tuned, tables[2])
    expected = np.concatenate([logits["tuned-best"][:2], logits["untuned"][2:]])
    np.testing.assert_allclose(found.confidence, softmax(expected, axis=-1).max(-1), rtol=1e-5)
    np.testing.assert_array_equal(found.predictions, expected.argmax(-1))
    assert found.labels.tolist() == [0, 1, 1]


# ---------------------------------------------------------------- chosen, and judged


def test_the_best_threshold_within_a_budget_is_chosen():
    """Half of the examples are sure and right at depth 1, the others right from depth 2 on."""
    right = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    answers = made(right, [[0.9, 0.9, 0.6, 0.6], [0.95] * 4, [0.95] * 4])
    one, two = choose_thresholds(answers, "accuracy")
    assert exit_depths(answers.confidence, one).tolist() == [0, 0, 0, 0]
    # Half of the examples at depth 2 score as well as all of them, and leave sooner.
    assert exit_depths(answers.confidence, two).tolist() == [0, 0, 1, 1]


def test_no_half_is_judged_with_what_it_chose():
    """Each half's own choice would answer all of it rightly; the other's answers all wrongly."""
    count = 20
    first, second = halve(pd.DataFrame({"place": range(count)}))
    right = np.zeros((3, count))
    right[0, first["place"]], right[1, second["place"]] = 1, 1
    answers = made(right, np.repeat([[0.6], [0.9], [0.95]], count, axis=1))
    for half, depth in ((first, 0), (second, 1)):
        own = answers.part(half["place"].to_numpy())
        chosen = choose_thresholds(own, "accuracy")[1]
        assert (exit_depths(own.confidence, chosen) == depth).all()
    _, row = (row for _, row in rows_of(answers, "chosen").iterrows())
    assert row["depth"] == 2 and row["value"] == 0 and row["mean_depth"] == 1.5
    assert row["threshold"] < 0.6 <= row["threshold_back"] < 0.9


def test_confidence_that_says_nothing_gains_nothing_over_a_static_cut():
    chosen = rows_of(simulated(informative=False), "chosen")
    assert chosen["depth"].tolist() == [1, 2, 3]
    assert (chosen["difference"] < 0.01).all() and (chosen["difference_low"] < 0).sum() == 2
    assert (chosen["mean_depth"] < chosen["depth"] + 0.05).all()


def test_confidence_that_tells_gains_one_at_a_time_and_loses_it_in_batches():
    chosen = rows_of(simulated(informative=True), "chosen").set_index("depth")
    for depth in (2, 3):
        assert chosen.loc[depth, "difference_low"] > 0 and chosen.loc[depth, "mean_depth"] < depth
        assert chosen.loc[depth, "deepest_8"] > 3.5 and chosen.loc[depth, "deepest_32"] > 3.9
    # A batch of 32 waits for all four layers, and these score more.
    assert chosen.loc[3, "deepest_32"] == pytest.approx(4, abs=1e-9)
    assert chosen.loc[3, "difference_32_high"] < 0


def test_rows_of_a_run_agree_with_each_other():
    answers = simulated(informative=True, examples=400)
    table = exits_of_run(answers, "accuracy", SAMPLING)
    static, full, chosen, curve = (
        table[table["kind"] == kind].reset_index() for kind in ("static", "full", "chosen", "curve")
    )
    scores = (answers.predictions == answers.labels).mean(1)
    np.testing.assert_allclose([*static["value"], *full["value"]], scores)
    for column in ("mean_depth", "deepest_8", "deepest_32"):
        assert static[column].tolist() == [1, 2, 3] and full[column].tolist() == [4]
    np.testing.assert_allclose(chosen["difference"], chosen["value"] - scores[:3])
    np.testing.assert_allclose(static["from_full"], scores[:3] - scores[3])
    waited = np.floor(chosen["deepest_8"]).astype(int) - 1
    np.testing.assert_allclose(chosen["difference_8"], chosen["value"] - scores[waited])
    for name in ("difference", "difference_8", "difference_32", "from_full"):
        assert chosen[name].between(chosen[f"{name}_low"], chosen[f"{name}_high"]).all()
        assert full[name].isna().all() and curve[name].isna().all()
    assert static["difference"].isna().all()
    # At budget 1 both stop everything at depth 1.
    assert chosen.loc[0, ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    assert curve["value"].iloc[[0, -1]].tolist() == [scores[0], scores[-1]]
    assert curve["mean_depth"].iloc[[0, -1]].tolist() == [1, 4]
    assert (
        curve["threshold"].is_monotonic_increasing and curve["mean_depth"].is_monotonic_increasing
    )


def test_halves_without_enough_examples_have_no_batch_of_32():
    chosen = rows_of(simulated(informative=True, examples=40), "chosen")
    assert chosen["deepest_8"].notna().all() and chosen["difference_8"].notna().all()
    assert chosen["deepest_32"].isna().all() and chosen["difference_32"].isna().all()


def test_a_model_of_one_layer_has_nothing_to_leave():
    table = exits_of_run(made(np.ones((1, 10)), np.full((1, 10), 0.8)), "accuracy", SAMPLING)
    assert set(table["kind"]) == {"full", "curve"} and (table["mean_depth"] == 1).all()


def test_a_table_has_every_run_and_flags_those_that_failed():
    runs = {1: tiny.metrics(failed=True), 2: tiny.metrics()}
    answers = {seed: simulated(True, examples=100, seed=seed) for seed in runs}
    table = exits_table("bert", tiny.task(), answers, runs, SAMPLING)
    assert table.columns.tolist() == COLUMNS
    assert set(zip(table["seed"], table["failed"], strict=True)) == {(1, True), (2, False)}
    assert (table["n_examples"] == 100).all() and set(table["metric"]) == {"accuracy"}
    kinds = table[table["seed"] == 2]["kind"].value_counts()
    assert kinds[["static", "full", "chosen"]].tolist() == [3, 1, 3]
    assert table.loc[table["kind"] == "curve", "depth"].isna().all()
    again = exits_table("bert", tiny.task(), answers, runs, SAMPLING)
    pd.testing.assert_frame_equal(table, again)
