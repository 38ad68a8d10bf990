"""What the methods say side by side: numbers by hand, suggestions, words, correlations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from strata.analysis.agreement import (
    METHODS,
    layer_table,
    mean_similarity,
    method_correlations,
    pair_finding,
    suggested_depths,
    with_blocks,
)
from strata.analysis.block_tables import MadeBlocks
from strata.analysis.reinit import layer_costs, permutation_correlations
from strata.study.settings import Sampling, SummarySettings

LAYERS = 6
SETTINGS = SummarySettings(resamples=200, confidence=0.95, tolerance=0.02)
UNTUNED = [0.5, 0.5, 0.6, 0.7, 0.89, 0.9]
TUNED = [0.5, 0.6, 0.7, 0.89, 0.89, 0.9]
SKIPPED = [0.6, 0.7, 0.85, 0.89, 0.89, 0.9]  # without layer 1, 2, ...
NU = [9.0, 5.0, 4.0, 3.0, 2.0, 1.0, 1.5]  # depths 0..6


def cka(end=4, failed=()):
    late = np.arange(LAYERS) >= end
    rows = []
    for seed in (1, 2):
        values = np.where(late[:, None] == late[None, :], 0.9, 0.2) + 0.02 * seed
        values = values + 0.001 * np.abs(np.subtract.outer(range(LAYERS), range(LAYERS)))
        np.fill_diagonal(values, 1)
        for (y, x), value in np.ndenumerate(values):
            for estimator, offset in (("debiased", 0.0), ("biased", 0.05)):
                state = f"full-seed{seed}"
                rows.append(
                    (state, state, y + 1, x + 1, "raw", estimator, value + offset, seed in failed)
                )
    columns = ["y_state", "x_state", "y_depth", "x_depth", "pooling", "estimator", "cka", "failed"]
    return pd.DataFrame(rows, columns=columns)


def blocks(made=True, begin=(5, 5), failed=()):
    """Late blocks from `begin` of each seed on, and no two blocks."""
    rows = [(1, begin[0], 0.7), (2, begin[1], 0.6), (None, 5, -0.1)]
    late = pd.DataFrame(rows, columns=["seed", "late_begin", "separation"])
    late = late.assign(kind="late", early_end=late["late_begin"] - 1, found=late["separation"] > 0)
    two = late.assign(kind="two", separation=-0.2, found=False, early_begin=1)
    both = pd.concat([late, two], ignore_index=True)
    return both.assign(
        pooling="raw",
        separation_low=both["separation"] - 0.1,
        made=both["found"] & made,
        failed=both["seed"].isin(failed),
        layers=LAYERS,
        n_examples=40,
    )


def truncation(failed=()):
    rows = []
    for seed in (1, 2):
        lower = 0.01 * (seed - 1)
        for name, values in (("untuned", UNTUNED), ("tuned-best", TUNED)):
            rows += [(seed, name, k, v - lower, seed in failed) for k, v in enumerate(values, 1)]
        rows.append((seed, "full", LAYERS, 0.9 - lower, seed in failed))
    rows.append((None, "baseline", None, 0.5, False))
    table = pd.DataFrame(rows, columns=["seed", "configuration", "depth", "value", "failed"])
    return table.assign(n_examples=300)


def skipping(failed=()):
    rows = [(s, k, k, v, 0.9, s in failed) for s in (1, 2) for k, v in enumerate(SKIPPED, 1)]
    rows += [(s, 1, 3, 0.1, 0.9, s in failed) for s in (1, 2)]
    return pd.DataFrame(rows, columns=["seed", "first", "last", "value", "full", "failed"])


def reinit():
    """Blocks 1-2, 3-4, 5-6 of six layers, and what goes beside them."""
    rows = [("full", None, "full_n9", 1, 0.8), ("embeddings", None, "reinit1-6_n9", 1, 0.5)]
    rows += [
        ("reinit", f, f"reinit{f}-{f + 1}_n9", 1, v) for f, v in ((1, 0.6), (3, 0.75), (5, 0.8))
    ]
    rows += [("keep", 1, "keep1-2_n9", 1, 0.1)]
    columns = ["series", "position", "variant", "seed", "value"]
    return pd.DataFrame(rows, columns=columns).assign(failed=False)


def nu():
    return pd.DataFrame({"depth": range(LAYERS + 1), "nu": NU})


def movement(failed=()):
    rows = [
        (seed, k, 0.1 * k + 0.02 * seed, 0.05 * k, seed in failed)
        for seed in (1, 2)
        for k in range(1, LAYERS + 1)
    ]
    columns = ["seed", "depth", "block_influence", "angular_distance", "failed"]
    return pd.DataFrame(rows, columns=columns)


def table(**changes):
    parts = {
        "cka": cka(),
        "truncation": truncation(),
        "skipping": skipping(),
        "reinit": layer_costs(reinit()),
        "nu": nu(),
        "movement": movement(),
    }
    return layer_table(**parts | changes).assign(model="m", task="t")


def test_every_column_by_hand():
    found = table().set_index("depth")
    assert list(found.index) == [1, 2, 3, 4, 5, 6]
    assert found["untuned"].tolist() == pytest.approx([0.4, 0.4, 0.3, 0.2, 0.01, 0.0])
    assert found["tuned"].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.01, 0.01, 0.0])
    assert found["skipping"].tolist() == pytest.approx([0.3, 0.2, 0.05, 0.01, 0.01, 0.0])
    assert found["reinit"].tolist() == pytest.approx([0.2, 0.2, 0.05, 0.05, 0.0, 0.0])
    assert found["variability"].tolist() == NU[1:]
    assert found["block_influence"].tolist() == pytest.approx([0.1 * k + 0.03 for k in range(1, 7)])
    assert found["angular_distance"].tolist() == pytest.approx([0.05 * k for k in range(1, 7)])
    assert (found["n_examples"] == 300).all() and (found["seeds"] == "1 2").all()
    # 1 - debiased CKA with depth 6, the mean of 0.92 + ... and 0.94 + ...
    assert found["cka"][6] == 0 and found["cka"][5] == pytest.approx(1 - 0.93 - 0.001)
    assert found["cka"][1] == pytest.approx(1 - 0.23 - 0.005)


def test_failed_seeds_are_left_out():
    only_second = table(
        cka=cka(failed=(1,)),
        truncation=truncation(failed=(1,)),
        skipping=skipping(failed=(1,)),
        movement=movement(failed=(1,)),
    )
    assert only_second["block_influence"][0] == pytest.approx(0.14)
    assert (only_second["seeds"] == "2").all()
    assert only_second["cka"][4] == pytest.approx(1 - 0.94 - 0.001)
    assert only_second["untuned"].tolist() == pytest.approx([0.4, 0.4, 0.3, 0.2, 0.01, 0.0])


def test_overlapping_blocks_give_a_layer_their_mean():
    rows = [("full", "full", 0.8), ("reinit", "reinit1-2", 0.6), ("reinit", "reinit2-3", 0.7)]
    sliding = pd.DataFrame(rows, columns=["series", "variant", "value"])
    sliding = sliding.assign(seed=1, failed=False)
    costs = layer_costs(sliding).set_index("depth")["cost"]
    assert costs.tolist() == pytest.approx([0.2, 0.15, 0.1])


def test_a_plain_run_that_failed_tells_no_costs():
    runs = pd.concat([reinit(), reinit().assign(seed=2, failed=True, value=0.5)])
    assert layer_costs(runs)["seed"].unique().tolist() == [1]
    nothing = table(reinit=layer_costs(reinit().assign(failed=True)))
    assert nothing["reinit"].isna().all()


def test_depths_are_early_or_late_where_there_are_blocks():
    late = with_blocks(table(), MadeBlocks(late_begin=5))["block"]
    assert late.tolist() == [""] * 4 + ["late"] * 2
    two = with_blocks(table(), MadeBlocks(early_begin=1, early_end=3, two_late_begin=4))["block"]
    assert two.tolist() == ["early"] * 3 + ["late"] * 3
    assert with_blocks(table(), MadeBlocks())["block"].tolist() == [""] * 6


def test_a_method_that_never_costs_says_so():
    free = skipping().assign(value=0.9)
    row = pair_finding("m", "t", table(skipping=free), blocks(), SETTINGS)
    assert row["depth_skipping"] == 0
    assert "skipping one layer never costs more than that" in row["finding"]


def test_each_method_suggests_a_depth():
    depths = suggested_depths(table(), MadeBlocks(late_begin=5), 0.02)
    assert depths == {
        "cka": 5, "untuned": 5, "tuned": 4, "skipping": 3, "reinit": 4, "variability": 5,
        "block_influence": None, "angular_distance": None,
    }  # fmt: skip
    assert suggested_depths(table(), MadeBlocks(), 0.02)["cka"] is None
    assert suggested_depths(table(), MadeBlocks(), 0.5)["skipping"] == 0


def test_a_method_that_was_not_run_is_empty():
    found = table(reinit=None)
    assert found["reinit"].isna().all()
    row = pair_finding("m", "t", found, blocks(), SETTINGS)
    assert row["depth_reinit"] is None and "new weights" not in row["finding"]


def test_the_finding_in_words():
    row = pair_finding("m", "t", table(), blocks(), SETTINGS)
    assert row["late_begin"] == row["depth_cka"] == 5 and row["two_late_begin"] is None
    words = row["finding"]
    assert words.startswith(
        "m on t: fine-tuning made a late block, depths 5-6 (separation 0.70 and 0.60, lower bounds "
        "0.60 and 0.50); no two blocks found (separation -0.20 and -0.20) (2 seeds, 40 examples); "
    )
    runs = "within 2 points of the full score in these runs (n=300, seeds 1 2): "
    assert f"{runs}UNTUNED from depth 5 on, TUNED from depth 4 on;" in words
    assert "skipping one layer costs more than that up to layer 3" in words
    assert "new weights for a block costs more than that up to layer 4" in words
    assert words.endswith("variability is lowest at depth 5.")


def test_a_model_that_cannot_be_cut_is_not_said_to_need_its_layers():
    steep = truncation()
    steep.loc[steep["configuration"] == "untuned", "value"] -= 0.1 * (
        steep.loc[steep["configuration"] == "untuned", "depth"] < LAYERS
    )
    words = pair_finding("m", "t", table(truncation=steep), blocks(), SETTINGS)["finding"]
    assert "UNTUNED only uncut, TUNED from depth 4 on" in words and "need" not in words


def test_a_block_that_fine_tuning_did_not_make_suggests_no_depth():
    row = pair_finding("m", "t", table(), blocks(made=False), SETTINGS)
    assert row["late_begin"] is None and row["depth_cka"] is None
    assert "made" not in row["finding"].partition(";")[0]


def test_nothing_is_said_of_runs_that_all_failed():
    everything = (1, 2)
    found = table(
        cka=cka(failed=everything),
        truncation=truncation(failed=everything),
        skipping=skipping(failed=everything),
        movement=movement(failed=everything),
    )
    assert found["block_influence"].isna().all()
    row = pair_finding("m", "t", found, blocks(failed=everything), SETTINGS)
    assert row["finding"] == "m on t: every run failed, so there is nothing to say of its layers."
    assert np.isnan(mean_similarity(cka(failed=everything), LAYERS)).all()


def curves(tasks, draw):
    """A table of every method's curve in each task."""
    parts = []
    for task in range(tasks):
        depths = pd.DataFrame({"model": "m", "task": f"t{task}", "depth": range(1, LAYERS + 1)})
        parts.append(depths.assign(**{method: draw(task, method) for method in METHODS}))
    return pd.concat(parts, ignore_index=True)


