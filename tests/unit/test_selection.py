"""What each measure selects, when a depth is claimed, and what subsamples select."""

import numpy as np
import pandas as pd
import pytest

from helpers import tiny
from strata.analysis.robustness import robustness_table, settings_of
from strata.analysis.selection import (
    MEASURES,
    Labelled,
    finding_table,
    measure_depths,
    select,
    selected_depth,
    variability_table,
)
from strata.analysis.variability import Values, values_of_samples, variability
from strata.runtime.errors import StrataError
from strata.study.settings import RobustnessSettings


def layered(gaps=(90, 0.5, 1, 3, 1), n=200, seed=0):
    """Depth 3 separates the classes best; depth 0, the embeddings, even better."""
    noise = np.random.default_rng(seed).standard_normal((len(gaps), n, 8))
    labels = np.arange(n) % 2
    for depth, gap in enumerate(gaps):
        noise[depth, :, 0] += gap * labels
    return noise, labels


def measured(vectors, labels, kind="classification", halves=100):
    labelled = Labelled(tiny.task(kind), labels, 2)
    return labelled, measure_depths(vectors, labelled, halves)


def tabled(vectors, labels, **changes):
    _, found = measured(vectors, labels, **changes)
    return variability_table(found, range(len(vectors)), 0.95)


# ---------------------------------------------------------------- rows, shuffles, halves


def test_shuffled_labels_are_the_same_labels_in_another_order():
    labels = np.array([0] * 30 + [1] * 12)
    labelled = Labelled(tiny.task(), labels, 2)
    assert len(labelled.codes) == 21 and (labelled.codes[0] == labels).all()
    for shuffled in labelled.codes[1:]:
        assert np.bincount(shuffled).tolist() == [30, 12] and (shuffled != labels).any()


def test_shuffled_choices_are_still_one_right_of_each_example():
    task = tiny.task("multiple-choice")
    labelled = Labelled(task, np.arange(40) % task.choices, 2)
    for codes in labelled.codes:
        assert (codes.reshape(40, -1).sum(1) == 1).all()
    assert len(labelled.rows) == 40 * task.choices


def test_shuffled_targets_take_their_bins_with_them():
    labels = np.random.default_rng(0).standard_normal(50)
    labelled = Labelled(tiny.task("regression"), labels, 2)
    for codes, targets in zip(labelled.codes, labelled.given.targets, strict=True):
        assert targets[codes == 0].max() < targets[codes == 1].min()


@pytest.mark.parametrize("kind", ["classification", "multiple-choice"])
def test_a_half_has_half_of_each_class_and_whole_examples(kind):
    task = tiny.task(kind)
    labels = np.array([0] * 30 + [1] * 12)
    labelled = Labelled(task, labels, 2)
    halves = labelled.halves(50)
    assert (halves.sum(1) == 21 * task.choices).all()
    for half in halves:
        examples = half.reshape(42, -1)
        assert (examples.all(1) == examples.any(1)).all()
        if kind == "classification":
            assert half[:30].sum() == 15
    assert halves.mean(0).min() > 0.2 and halves.mean(0).max() < 0.8


def test_rows_of_one_example_are_in_one_fold():
    task = tiny.task("multiple-choice")
    folds = Labelled(task, np.arange(40) % task.choices, 2).folds.reshape(40, -1)
    assert (folds == folds[:, :1]).all() and len(np.unique(folds)) == 5


def test_a_large_set_is_cut_to_a_sample_with_its_classes():
    labels = np.array([0] * 9000 + [1] * 990 + [2] * 10)
    task = tiny.task()
    object.__setattr__(task, "labels", ["a", "b", "c"])
    labelled = Labelled(task, labels, 2, most=1000)
    assert np.bincount(labelled.codes[0]).tolist() == [900, 99, 2]
    assert len(labelled.chosen) + len(labelled.others) == 10_000
    again = Labelled(task, labels, 2, most=1000)
    assert (again.chosen == labelled.chosen).all()


