"""The claims of Tamkin et al. (2020) on studies made by hand: each holds, fails, cannot be told."""

import numpy as np
import pandas as pd
import pytest

from helpers.companion_claims import BASELINE, FULL, NEW, REINIT, Scores, judged, verdict
from strata.analysis.claim_runs import run_answers
from strata.analysis.claims import ABSENT, FAILS, HOLDS, UNTOLD
from strata.analysis.claims_tamkin import EARLY_MISSED, MEASURES

# Probes of depths 1..6: blocks 1-2, 3-4 and 5-6 probe as well as their last layers.
PROBES = {1: 0.6, 2: 0.65, 3: 0.7, 4: 0.8, 5: 0.72, 6: 0.7}


def probed(changes=None, **scores):
    """Scores of variants by their strings; probes are the best at depth 4, all layers new NEW."""
    probes = PROBES | (changes or {})

    def score(variant):
        plain = str(variant).partition("_n")[0]
        if variant.kind == "probe":
            return probes[variant.depth]
        if plain in scores:
            return scores[plain]
        return NEW if variant.kind == "reinit" and len(variant.span) == 6 else None

    return score


def one(key, score=lambda variant: None, **more):
    return verdict(judged({"t": Scores(score, **more)}, key), key)


BLOCKS = {"reinit1-2": 0.7, "reinit5-6": 0.9, "keep1-2": 0.89, "keep5-6": 0.7}


@pytest.mark.parametrize(
    ("block", "n", "expected"),
    [(0.895, 2000, HOLDS), (0.8, 2000, FAILS), (0.882, 100, UNTOLD)],
)
def test_t1a_the_best_probing_block_is_not_necessary(block, n, expected):
    found = one("T1a", probed(**BLOCKS, **{"reinit3-4": block}), n=n)
    assert found.verdict == expected
    assert found.reading.value == pytest.approx(FULL - block, abs=0.006)
    if n == 2000:
        assert found.reading.note == "layers 3–4 probe best"


@pytest.mark.parametrize(
    ("alone", "n", "expected"), [(0.72, 2000, HOLDS), (0.88, 2000, FAILS), (0.79, 100, UNTOLD)]
)
def test_t1b_nor_sufficient(alone, n, expected):
    found = one("T1b", probed(**BLOCKS, **{"keep3-4": alone}), n=n)
    assert found.verdict == expected
    assert found.reading.value == pytest.approx((FULL + NEW) / 2 - alone, abs=0.006)
    assert f"recover {(alone - NEW) / (FULL - NEW):.0%}" in found.reading.note


def test_t1_of_blocks_that_may_both_probe_best_both_count():
    """They differ in what they lose, so that nothing is said unless it is true of both."""
    score = probed({6: 0.799}, **BLOCKS | {"reinit5-6": 0.8}, **{"reinit3-4": 0.9})
    found = one("T1a", score)
    assert found.verdict == UNTOLD and "layers 3–4 probe best (or 5–6)" in found.reading.note
    assert one("T1a", probed({6: 0.799}, **BLOCKS, **{"reinit3-4": 0.9})).verdict == HOLDS


def test_t1_where_pretraining_gives_nothing_nothing_is_recovered():
    found = one("T1b", lambda variant: 0.6 if variant.kind == "probe" else FULL)
    assert found.verdict == UNTOLD and "gives nothing" in found.reading.note


def test_t1_needs_probes_at_the_ends_of_the_blocks_and_of_their_size():
    for probing in ({"sizes": [500], "seeds": [1], "step": 1}, None):
        found = one("T1a", reinit=REINIT | {"probing": probing})
        assert (
            found.verdict == ABSENT and "at the size of reinit.localized" in found.reading.missing
        )
    wide = {"block": 3, "stride": 3, "inverse": False, "size": 5000, "seeds": [1]}
    sparse = {"sizes": [5000], "seeds": [1], "step": 4}
    found = one("T1a", reinit=REINIT | {"localized": wide, "probing": sparse})
    assert found.verdict == ABSENT
    found = one("T1b", probed(), reinit=REINIT | {"localized": wide})
    assert found.reading.missing == "reinit.localized.inverse"
    assert one(
        "T1a", lambda variant: BASELINE if variant.kind == "probe" else None
    ).reading.note == ("no probe beats the baseline")


