"""The claims of Xie et al. (2022) on studies made by hand: each holds, fails, cannot be told."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from helpers.companion_claims import BASELINE, FULL, Scores, judged, verdict
from strata.analysis.claims import ABSENT, FAILS, HOLDS, UNTOLD
from strata.analysis.claims_xie import (
    MEASURES,
    MEMORY_SAVED,
    SELECTED_LESS_LAST,
    SHARE_OF_EPOCH,
    TIME_SAVED,
    cost_ratio,
)


def one(key, score=lambda variant: None, **more):
    return verdict(judged({"t": Scores(score, reinit=None, **more)}, key, "roberta"), key)


def scored(**scores):
    """Scores of variants by their strings."""
    return lambda variant: scores.get(str(variant))


@pytest.mark.parametrize(
    ("gains", "n", "expected"),
    [((0.1, 0.05), 2000, HOLDS), ((-0.1, 0.02), 2000, FAILS), ((0.02, -0.01), 100, UNTOLD)],
)
def test_x1_selected_layers_beat_as_many_last_ones(gains, n, expected):
    one_layer, two_layers = (0.7 + gain for gain in gains)
    last = {"head6top1": 0.7, "head6top2": 0.7}
    found = one("X1", scored(head4top1=one_layer, head4top2=two_layers, **last), n=n)
    assert found.verdict == expected and found.reading.note == "layers trained: 1, 2"
    assert found.reading.value == pytest.approx(np.mean(gains), abs=0.006)


def test_x1_where_the_last_depth_is_selected_there_is_nothing_to_compare():
    found = one("X1", selected=6)
    assert found.verdict == ABSENT and "not the last" in found.reading.missing


def test_x1_numbers_of_layers_that_train_nothing_on_either_side_are_left_out():
    bad = {"head4top1": BASELINE, "head6top1": BASELINE}
    found = one("X1", scored(**bad, head4top2=0.8, head6top2=0.7))
    assert found.verdict == HOLDS and found.reading.note == "layers trained: 2"
    assert found.reading.value == pytest.approx(0.1, abs=0.006)
    everywhere = dict.fromkeys(["head4top1", "head6top1", "head4top2", "head6top2"], BASELINE)
    found = one("X1", scored(**everywhere))
    assert found.verdict == UNTOLD and "neither beats the baseline" in found.reading.note


def test_x1_more_layers_than_there_are_are_left_out():
    found = one("X1", scored(head2top1=0.8, head6top1=0.7), selected=2, tops=(1, 3))
    assert found.verdict == HOLDS and found.reading.note == "layers trained: 1"


@pytest.mark.parametrize(("key", "other"), [("X2a", "full"), ("X2b", "adapter")])
@pytest.mark.parametrize(
    ("lost", "n", "expected"),
    [(0.0, 2000, HOLDS), (-0.1, 2000, HOLDS), (0.1, 2000, FAILS), (0.015, 150, UNTOLD)],
)
def test_x2_they_match_the_whole_model_and_adapters(key, other, lost, n, expected):
    """By the most layers that are trained, whatever fewer would score."""
    scores = {"full": 0.85, "adapter": 0.85, "head4top2": 0.85 - lost, "head4top1": 0.6}
    found = one(key, scored(**scores), n=n)
    assert found.verdict == expected and found.reading.note == f"head4top2 against {other}"
    assert found.reading.value == pytest.approx(lost, abs=0.006)
    assert found.reading.seeds == "1 2" and found.reading.n_examples == n


def test_x2_adapters_that_train_nothing_are_no_match():
    found = one("X2b", scored(adapter=BASELINE))
    assert found.verdict == UNTOLD and "no such run beats the baseline" in found.reading.note


@pytest.mark.parametrize("key", ["X1", "X2a", "X2b"])
def test_nothing_is_said_where_the_whole_model_fails(key):
    found = one(key, scored(full=BASELINE))
    assert found.verdict == UNTOLD and "whole model failed" in found.reading.note


def test_seeds_whose_whole_run_failed_are_left_out():
    pair = Scores(scored(head4top1=0.95), reinit=None).pair()
    table = pair.tables["selection"]
    table.loc[(table["comparison"] == "whole") & (table["seed"] == 1), "failed"] = True
    assert MEASURES[SELECTED_LESS_LAST](pair).seeds == "2"


@pytest.mark.parametrize(("key", "varied", "hardest"), [("X3a", "size", 100), ("X3b", "ratio", 99)])
@pytest.mark.parametrize(("share", "expected"), [(0.95, HOLDS), (0.1, FAILS), (0.6, UNTOLD)])
def test_x3_nu_selects_alike_from_few_and_from_unequal_classes(
    key, varied, hardest, share, expected
):
    """In the hardest subsamples, whatever easier ones say."""
    easy = 1.0 if share < 0.5 else 0.0
    found = one(key, steady=lambda v, level: share if (v, level) == (varied, hardest) else easy)
    assert found.verdict == expected and found.reading.value == pytest.approx(share)
    assert "20 subsamples" in found.reading.note and "shuffled" not in found.reading.note
    assert found.reading.low < share < found.reading.high


def test_x3_it_is_said_where_shuffled_labels_select_the_same_depth():
    found = one("X3a", shuffled=4)
    assert "shuffled labels select depth 4, too" in found.reading.note


def test_x3_of_24_layers_a_depth_beside_it_counts():
    deep = {"layers": 24, "selected": 2}  # what is not selected is depth 1
    assert one("X3a", steady=lambda *_: 0.0, **deep).verdict == HOLDS
    assert one("X3a", steady=lambda *_: 0.0, layers=12, selected=2).verdict == FAILS
    assert one("X3a", steady=lambda *_: 0.0, layers=24, selected=3).verdict == FAILS


def test_x3_what_is_not_possible_is_not_in_the_study():
    found = one("X3b", steady=lambda varied, level: -1.0 if varied == "ratio" else 1.0)
    assert found.verdict == ABSENT and "not possible: few" in found.reading.missing


@pytest.mark.parametrize(("seconds", "expected"), [(5.0, HOLDS), (100.0, FAILS), (20.0, UNTOLD)])
def test_x4_nu_is_cheaper_than_an_epoch(seconds, expected):
    found = one("X4", seconds=seconds, epoch=lambda _, seed: 19.0 if seed == 1 else 21.0)
    assert found.verdict == expected
    assert found.reading.value == pytest.approx(seconds / 20, rel=0.01)
    words = f"{seconds:.3g} s for 50,000 examples; an epoch of 50,000 takes 20 s"
    assert found.reading.note == words


def test_x4_is_by_the_example():
    """nu of a tenth of the examples is no tenth of the price."""
    pair = Scores(reinit=None, seconds=5.0).pair()
    pair.tables["nu-cost"]["examples"] = 5000
    assert MEASURES[SHARE_OF_EPOCH](pair).value == pytest.approx(2.5)


def test_x4_seconds_of_different_devices_are_not_compared():
    found = one("X4", devices=("cpu", "cuda"))
    assert found.verdict == UNTOLD and "nu ran on cpu, fine-tuning on cuda" in found.reading.note


@pytest.mark.parametrize(("key", "cost"), [("X5a", "epoch"), ("X5b", "memory")])
@pytest.mark.parametrize(("saved", "expected"), [(0.4, HOLDS), (-0.5, FAILS), (0.05, UNTOLD)])
def test_x5_training_the_selected_layers_saves_time_and_memory(key, cost, saved, expected):
    def costs(comparison, seed):
        return (100 if seed == 1 else 110) * (1 - saved * (comparison == "selected"))

    found = one(key, **{cost: costs})
    assert found.verdict == expected and found.reading.value == pytest.approx(saved)
    assert found.reading.note == "head4top2 against the whole model, on cpu"


@pytest.mark.parametrize("counts", [(2, 2), (3, 5)])
def test_x5_the_interval_is_welchs(counts):
    rng = np.random.default_rng(sum(counts))
    own, whole = (np.exp(rng.normal(0, 0.1, count)) for count in counts)
    found = ttest_ind(np.log(own), np.log(whole), equal_var=False).confidence_interval(0.95)
    _, low, high = cost_ratio(own, whole, 0.95)
    assert (low, high) == pytest.approx((np.exp(found.low), np.exp(found.high)))
    # Costs that do not vary at all have no width.
    assert cost_ratio(np.full(2, 3.0), np.full(2, 4.0), 0.95) == pytest.approx((0.75, 0.75, 0.75))


def test_x4_x5_one_seed_does_not_say_how_costs_vary():
    pair = Scores(reinit=None).pair()
    table = pair.tables["selection"]
    pair.tables["selection"] = table[table["seed"] != 2]
    for measure in (SHARE_OF_EPOCH, TIME_SAVED, MEMORY_SAVED):
        found = MEASURES[measure](pair)
        assert np.isnan(found.low) and np.isfinite(found.value) and "one seed" in found.note


@pytest.mark.parametrize("key", ["X2a", "X5a"])
def test_where_no_selected_layer_can_be_trained_it_is_said_why(key):
    found = one(key, selected=2, tops=(3,))
    assert found.verdict == ABSENT
    assert "depth 2 has fewer than 3 layers" in found.reading.missing


def test_x5_memory_that_was_not_recorded_is_not_in_the_study():
    pair = Scores(reinit=None).pair()
    pair.tables["selection"]["peak_memory_mb"] = np.nan
    assert "peak_memory_mb" in MEASURES[MEMORY_SAVED](pair).missing


def test_x_holds_over_tasks_where_most_do():
    good, bad = (scored(full=FULL, head4top2=FULL - lost) for lost in (0.0, 0.2))
    facts = {name: Scores(bad if name == "c" else good, reinit=None) for name in "abc"}
    found = verdict(judged(facts, "X2a", "roberta"), "X2a", task="")
    assert (found.verdict, found.tasks_hold, found.tasks) == (HOLDS, 2, 3)
    assert "of 8 that the paper speaks of" in found.reading.note and found.speaks_of == "this model"
