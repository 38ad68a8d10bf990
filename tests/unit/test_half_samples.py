"""CKA of half-samples against one at a time, and what their spread says."""

import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from strata.analysis.cka import alignment
from strata.analysis.half_samples import draw_halves, half_samples, standard_error


def related(n, choices=1, seed=0, dtype=np.float64, features=8):
    """Two stacks [depths, rows, features] that share a part, of different depths and width."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(3, n * choices, features))
    x = rng.normal(size=(4, n * choices, 2 * features))
    x[:3, :, :features] += y
    return (y + 3).astype(dtype), (x - 2).astype(dtype)


def one_at_a_time(y, x, resamples, seed, choices):
    """[resamples, depths of y, depths of x] of each estimator, each from its rows."""
    n = y.shape[1] // choices
    picked, weights = draw_halves(n, resamples, seed)
    picked = np.arange(n) if picked is None else picked
    found = []
    for half in weights.T.astype(bool):
        rows = (picked[half][:, None] * choices + np.arange(choices)).ravel()
        found.append(alignment(y[:, rows], x[:, rows], choices=choices))
    return np.array([[each.biased for each in found], [each.debiased for each in found]])


@pytest.mark.parametrize("choices", (1, 3))
@pytest.mark.parametrize(
    ("n", "dtype", "tolerance"),
    [(8, "float64", 1e-9), (41, "float64", 1e-12), (1101, "float32", 1e-6)],
)
@pytest.mark.parametrize("memory_mb", (0.2, 2048))
def test_each_half_sample_is_the_cka_of_its_rows(n, dtype, tolerance, choices, memory_mb):
    y, x = related(n, choices, dtype=dtype)
    for pair in ((y, x), (y, y)):
        found = half_samples(*pair, 5, 1, memory_mb, choices)
        expected = one_at_a_time(*pair, 5, 1, choices)
        np.testing.assert_allclose(found.biased, expected[0], rtol=0, atol=tolerance)
        np.testing.assert_allclose(found.debiased, expected[1], rtol=0, atol=tolerance)
        assert found.scale == 1


def test_of_many_examples_a_fixed_part_is_halved():
    y, x = related(4500, dtype="float32", features=2)
    found = half_samples(y, x, 3)
    np.testing.assert_allclose(found.debiased, one_at_a_time(y, x, 3, 0, 1)[1], rtol=0, atol=1e-6)
    assert found.scale == pytest.approx((4000 / 4500) ** 0.5)
    picked, weights = draw_halves(4500, 3, 0)
    assert len(np.unique(picked)) == len(weights) == 4000
    assert (weights.sum(0) == 2000).all()


def test_half_samples_are_of_different_examples():
    _, weights = draw_halves(41, 100, 0)
    assert (weights.sum(0) == 20).all()
    assert len(np.unique(weights, axis=1).T) == 100
    other = draw_halves(41, 100, 1)[1]
    assert (other != weights).any()


def test_the_same_examples_are_halved_for_every_pair_of_states():
    """Values computed from two maps are paired: a state with itself is in both."""
    y, _ = related(60)
    both = np.concatenate([y, y[:, :, ::-1]])
    own, of_both = half_samples(y, y, 10), half_samples(both, both, 10)
    np.testing.assert_allclose(of_both.debiased[:, :3, :3], own.debiased, rtol=1e-9)
    crossed = half_samples(both, y, 10)
    np.testing.assert_allclose(crossed.debiased[:, :3], own.debiased, rtol=1e-9)
    assert np.abs(half_samples(y, y, 10, seed=1).debiased - own.debiased).max() > 0.01


def test_a_depth_without_variance_is_nan_and_it_alone():
    y, x = related(60)
    y[1] = 7
    for values in (half_samples(y, x, 4).biased, half_samples(y, x, 4).debiased):
        assert np.isnan(values[:, 1]).all()
        assert np.isfinite(values[:, [0, 2]]).all()
        assert np.isnan(standard_error(values, 1.0)[1]).all()


@pytest.mark.parametrize(
    ("n", "resamples", "problem"), [(7, 5, "7 examples are too few"), (8, 1, "1 half-samples")]
)
def test_what_cannot_be_halved_is_refused(n, resamples, problem):
    with pytest.raises(ValueError, match=problem):
        half_samples(*related(n), resamples)


@pytest.mark.parametrize("same", (False, True))
def test_memory_stays_within_its_bound(same, tmp_path):
    memory_mb, shape = 12, (6, 2800, 256)
    rng = np.random.default_rng(5)
    mapped = []
    for name in "yx":
        rng.normal(size=shape).astype(np.float32).tofile(tmp_path / name)
        mapped.append(np.memmap(tmp_path / name, np.float32, "r", shape=shape))
    y, x = mapped[0], mapped[0] if same else mapped[1]
    assert y.nbytes / 2**20 > 1.3 * memory_mb
    tracemalloc.start()
    try:
        half_samples(y, x, memory_mb=memory_mb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 2**20 < memory_mb


def test_the_number_of_threads_changes_no_number():
    y, x = related(1100, dtype="float32")
    found = []
    for threads in (1, 3):
        with threadpool_limits(threads):
            found.append(half_samples(y, x, 5).debiased)
    np.testing.assert_array_equal(*found)
