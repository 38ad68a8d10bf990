"""Metrics against formulas written out here, and against scikit-learn and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from helpers import tiny
from strata.evaluation.metrics import (
    Score,
    baseline_prediction,
    baseline_score,
    run_metrics,
    score,
)
from strata.evaluation.resampling import interval as percentiles
from strata.evaluation.resampling import resampled_scores, sample_counts
from strata.study.metrics import METRICS
from strata.study.settings import Sampling

LABELS = np.array([1, 1, 1, 0, 0, 0, 0, 1])
PREDICTIONS = np.array([1, 1, 0, 0, 0, 1, 0, 1])  # 3 true, 1 false positive; 3 true, 1 false neg.
RNG = np.random.default_rng(0)
SAMPLING = Sampling(200, 0.95)
TARGETS = RNG.normal(size=50)
GUESSES = TARGETS + RNG.normal(size=50)

CORRELATIONS = sorted(name for name, row in METRICS.items() if row.correlates)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("accuracy", 6 / 8),
        ("f1", 2 * 3 / (2 * 3 + 1 + 1)),
        ("accuracy-f1", (6 / 8 + 3 / 4) / 2),
        ("mcc", (3 * 3 - 1 * 1) / np.sqrt(4 * 4 * 4 * 4)),
    ],
)
def test_classification_by_hand(metric, value):
    assert score(metric, LABELS, PREDICTIONS).value == pytest.approx(value, abs=1e-12)
    assert not score(metric, LABELS, PREDICTIONS).degenerate


def pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return x @ y / np.sqrt((x @ x) * (y @ y))


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("pearson", pearson(TARGETS, GUESSES)),
        ("spearman", pearson(TARGETS.argsort().argsort(), GUESSES.argsort().argsort())),
        (
            "pearson-spearman",
            (stats.pearsonr(TARGETS, GUESSES)[0] + stats.spearmanr(TARGETS, GUESSES)[0]) / 2,
        ),
    ],
)
def test_correlations_by_formula(metric, value):
    assert score(metric, TARGETS, GUESSES).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("metric", CORRELATIONS)
def test_correlation_tells_direction(metric):
    """1 for the labels themselves, -1 for their opposite."""
    labels = LABELS if metric == "mcc" else TARGETS
    assert score(metric, labels, labels).value == pytest.approx(1)
    assert score(metric, labels, 1 - labels).value == pytest.approx(-1)


def test_three_classes_against_scikit_learn():
    labels, predictions = RNG.integers(3, size=200), RNG.integers(3, size=200)
    predictions[:120] = labels[:120]
    found = score("mcc", labels, predictions).value
    assert found == pytest.approx(sklearn.matthews_corrcoef(labels, predictions), abs=1e-12)
    assert score("accuracy", labels, predictions).value == (labels == predictions).mean()


def test_f1_is_of_label_1():
    """Not of label 0, and not of the label that scikit-learn would sort last."""
    assert score("f1", 1 - LABELS, 1 - PREDICTIONS).value == 3 / 4
    assert score("f1", np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])).value == 0
    assert score("f1", np.array([0, 0, 2, 1]), np.array([0, 2, 2, 1])).value == 1


@pytest.mark.parametrize("metric", CORRELATIONS)
def test_correlation_of_constants_is_0_and_degenerate(metric, recwarn):
    labels = LABELS if metric == "mcc" else TARGETS
    constant = np.ones(len(labels), dtype=labels.dtype)
    assert score(metric, labels, constant) == Score(0.0, degenerate=True)
    assert score(metric, constant, labels) == Score(0.0, degenerate=True)
    assert not recwarn.list


@pytest.mark.parametrize("metric", ["accuracy", "f1", "accuracy-f1"])
def test_other_metrics_of_constants_are_scores_like_any(metric):
    found = score(metric, LABELS, np.ones_like(LABELS))
    assert not found.degenerate and 0 < found.value < 1


def test_nearly_constant_predictions_give_a_number(recwarn):
    found = score("pearson-spearman", TARGETS, np.full(50, 1e-300) * TARGETS.round(1))
    assert np.isfinite(found.value) and not recwarn.list


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_of_the_config_is_there_and_takes_lists(metric):
    assert score(metric, [0, 1, 1, 0], [0, 1, 1, 0]).value == pytest.approx(1)


# ---------------------------------------------------------------- intervals


def labels_of(metric: str, rng: np.random.Generator, n: int) -> np.ndarray:
    if "regression" in METRICS[metric].task_types:
        return rng.normal(size=n).round(1)
    return rng.integers(0, 3 if metric in ("accuracy", "mcc") else 2, n)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_scores_of_samples_are_those_of_their_rows_written_out(metric):
    """Ties, samples without a class, and a constant included."""
    rng = np.random.default_rng(3)
    for n in (5, 40, 301):
        labels = labels_of(metric, rng, n)
        noisy = np.where(rng.random(n) < 0.3, labels_of(metric, rng, n), labels)
        sets = np.stack([labels, noisy, np.full(n, labels[0])])
        drawn = resampled_scores(metric, labels, sets, Sampling(20, 0.9), seed=n)
        counts = np.concatenate(list(sample_counts(n, 20, seed=n))).astype(int)
        assert (counts.sum(1) == n).all()
        for b, times in enumerate(counts):
            rows = np.repeat(np.arange(n), times)
            expected = [score(metric, labels[rows], each[rows]).value for each in sets]
            assert drawn[:, b] == pytest.approx(expected, abs=1e-9)


def test_samples_do_not_depend_on_how_many_are_held_together(monkeypatch):
    whole = np.concatenate(list(sample_counts(50, 30)))
    monkeypatch.setattr("strata.evaluation.resampling.AT_ONCE", 50 * 7)
    parts = list(sample_counts(50, 30))
    assert [len(part) for part in parts] == [7, 7, 7, 7, 2]
    assert (np.concatenate(parts) == whole).all()


def interval(predictions, statistic=lambda s: s["a"], metric="accuracy", **changes):
    seed = changes.pop("seed", 0)
    sampling = replace(Sampling(300, 0.95), **changes)
    labels = np.tile(LABELS, 25) if metric == "accuracy" else TARGETS
    drawn = resampled_scores(metric, labels, np.stack(list(predictions.values())), sampling, seed)
    return percentiles(statistic(dict(zip(predictions, drawn, strict=True))), sampling.confidence)


def test_interval_of_an_accuracy_is_the_binomials():
    """n = 200, p = 0.75: half a width of 1.96 sqrt(p (1 - p) / n) = 0.06."""
    low, high = interval({"a": np.tile(PREDICTIONS, 25)}, resamples=2000)
    assert (low, high) == pytest.approx((0.75 - 0.06, 0.75 + 0.06), abs=0.01)
    narrow = interval({"a": np.tile(PREDICTIONS, 25)}, confidence=0.5)
    assert low < narrow[0] < 0.75 < narrow[1] < high


def test_interval_covers_as_often_as_it_says():
    """Of 95 % intervals of 150 samples with a known accuracy, about 95 % hold it."""
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(150):
        right = (rng.random(60) < 0.7).astype(int)
        drawn = resampled_scores("accuracy", np.ones(60, int), right[None], Sampling(60, 0), seed)
        low, high = percentiles(drawn, 0.95)
        held += low <= 0.7 <= high
    assert 0.86 <= held / 150 <= 0.99


def test_interval_is_seeded():
    predictions = {"a": GUESSES}
    one = interval(predictions, metric="pearson")
    assert one == interval(predictions, metric="pearson", seed=0)
    assert one != interval(predictions, metric="pearson", seed=1)


def test_difference_of_identical_predictions_is_exactly_0():
    """The same examples are drawn for both."""
    same = {"a": GUESSES, "b": GUESSES.copy()}
    assert interval(same, lambda s: s["a"] - s["b"], "pearson-spearman") == (0.0, 0.0)


def test_differences_are_paired():
    """One example apart: a paired interval is within that example's share, an unpaired one not."""
    one, other = np.tile(PREDICTIONS, 25), np.tile(PREDICTIONS, 25)
    other[0] = 1 - other[0]
    low, high = interval({"a": one, "b": other}, lambda s: s["a"] - s["b"])
    assert low == 0 and 0 < high <= 5 / 200


