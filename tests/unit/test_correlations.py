"""Correlations within groups, against SciPy where there is one group."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from strata.analysis.correlations import correlate
from strata.study.settings import Sampling


def pair(n=12, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, x + rng.standard_normal(n)


@pytest.mark.parametrize(("ranks", "expected"), [(True, spearmanr), (False, pearsonr)])
def test_one_group_is_scipys(ranks, expected):
    x, y = pair()
    found = correlate(x, y, ranks, Sampling(200, 0.95))
    assert found.value == pytest.approx(expected(x, y)[0])
    assert found.low < found.value < found.high


def test_what_differs_between_groups_counts_for_nothing():
    x, y = pair(20)
    groups = np.repeat(["a", "b"], 10)
    lifted = y + np.where(groups == "b", 100, 0)
    assert correlate(x, lifted, False, Sampling(20, 0.95), groups).value == pytest.approx(
        correlate(x, y, False, Sampling(20, 0.95), groups).value
    )


def test_a_perfect_order_in_every_group_is_one():
    x = np.array([1, 2, 3, 10, 20, 30.0])
    y = np.array([7, 8, 9, 1, 2, 3.0])
    found = correlate(x, y, True, Sampling(50, 0.95), np.repeat([0, 1], 3))
    assert found.value == pytest.approx(1)


def test_missing_pairs_are_left_out_and_constants_are_undefined():
    x, y = pair()
    holes = y.copy()
    holes[:3] = np.nan
    assert correlate(x, holes, True, Sampling(20, 0.95)).value == pytest.approx(
        correlate(x[3:], y[3:], True, Sampling(20, 0.95)).value
    )
    assert np.isnan(correlate(x, np.ones_like(x), True, Sampling(20, 0.95)).value)
    assert np.isnan(correlate(np.array([]), np.array([]), True, Sampling(20, 0.95)).value)