def steps(plentiful, scarce, top=3):
    """Each layer gives 1 point, layer `top` what is said with many and with few examples."""

    def score(variant):
        if variant.kind not in ("reinit", "full"):
            return None
        new = set(variant.span)
        gives = scarce if variant.size == 500 else plentiful
        return 0.9 - 0.005 * len(new - {top}) - gives * (top in new)

    return score


@pytest.mark.parametrize(
    ("gives", "n", "expected"), [(0.2, 2000, HOLDS), (0.01, 2000, FAILS), (0.06, 150, UNTOLD)]
)
def test_t2a_a_layers_weights_give_much_with_many_examples(gives, n, expected):
    found = one("T2a", steps(gives, 0.0), n=n)
    assert found.verdict == expected
    assert found.reading.value == pytest.approx(gives, abs=0.006)
    assert found.reading.note == "layer 3, 50,000 examples"


@pytest.mark.parametrize(
    ("gives", "n", "expected"), [(0.0, 2000, HOLDS), (0.2, 2000, FAILS), (0.02, 150, UNTOLD)]
)
def test_t2b_and_next_to_nothing_with_few(gives, n, expected):
    found = one("T2b", steps(0.2, gives), n=n)
    assert found.verdict == expected
    assert found.reading.value == pytest.approx(gives, abs=0.006)
    assert found.reading.note == "layer 3, 500 examples"


def test_t2_of_layers_that_may_both_give_most_both_count():
    def score(variant):
        new = set(variant.span)
        if variant.kind != "reinit":
            return None
        return 0.9 - (0.2 * (6 in new) if variant.size == 500 else 0.1 * len(new & {3, 6}))

    assert one("T2b", score).verdict == UNTOLD  # layer 3 gives nothing with few, layer 6 much


def test_t2_needs_sizes_far_apart():
    near = {"sizes": [20_000, "all"], "seeds": [1], "step": 1}
    found = one("T2a", reinit=REINIT | {"progressive": near})
    assert found.verdict == ABSENT and "10 times another" in found.reading.missing


def test_t2_nothing_is_said_where_plain_runs_fail():
    found = one("T2b", lambda variant: BASELINE if variant.size == 500 else None)
    assert (
        found.verdict == UNTOLD and "every plain run of 500 examples failed" in found.reading.note
    )


def block_costs(*costs):
    names = {"reinit1-2": 0, "reinit3-4": 1, "reinit5-6": 2}

    def score(variant):
        plain = str(variant).partition("_n")[0]
        return FULL - costs[names[plain]] if plain in names else None

    return score


@pytest.mark.parametrize(
    ("costs", "n", "expected"),
    [
        ((0.1, 0.2, 0.02), 2000, HOLDS),
        ((0.02, 0.2, 0.1), 2000, FAILS),
        ((0.02, 0.2, 0.01), 100, UNTOLD),
    ],
)
def test_t3_early_blocks_are_missed_most(costs, n, expected):
    found = one("T3", block_costs(*costs), n=n)
    assert found.verdict == expected and "not checked" in found.claim.remark
    assert found.reading.value == pytest.approx(costs[0] - costs[2], abs=0.006)


@pytest.mark.parametrize(
    ("lost", "n", "expected"), [(0.2, 2000, HOLDS), (0.01, 2000, FAILS), (0.06, 100, UNTOLD)]
)
def test_t4a_permuting_layers_hurts(lost, n, expected):
    found = one("T4a", lambda variant: FULL - lost * (variant.kind == "permute"), n=n)
    assert found.verdict == expected and found.reading.note == "10 orders"
    assert found.reading.value == pytest.approx(lost, abs=0.006)