def test_a_row_a_pair_of_methods_with_what_relates_their_increments():
    rng = np.random.default_rng(0)
    drawn = curves(8, lambda *_: rng.standard_normal(LAYERS))
    drawn["skipping"] = 3 * drawn["untuned"] + 0.1 * rng.standard_normal(len(drawn))
    found = method_correlations(drawn, Sampling(200, 0.95))
    assert len(found) == len(METHODS) * (len(METHODS) - 1) / 2
    row = found.query("method_a == 'untuned' and method_b == 'skipping'").iloc[0]
    wide = [
        drawn.pivot(index="task", columns="depth", values=m).to_numpy()
        for m in ("untuned", "skipping")
    ]
    each = [spearmanr(np.diff(a), np.diff(b))[0] for a, b in zip(*wide, strict=True)]
    assert row["increment_spearman"] == pytest.approx(np.mean(each))
    assert row["tasks_sd"] == pytest.approx(np.std(each, ddof=1))
    assert row["tasks"] == 8 and row["increments"] == LAYERS - 1 and row["orders"] == 120
    assert row["trend_spearman"] == pytest.approx(
        np.mean([spearmanr(a, b)[0] for a, b in zip(*wide, strict=True)])
    )
    assert 0 < row["low"] < row["increment_spearman"] < row["high"] and row["p"] < 0.05
    assert row["finding"].startswith(
        "in this model (m), untuned and skipping rise and fall at the same layers: rank "
        f"correlation of increments {row['increment_spearman']:.2f} [{row['low']:.2f}, "
    )
    assert row["finding"].endswith("n=5 increments in 8 tasks")


