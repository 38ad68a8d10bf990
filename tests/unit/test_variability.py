"""nu: by hand, against the explicit formula, and how it behaves when classes are copied."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from helpers import tiny
from strata.analysis.variability import classes, resampled, select, variability, variability_table
from strata.runtime.errors import StrataError
from strata.study.settings import Sampling


def explicit(vectors, rows):
    """Xie et al. 2022, section 3.1, with d x d matrices."""
    vectors = np.asarray(vectors, dtype=np.float64)
    means = [vectors[own].mean(0) for own in rows]
    centre = np.mean(means, axis=0)
    d = vectors.shape[1]
    within, between = np.zeros((d, d)), np.zeros((d, d))
    for own, mean in zip(rows, means, strict=True):
        for h in vectors[own]:
            within += np.outer(h - mean, h - mean) / len(own) / len(rows)
        between += np.outer(mean - centre, mean - centre) / len(rows)
    return np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / len(rows)


def data(sizes=(30, 12, 50), d=20, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((n, d)) + 2 * rng.standard_normal(d) + offset for n in sizes]
    edges = np.cumsum((0, *sizes))
    rows = [np.arange(a, b) for a, b in pairwise(edges)]
    return np.concatenate(parts), rows


def test_by_hand():
    # Means (0, 0) and (4, 0), each with two points one unit off along x, and far off along y:
    # Sigma_w = diag(1, 9), Sigma_b = diag(4, 0), trace = 1 / 4, over two classes 1 / 8.
    vectors = np.array([[1, 3], [-1, -3], [5, -3], [3, 3]], dtype=float)
    assert variability(vectors, [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(1 / 8)


@pytest.mark.parametrize("sizes", [(30, 12), (30, 12, 50), (9, 8, 7, 6, 5, 4)])
@pytest.mark.parametrize("d", [3, 20, 64])
def test_equals_the_explicit_formula(sizes, d):
    vectors, rows = data(sizes, d)
    assert variability(vectors, rows) == pytest.approx(explicit(vectors, rows), rel=1e-8)


def test_a_large_common_mean_costs_no_accuracy():
    vectors, rows = data(offset=1000.0)
    plain = variability(vectors - 1000.0, rows)
    assert variability(vectors, rows) == pytest.approx(plain, rel=1e-8)


def test_unchanged_when_one_class_is_repeated():
    vectors, rows = data()
    repeated = [rows[0], np.tile(rows[1], 3), rows[2]]
    assert variability(vectors, repeated) == pytest.approx(variability(vectors, rows), rel=1e-10)


def test_halved_when_every_class_is_copied_under_a_new_label():
    vectors, rows = data()
    assert variability(vectors, rows + rows) == pytest.approx(
        variability(vectors, rows) / 2, rel=1e-10
    )


def test_unchanged_by_rotation_and_scale():
    vectors, rows = data()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((20, 20)))
    for scale in (1e-3, 1e3):
        assert variability(scale * vectors @ rotation, rows) == pytest.approx(
            variability(vectors, rows), rel=1e-8
        )


def test_equal_means_are_undefined():
    vectors = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert np.isnan(variability(vectors, [np.array([0, 1]), np.array([2, 3])]))


def test_the_bootstrap_surrounds_the_value_and_is_reproducible():
    vectors, rows = data((300, 200))
    drawn = resampled(vectors, rows, 100)
    assert np.array_equal(drawn, resampled(vectors, rows, 100))
    assert drawn.min() < variability(vectors, rows) < drawn.max()


def test_a_resample_is_nu_of_the_drawn_rows():
    vectors, rows = data()
    rng = np.random.default_rng(0)
    counts = [rng.multinomial(len(own), np.full(len(own), 1 / len(own)), 5) for own in rows]
    drawn = [np.repeat(own, each[3]) for own, each in zip(rows, counts, strict=True)]
    assert resampled(vectors, rows, 5)[3] == pytest.approx(variability(vectors, drawn), rel=1e-10)


def test_one_class_at_a_time_is_in_memory():
    vectors = np.zeros((8000, 200), dtype=np.float32)
    vectors[:, 0] = np.repeat(np.arange(8), 1000) + np.tile([0.0, 0.5], 4000)
    rows = [np.arange(1000 * y, 1000 * (y + 1)) for y in range(8)]
    tracemalloc.start()
    variability(vectors, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 1000 * 200 * 8 < vectors.size * 8


# ---------------------------------------------------------------- classes


def test_classes_of_a_classification_are_its_labels():
    found = classes(tiny.task(), np.array([0, 1, 1, 0, 1]), bins=3)
    assert {k: v.tolist() for k, v in found.rows.items()} == {"yes": [0, 3], "no": [1, 2, 4]}
    assert found.note == ""


def test_classes_of_multiple_choice_are_right_and_wrong():
    found = classes(tiny.task("multiple-choice"), np.array([2, 0]), bins=3)
    assert found.rows["right"].tolist() == [2, 3]
    assert found.rows["wrong"].tolist() == [0, 1, 4, 5]


def test_classes_of_a_regression_are_quantile_bins():
    labels = np.random.default_rng(0).permutation(100).astype(float)
    found = classes(tiny.task("regression"), labels, bins=4)
    assert [len(rows) for rows in found.rows.values()] == [25] * 4
    assert labels[found.rows["bin 1"]].max() < labels[found.rows["bin 2"]].min()


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_equal_values_share_a_bin(rare):
    labels = np.array([1 - rare] * 90 + [rare] * 10)
    found = classes(tiny.task("regression"), labels, bins=5)
    assert sorted(len(rows) for rows in found.rows.values()) == [10, 90]


def small_task(labels):
    task = tiny.task()
    object.__setattr__(task, "labels", labels)
    return task


def test_a_class_with_one_example_or_none_is_left_out_and_named():
    task = small_task(["a", "b", "c", "d"])
    found = classes(task, np.array([0, 0, 1, 1, 2]), bins=2)
    assert list(found.rows) == ["a", "b"]
    assert found.note == "left out, fewer than two examples: 'c' (1), 'd' (0)"


def test_too_few_classes_are_explained():
    with pytest.raises(StrataError, match="compares classes, and of task 'tiny-classification' 1"):
        classes(tiny.task(), np.array([0, 0, 1]), bins=2)


# ---------------------------------------------------------------- the table


def layered(depths=5):
    """Depth 3 separates the classes best; depth 0, the embeddings, even better."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((depths, 60, 8))
    labels = np.repeat([0, 1], 30)
    for depth, gap in enumerate((90, 1, 2, 9, 4)[:depths]):
        noise[depth, :, 0] += gap * labels
    return noise, classes(tiny.task(), labels, 2)


