"""nu, plain and corrected: by hand, against explicit formulas, and from streamed rows."""

import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from helpers import tiny
from strata.analysis.activations import Activations
from strata.analysis.dump import Source, dump
from strata.analysis.selection import Labelled
from strata.analysis.streaming import Kept, values_of_all
from strata.analysis.variability import (
    Sums,
    classes,
    corrected_variability,
    scatter,
    values_of_samples,
    variability,
)
from strata.data.batches import Rows
from strata.modeling.encoder import Encoder
from strata.runtime.errors import StrataError
from strata.study.disk import mean_activations_mb
from strata.study.settings import ForwardSettings, StorageSettings


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


def coded(vectors, rows):
    """The rows of the classes one after another, and the class of each."""
    codes = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    return np.asarray(vectors[np.concatenate(rows)], dtype=float), codes


def test_each_sample_is_nu_of_its_rows():
    vectors, rows = data()
    drawn, codes = coded(vectors, rows)
    taken = np.random.default_rng(0).random((300, len(drawn))) < 0.6
    found = values_of_samples(drawn, np.where(taken, codes, -1)).nu
    for kept, nu in list(zip(taken, found, strict=True))[::60]:
        own = [np.flatnonzero(kept & (codes == y)) for y in range(3)]
        assert nu == pytest.approx(variability(drawn, own), rel=1e-10)


# ---------------------------------------------------------------- without the noise of class means


def explicit_corrected(vectors, rows):
    """The same from d x d matrices, class by class."""
    parts = [np.asarray(vectors[own], dtype=np.float64) for own in rows]
    means = np.stack([part.mean(0) for part in parts])
    means -= means.mean(0)
    covariances = [np.cov(part.T) for part in parts]
    within, count = sum(covariances) / len(parts), len(parts)
    shared = []
    for part, own in zip(parts, covariances, strict=True):
        m = len(part) - 1
        square = m**2 / (m - 1) / (m + 2) * (np.trace(own @ own) - np.trace(own) ** 2 / m)
        others = np.trace(within @ own) - np.trace(own @ own) / count
        shared.append((others + square / count) / len(part))
    centring = np.eye(count) - 1 / count
    lengths = np.diag([np.trace(own) / len(p) for own, p in zip(covariances, parts, strict=True)])
    between = means @ means.T - centring @ lengths @ centring
    paper = sum(np.cov(part.T, bias=True) for part in parts) / count
    across = means @ paper @ means.T - centring @ np.diag(shared) @ centring
    inverse = np.linalg.pinv(between, rcond=1e-10, hermitian=True)
    return np.trace(inverse @ across @ inverse)


@pytest.mark.parametrize(("sizes", "d"), [((300, 120), 20), ((300, 200, 150), 20), ((60, 40), 150)])
def test_the_corrected_nu_equals_the_explicit_formula(sizes, d):
    vectors, rows = data(sizes, d, offset=10)
    assert corrected_variability(vectors, rows) == pytest.approx(
        explicit_corrected(vectors, rows), rel=1e-8
    )


def test_the_corrected_nu_is_that_of_the_population_and_nu_is_not():
    """Two classes sqrt(8) apart: nu is 2 / 8."""
    drawn = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((200, 150))
        vectors[:100, 0] += np.sqrt(8)
        rows = [np.arange(100), np.arange(100, 200)]
        drawn.append([variability(vectors, rows), corrected_variability(vectors, rows)])
    nu, corrected = np.mean(drawn, axis=0)
    assert corrected == pytest.approx(0.25, rel=0.1)
    assert nu < 0.2


def test_nothing_is_left_of_labels_that_have_nothing_to_do_with_the_vectors():
    rng = np.random.default_rng(0)
    rows = [np.arange(0, 60), np.arange(60, 130), np.arange(130, 200)]
    found = [corrected_variability(rng.standard_normal((200, 50)), rows) for _ in range(20)]
    assert np.isnan(found).sum() >= 19


def test_the_noise_of_a_prompt_is_in_both_means_and_not_in_their_difference():
    """Four choices share a prompt with nine tenths of the variance; nu is 2 tr / 2 = 10 / 4."""
    drawn = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        codes = (np.arange(4) == rng.integers(4, size=(500, 1))).astype(int)
        vectors = 3 * rng.standard_normal((500, 1, 60)) + rng.standard_normal((500, 4, 60))
        vectors[:, :, 0] += np.sqrt(8) * codes
        rows, codes = vectors.reshape(2000, 60), codes.reshape(-1)
        by_rows, by_examples = (scatter(rows, codes, choices) for choices in (1, 4))
        values = [values_of_samples(rows, codes[None], n) for n in (by_rows, by_examples)]
        drawn.append([each.corrected[0] for each in values])
    by_rows, by_examples = np.nanmean(drawn, axis=0)
    assert by_examples == pytest.approx(10 * 2 / 8, rel=0.05)
    assert by_rows > 1.15 * by_examples