def test_monotone_curves_are_related_by_their_trend_alone():
    """They used to look related: all 28 intervals of unrelated methods excluded 0, with rho 1."""
    rng = np.random.default_rng(1)
    drawn = curves(8, lambda *_: rng.exponential(size=LAYERS).cumsum())
    found = method_correlations(drawn, Sampling(200, 0.95))
    assert found["trend_spearman"].tolist() == pytest.approx([1] * len(found))
    excluded = (found["low"] > 0) | (found["high"] < 0)
    assert excluded.sum() <= 3 and (found["p"] <= 0.05).sum() <= 3
    assert found["increment_spearman"].abs().max() < 0.6
    assert found["finding"].str.contains("not shown to rise and fall at the same layers").sum() > 20


def test_below_eight_tasks_there_is_no_interval_and_the_sentence_says_so():
    rng = np.random.default_rng(2)
    found = method_correlations(
        curves(7, lambda *_: rng.standard_normal(LAYERS)), Sampling(50, 0.95)
    )
    assert found["low"].isna().all() and found["high"].isna().all() and found["p"].notna().all()
    assert found["finding"].str.contains("no interval below 8 tasks").all()


def test_a_method_without_numbers_correlates_with_nothing():
    two = pd.concat([table(reinit=None), table(reinit=None).assign(task="u")])
    found = method_correlations(two, Sampling(50, 0.95)).set_index(["method_a", "method_b"])
    row = found.loc["tuned", "reinit"]
    assert np.isnan([row["increment_spearman"], row["p"], row["trend_spearman"]]).all()
    assert row["tasks"] == 0 and row["finding"].endswith("no increments to correlate")
    assert found.loc["tuned", "skipping"]["tasks"] == 2


def test_correlations_of_permutations_between_tasks():
    scores = {"a": [0.5, 0.6, 0.7, 0.8], "b": [0.1, 0.2, 0.3, 0.9], "c": [4, 3, 2, 1]}
    rows = [
        ("m", task, "permuted", p, seed, value + 0.001 * seed)
        for task, values in scores.items()
        for p, value in enumerate(values, 1)
        for seed in (1, 2)
    ]
    rows += [("m", task, "full", None, 1, 9.0) for task in scores]
    columns = ["model", "task", "series", "position", "seed", "value"]
    found = permutation_correlations(pd.DataFrame(rows, columns=columns), Sampling(50, 0.95))
    wide = found.set_index(["task_a", "task_b", "kind"])["correlation"]
    assert wide["a", "b", "spearman"] == pytest.approx(1) and wide["a", "b", "pearson"] < 1
    assert wide["a", "c", "spearman"] == pytest.approx(-1)
    assert (found["n"] == 4).all() and len(found) == 6
    assert found.set_index(["task_a", "task_b", "kind"])["p"]["a", "b", "spearman"] == 2 / 24