def correlations(value, low, high, count=3):
    rows = [
        {"model": "bert", "kind": kind, "correlation": value, "low": low, "high": high, "n": 10}
        for kind in ("spearman", "pearson")
        for _ in range(count)
    ]
    table = pd.DataFrame(rows)
    table.loc[table["kind"] == "pearson", ["correlation", "low", "high"]] = -1.0
    return {"permutation-correlations": table}


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.8, 0.4, 0.95), HOLDS),
        ((-0.8, -0.95, -0.4), FAILS),
        ((0.5, -0.2, 0.8), UNTOLD),
        ((0.5, np.nan, np.nan), UNTOLD),
    ],
)
def test_t4b_tasks_agree_on_which_orders_are_worse(ends, expected):
    facts = {"t": Scores(), "u": Scores()}
    found = verdict(judged(facts, "T4b", tables=correlations(*ends)), "T4b", task="")
    assert found.verdict == expected and found.reading.note == "3 pairs of tasks, 10 orders"
    assert found.reading.value == pytest.approx(ends[0])


def test_t4b_takes_two_tasks():
    found = verdict(judged({"t": Scores()}, "T4b", tables=correlations(0.8, 0.4, 0.9)), "T4b", "")
    assert found.verdict == ABSENT and "two tasks" in found.reading.missing


def gaining(gain, which):
    """New layers lose five points each two; `which` of them (norms kept, faster) gain so much."""

    def score(variant):
        if variant.kind != "reinit" or variant.size is not None:
            return None
        own = variant.keep_norms if which == "norms" else variant.faster == 5
        return FULL - 0.025 * len(variant.span) + gain * own

    return score


@pytest.mark.parametrize(("key", "which"), [("T5", "norms"), ("T6", "rate")])
@pytest.mark.parametrize(
    ("gain", "n", "expected"),
    [(0.0, 2000, HOLDS), (-0.1, 2000, HOLDS), (0.06, 2000, FAILS), (0.02, 100, UNTOLD)],
)
def test_t5_t6_it_is_not_the_layer_norms_nor_the_rate(key, which, gain, n, expected):
    found = one(key, gaining(gain, which), n=n)
    assert found.verdict == expected and "not checked" in found.claim.remark
    assert found.reading.value == pytest.approx(gain, abs=0.006)
    if n == 2000:
        assert "new layers lose 10.0 points without it" in found.reading.note


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("T1a", "localized"), ("T2a", "progressive"), ("T3", "localized"),
        ("T4a", "permutation"), ("T5", "kept_norms"), ("T6", "faster_layers"),
    ],
)  # fmt: skip
def test_a_part_without_runs_is_named(key, part):
    found = one(key, reinit=REINIT | {part: None})
    assert found.verdict == ABSENT and found.reading.missing == f"reinit.{part}"


def test_a_model_of_shared_layers_has_none_of_it():
    found = judged({"t": Scores(reinit=None, selection=True)}, "T", model="albert")
    verdicts = {each.claim.key: each for each in found if not each.whole and each.task}
    assert len(verdicts) == 8
    for each in verdicts.values():
        assert each.verdict == ABSENT and "weights of their own" in each.reading.missing


def test_seeds_whose_plain_run_failed_are_left_out():
    facts = Scores(block_costs(0.1, 0.2, 0.02))
    pair = facts.pair()
    table = pair.tables["localized"]
    table.loc[(table["variant"] == "full_n5000") & (table["seed"] == 2), "failed"] = True
    assert MEASURES[EARLY_MISSED](pair).seeds == "1"
    table.loc[table["variant"] == "full_n5000", "failed"] = True
    assert "plain run" in MEASURES[EARLY_MISSED](pair).note


def test_answers_are_those_of_the_examples_that_count(tmp_path):
    examples = pd.DataFrame({"example_id": [7, 3, 5]})
    paths = []
    for variant, seed, add in (("full_n5", 1, 0), ("reinit1-2x5", 12, 10)):
        path = tmp_path / "runs" / "m_t" / variant / f"seed{seed}" / "predictions.parquet"
        path.parent.mkdir(parents=True)
        rows = {"example_id": range(9), "label": range(9), "prediction": np.arange(9) + add}
        pd.DataFrame(rows).to_parquet(path)
        paths += [path, str(path)]  # parts share runs
    table = run_answers(paths, examples)
    assert table.columns.tolist() == ["label", "full_n5-seed1", "reinit1-2x5-seed12"]
    assert table["label"].tolist() == [7, 3, 5] == table["full_n5-seed1"].tolist()
    assert table["reinit1-2x5-seed12"].tolist() == [17, 13, 15]