def test_the_table_selects_the_lowest_of_the_layers():
    vectors, found = layered()
    table = variability_table(vectors, range(5), found, Sampling(50, 0.95))
    assert table["depth"].tolist() == list(range(5)) and table["nu"].idxmin() == 0
    assert table.loc[table["selected"], "depth"].tolist() == [3] and select(table) == 3
    assert table["share_selected"].sum() == pytest.approx(1) and table["share_selected"][0] == 0
    assert table["share_selected"].idxmax() == 3
    assert (table["nu_low"] <= table["nu_high"]).all()
    assert (table["n"] == 60).all() and (table["classes"] == 2).all()


def test_the_interval_is_about_nu_where_resamples_lie_below_it():
    """Classes hardly apart: resampling moves their means farther, so that resamples are lower."""
    vectors = np.random.default_rng(0).standard_normal((2, 60, 40))
    vectors[:, 30:, 0] += 0.5
    found = classes(tiny.task(), np.repeat([0, 1], 30), 2)
    for row in variability_table(vectors, range(2), found, Sampling(100, 0.95)).itertuples():
        drawn = resampled(vectors[row.depth], list(found.rows.values()), 100)
        assert np.quantile(drawn, 0.975) < row.nu and row.nu_low < row.nu < row.nu_high


def test_undefined_everywhere_is_explained():
    vectors, found = layered(3)
    with pytest.raises(StrataError, match="undefined at every depth"):
        variability_table(np.zeros_like(vectors), range(3), found, Sampling(20, 0.95))