def test_rows_in_no_class_are_left_out_of_all():
    labels = np.array([0] * 20 + [1] * 20 + [2])
    task = tiny.task()
    object.__setattr__(task, "labels", ["a", "b", "c"])
    labelled = Labelled(task, labels, 2)
    assert labelled.rows.tolist() == list(range(40)) and labelled.codes.max() == 1


# ---------------------------------------------------------------- the table and the finding


def test_the_table_says_what_each_measure_selects():
    vectors, labels = layered()
    table = tabled(vectors, labels)
    assert table["nu"].idxmin() == 0 and table["share_nu"][0] == 0  # embeddings are not a layer
    assert table.loc[table["selected"], "depth"].tolist() == [3]
    assert [selected_depth(table, name) for name in MEASURES] == [3, 3, 3, 3]
    own = [np.flatnonzero(labels == y) for y in (0, 1)]
    assert table["nu"].to_numpy() == pytest.approx([variability(v, own) for v in vectors])
    assert table["relative"].to_numpy() == pytest.approx(table["nu"] / table["shuffled"])
    assert (table["shuffled"] > 5 * table["nu"])[[0, 3]].all()
    for name in MEASURES:
        assert table[f"share_{name}"].sum() == pytest.approx(1)
    for name in ("nu", "probe"):
        layers = table[1:]
        assert (layers[f"{name}_low"] < layers[name]).all()
        assert (layers[name] < layers[f"{name}_high"]).all()