# ---------------------------------------------------------------- baselines


@pytest.mark.parametrize(
    ("metric", "kind", "labels", "prediction"),
    [
        ("accuracy", "classification", [2, 2, 0, 1], 2),
        ("accuracy", "classification", [1, 0, 1, 0], 0),
        ("accuracy", "multiple-choice", [3, 1, 1, 3, 0], 1),
        ("f1", "classification", [0, 0, 0, 1], 1),
        ("f1", "classification", [2, 2, 0, 0, 0], 0),
        ("accuracy-f1", "classification", [0, 0, 1], 1),
        ("accuracy-f1", "classification", [0, 0, 0, 0, 0, 0, 0, 1], 0),
        ("mcc", "classification", [1, 1, 0], 1),
        ("pearson", "regression", [1.0, 2.0, 4.5], 2.5),
    ],
)
def test_baseline_prediction(metric, kind, labels, prediction):
    """The best constant under the metric, among equals the most frequent, then the smallest; the
    mean.
    """
    assert baseline_prediction(metric, kind, np.array(labels)) == prediction


def duplicates(count=400):
    """Labels like QQP's: 37 % are duplicates, label 1."""
    return (np.arange(count) % 100 < 37).astype(int)


def test_a_run_that_calls_every_pair_a_duplicate_has_failed():
    """By (accuracy + F1) / 2 it beats the most frequent label: 0.455 against 0.315."""
    labels, task = duplicates(), replace(tiny.task(), metric="accuracy-f1")
    found = run_metrics(task, labels, np.ones_like(labels), SAMPLING)
    assert found.score == pytest.approx((0.37 + 2 * 0.37 / 1.37) / 2)
    assert found.baseline == found.score and found.failed
    answers = np.where(np.random.default_rng(0).random(len(labels)) < 0.2, 1 - labels, labels)
    assert not run_metrics(task, labels, answers, SAMPLING).failed