# ---------------------------------------------------------------- rows that pass by


@pytest.mark.parametrize("sizes", [(300, 120), (300, 200, 150)])
def test_sums_of_passing_rows_are_nu_of_all(sizes):
    vectors, rows = data(sizes, 20, offset=100)
    vectors, codes = coded(vectors, rows)
    order = np.random.default_rng(0).permutation(len(codes))
    vectors, codes = vectors[order], codes[order]
    codes[:7] = -1
    two = np.stack([vectors, 2 * vectors[:, ::-1] + 5]).astype(np.float32)
    sums = Sums(2, 20, np.bincount(codes[codes >= 0]))
    for begin in range(0, len(codes), 64):
        sums.add(two[:, begin : begin + 64], codes[begin : begin + 64])
    own = [np.flatnonzero(codes == y) for y in range(len(sizes))]
    noise = [scatter(each[codes >= 0].astype(float), codes[codes >= 0]) for each in two]
    found = sums.values(noise)
    assert found.nu == pytest.approx([variability(each, own) for each in two], rel=1e-8)
    expected = [corrected_variability(each, own) for each in two]
    assert found.corrected == pytest.approx(expected, rel=1e-6)


def test_passing_rows_are_not_kept():
    rng = np.random.default_rng(0)
    sums = Sums(3, 50, np.array([20_000, 20_000]))

    def peak(windows):
        tracemalloc.start()
        for _ in range(windows):
            codes = np.arange(200) % 2
            sums.add(rng.standard_normal((3, 200, 50), dtype=np.float32), codes)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(100) < 1.5 * peak(2)


@pytest.mark.parametrize("kind", ["classification", "multiple-choice"])
def test_all_examples_count_where_some_are_kept(kind, tmp_path):
    """Vectors of 30 of 90 examples are on disk; nu is that of all 90."""
    task, examples = tiny.task(kind), tiny.examples(kind, 90)
    labelled = Labelled(task, examples["label"].to_numpy(), 2, most=30)
    assert len(labelled.chosen) == 30 and len(labelled.others) == 60
    encoder, forward = Encoder(tiny.task_model("bert", kind)), ForwardSettings(16)

    def vectors(name, chosen):
        rows = Rows(tiny.tokenizer(), examples.iloc[chosen].reset_index(drop=True), 32)
        source = Source(encoder, rows, {"state": "pretrained"})
        dump(tmp_path / name, source, StorageSettings(["mean"], "float32"), forward)
        return Activations.open(tmp_path / name).vectors("mean"), source

    every, _ = vectors("all.h5", np.arange(90))
    stored, _ = vectors("kept.h5", labelled.chosen)
    _, rest = vectors("rest.h5", labelled.others)
    codes = labelled.groups.codes(90 * task.choices).reshape(90, -1)
    kept = Kept(stored, codes[labelled.chosen].reshape(-1))
    noise = [scatter(np.asarray(each, float), kept.codes) for each in stored]
    found = values_of_all(kept, rest, codes[labelled.others].reshape(-1), noise, forward)
    own = list(labelled.groups.rows.values())
    assert found.nu == pytest.approx([variability(each, own) for each in every], rel=1e-4)


def test_the_disk_that_is_asked_for_is_that_of_the_kept_examples(tmp_path):
    """MNLI and RoBERTa-large: 10,000 of 392,702 are stored, at 25 depths."""
    model, task = tmp_path / "model", tmp_path / "task.json"
    model.mkdir()
    config = {"model_type": "roberta", "num_hidden_layers": 24, "hidden_size": 1024}
    (model / "config.json").write_text(json.dumps(config))
    task.write_text(json.dumps({"sizes": {"train": 392_702}, "choices": 1}))
    needed = 10_000 * 25 * 1024 * 4 / 2**20
    assert needed <= mean_activations_mb(model, task, 10_000, None) <= 2 * needed
    assert mean_activations_mb(model, task, 10_000, 1000) < 0.2 * needed


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