def test_shuffled_labels_have_the_geometry_and_select_by_it():
    """A depth with many equal directions has the lowest nu for meaningless labels."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3, 300, 30))
    vectors[:2] *= np.arange(1, 31) ** -1.0
    labels = np.arange(300) % 2
    table = tabled(vectors, labels, halves=20)
    assert selected_depth(table, "shuffled") == 2 == selected_depth(table, "nu")
    assert table["share_shuffled"][2] >= 0.9  # the draws, one by one
    assert table["shuffled"][2] < 0.5 * table["shuffled"][1]
    assert finding_table("m", "t", table)["claimed"].isna().all()


def test_the_interval_is_about_the_value_though_halves_lie_elsewhere():
    vectors = np.random.default_rng(0).standard_normal((3, 80, 40))
    vectors[:, 40:, 0] += 0.8
    labels = np.repeat([0, 1], 40)
    _, found = measured(vectors, labels)
    table = variability_table(found, range(3), 0.95)
    for each, row in zip(found, table.itertuples(), strict=True):
        assert np.quantile(each.halves["nu"], 0.975) < row.nu  # fewer examples, lower nu
        assert row.nu_low < row.nu < row.nu_high


def test_half_samples_spread_like_samples():
    """The spread of half-samples is the standard error at the full number."""
    values, errors = [], []
    for seed in range(40):
        vectors, labels = layered((1.5,), seed=seed)
        halves = Labelled(tiny.task(), labels, 2).halves(30)
        codes = np.where(np.vstack([np.ones(len(labels), bool), halves]), labels, -1)
        nu = values_of_samples(vectors[0], codes).nu
        values.append(nu[0])
        errors.append(nu[1:].std())
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


def test_all_rows_take_the_place_of_the_measured_ones():
    vectors, labels = layered()
    _, found = measured(vectors, labels, halves=20)
    plain = variability_table(found, range(5), 0.95)
    other = Values(plain["nu"].to_numpy()[::-1] / 2, plain["corrected"].to_numpy())
    table = variability_table(found, range(5), 0.95, other, shrink=0.5)
    assert table["nu"].tolist() == other.nu.tolist()
    assert table["relative"].tolist() == plain["relative"].tolist()
    width, whole = (t["nu_high"] - t["nu_low"] for t in (table, plain))
    assert width.to_numpy() == pytest.approx(whole.to_numpy() / 2)


def test_a_depth_on_which_all_agree_is_claimed():
    vectors, labels = layered((0, 0.5, 0.5, 3.5))
    finding = finding_table("m", "t", tabled(vectors, labels)).iloc[0]
    assert finding["claimed"] == 3 and finding["agreed"] >= 0.975
    assert finding["finding"].startswith("m on t: variability is lowest at depth 3, of shuffled")
    assert "all say depth 3" in finding["finding"]


def test_no_depth_is_claimed_where_measures_differ_or_half_samples_do():
    table = tabled(*layered((0, 0.5, 0.5, 3.5)))
    other = table.assign(probe=[0.5, 0.9, 0.6, 0.7])
    finding = finding_table("m", "t", other).iloc[0]
    assert pd.isna(finding["claimed"]) and finding["depth_probe"] == 1
    assert "they differ, so none is claimed" in finding["finding"]
    loose = table.assign(share_all=[0, 0, 0.04, 0.96])
    finding = finding_table("m", "t", loose).iloc[0]
    assert pd.isna(finding["claimed"])
    assert "together in only 96% of half-samples, so none is claimed" in finding["finding"]


def test_a_measure_that_is_nowhere_defined_says_so():
    table = tabled(*layered((0, 0.5, 0.5, 3.5)))
    finding = finding_table("m", "t", table.assign(corrected=np.nan)).iloc[0]
    assert "lowest nowhere defined" in finding["finding"] and pd.isna(finding["claimed"])


def test_undefined_values_are_never_selected_and_the_first_of_equals_is():
    values = np.array([[np.nan, 2.0, np.nan], [1.0, 2.0, np.nan], [0.5, 3.0, np.nan]])
    assert select(values, "nu").tolist() == [2, 0, -1]
    assert select(values, "probe").tolist() == [1, 2, -1]


def test_undefined_everywhere_is_explained():
    vectors, labels = layered()
    with pytest.raises(StrataError, match="undefined at every depth"):
        tabled(np.zeros_like(vectors), labels)


# ---------------------------------------------------------------- robustness


def robust(kind="classification", sizes=(40, 100, 10_000), ratios=(1, 9, 99), n=150, labels=None):
    task = tiny.task(kind)
    vectors, given = layered(n=n * task.choices)
    labels = given if labels is None else labels
    labelled = Labelled(task, labels, 2)
    table = variability_table(measure_depths(vectors, labelled, 20), range(5), 0.95)
    settings = settings_of(labelled, RobustnessSettings(sizes, ratios, 6))
    return robustness_table(vectors, labelled, settings, table), settings, labelled


def test_every_size_has_a_share_a_measure_and_depth():
    table, _, _ = robust()
    sizes = table[table["varied"] == "size"]
    assert sizes["level"].unique().tolist() == [40, 100, 150]  # the last: all examples
    assert sizes["measure"].unique().tolist() == list(MEASURES)
    total = sizes.groupby(["level", "measure"])["share"].sum() + (
        sizes.groupby(["level", "measure"])["undefined"].first()
    )
    assert total.to_numpy() == pytest.approx(1)
    best = sizes.query("level == 100 and measure == 'nu'").set_index("depth")["share"]
    assert best.idxmax() == 3 and best[3] >= 5 / 6


def test_ratios_have_the_same_number_of_examples_and_say_what_is_not_possible():
    table, settings, labelled = robust()
    ratios = [each for each in settings if each.varied == "ratio"]
    assert {each.examples for each in ratios} == {75}  # the larger class has no more
    for each in ratios[:2]:
        for rows in each.samples:
            rare, common = sorted(np.bincount(labelled.codes[0][rows]))
            assert common == pytest.approx(each.level * rare, rel=0.1) and rare == each.rarest
            assert len(set(rows)) == len(rows)
    row = table[(table["varied"] == "ratio") & (table["level"] == 99)]
    assert row["reason"].item() == "not possible: 1 of the rarest class, fewer than 10 rows"
    assert np.isnan(row["share"].item())


def test_choices_have_the_ratio_that_they_have():
    task = tiny.task("multiple-choice")
    table, settings, _ = robust("multiple-choice", labels=np.arange(150) % task.choices)
    rows = table[table["varied"] == "ratio"]
    assert rows["reason"].str.startswith("not possible: an example has one right").all()
    sizes = [each for each in settings if each.varied == "size"]
    assert [len(each.samples[0]) for each in sizes] == [40 * task.choices, 100 * task.choices]