def random_labels(metric, rng):
    if "regression" in METRICS[metric].task_types:
        return "regression", rng.normal(size=40)
    classes = rng.integers(2, 5)
    kind = rng.choice(METRICS[metric].task_types)
    return kind, rng.choice(classes, size=40, p=rng.dirichlet(np.full(classes, 0.7)))


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_no_constant_beats_the_baseline_and_every_constant_fails(metric):
    """Whatever the labels; also a label that no example has."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        kind, labels = random_labels(metric, rng)
        task = replace(tiny.task(str(kind)), metric=metric)
        values = rng.normal(size=4) if kind == "regression" else np.arange(5)
        baseline = baseline_score(metric, kind, labels)
        for value in values:
            constant = np.full(len(labels), value)
            assert score(metric, labels, constant).value <= baseline
            assert run_metrics(task, labels, constant, Sampling(5, 0.95)).failed


@pytest.mark.parametrize("metric", ["accuracy", "f1", "accuracy-f1"])
def test_a_constant_fails_though_its_score_is_above_the_baselines(metric, monkeypatch):
    """Should a metric ever have a better constant than those that are tried."""
    monkeypatch.setattr("strata.evaluation.metrics.baseline_prediction", lambda *_: 2)
    labels = duplicates()
    task = replace(tiny.task(), metric=metric)
    assert run_metrics(task, labels, np.ones_like(labels), SAMPLING).failed
