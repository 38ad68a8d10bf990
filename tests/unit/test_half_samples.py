"""CKA of half-samples against one at a time, and what their spread says."""

import numpy as np
import pytest

from strata.analysis.cka import alignment
from strata.analysis.half_samples import draw_halves, half_samples


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
@pytest.mark.parametrize("memory_mb", (0.02, 2048))
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
