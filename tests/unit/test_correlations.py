"""Correlations of increments over depth and of pairs, against SciPy and explicit enumeration."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr, t

from strata.analysis.correlations import correlate, relate
from strata.study.settings import Sampling

SAMPLING = Sampling(200, 0.95)


def curves(tasks, depths, seed=0, shared=0.0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((tasks, depths))
    return a, shared * a + rng.standard_normal((tasks, depths))


def mean_spearman(a, b):
    return np.mean([spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)])


# ---------------------------------------------------------------- curves over depth


def test_increments_are_ranked_within_a_task():
    a, b = curves(3, 6, shared=1.0)
    found = relate(a, b, SAMPLING)
    assert found.value == pytest.approx(mean_spearman(np.diff(a), np.diff(b)))
    assert found.trend == pytest.approx(mean_spearman(a, b))
    assert (found.tasks, found.increments) == (3, 5)
    other_levels = b * [[1], [10], [0.1]] + [[5], [0], [-7]]
    assert relate(a, other_levels, SAMPLING).value == pytest.approx(found.value)


@pytest.mark.parametrize("tasks", (1, 3))
@pytest.mark.parametrize("seed", range(3))
def test_p_counts_every_order_of_the_depths(seed, tasks):
    """The same order in all tasks: of the increments, and of the values; the larger share."""
    a, b = curves(tasks, 5, seed, shared=1.5)
    value = abs(mean_spearman(np.diff(a), np.diff(b))) - 1e-9
    by_increments = [
        abs(mean_spearman(np.diff(a), np.diff(b)[:, order])) >= value
        for order in map(list, permutations(range(4)))
    ]
    by_values = [
        abs(mean_spearman(np.diff(a), np.diff(b[:, order]))) >= value
        for order in map(list, permutations(range(5)))
    ]
    found = relate(a, b, SAMPLING)
    assert found.orders == 24
    assert found.p == pytest.approx(max(np.mean(by_increments), np.mean(by_values)))


def test_drawn_orders_count_that_of_the_data():
    a = np.arange(20.0)[None] ** 2
    found = relate(a, a, Sampling(99, 0.95))
    assert found.orders == 100 and found.p == 1 / 100 and found.value == pytest.approx(1)
    assert found.p == relate(a, a, Sampling(99, 0.95)).p


def test_from_eight_tasks_on_the_interval_is_students_or_wider():
    a, b = curves(8, 24, shared=0.6)
    each = np.array([spearmanr(x, y)[0] for x, y in zip(np.diff(a), np.diff(b), strict=True)])
    found = relate(a, b, SAMPLING)
    half = t.ppf(0.975, 7) * each.std(ddof=1) / np.sqrt(8)
    assert found.high - found.value >= half and found.value - found.low >= half
    assert found.high - found.value < 2 * half  # by chance orders
    assert found.spread == pytest.approx(each.std(ddof=1))
    # Tasks that really differ: random orders give a narrower interval, so it is t's.
    mixed = np.concatenate([a[:4], -a[4:]])
    found = relate(a, mixed, SAMPLING)
    reach = t.ppf(0.975, 7) * found.spread / np.sqrt(8)
    assert (found.low, found.high) == pytest.approx((-reach, reach))
    seven = relate(a[:7], b[:7], SAMPLING)
    assert np.isnan([seven.low, seven.high]).all() and np.isfinite(seven.p)


def test_an_interval_without_0_implies_a_small_p():
    for seed in range(30):
        a, b = curves(8, 6, seed, shared=0.4)
        found = relate(a, b, SAMPLING, seed)
        assert found.p <= 0.05 or found.low <= 0 <= found.high


def test_depths_without_values_are_left_out_of_every_task():
    a, b = curves(3, 8, shared=1.0)
    b[1, 3] = np.nan  # which affects the increments into depths 4 and 5
    found = relate(a, b, SAMPLING)
    kept = [0, 1, 4, 5, 6]
    assert found.increments == 5
    assert found.value == pytest.approx(mean_spearman(np.diff(a)[:, kept], np.diff(b)[:, kept]))
    b[2] = np.nan
    assert relate(a, b, SAMPLING).tasks == 2


def test_what_has_no_increments_or_equal_ones_has_no_correlation():
    a, b = curves(2, 6)
    flat = np.tile(np.arange(6) / 10, (2, 1))  # increments that differ by rounding alone
    for other in (np.full_like(b, np.nan), flat, np.ones_like(b)):
        found = relate(a, other, SAMPLING)
        assert np.isnan([found.value, found.low, found.p]).all() and found.tasks == 0
    assert relate(a, np.stack([b[0], flat[0]]), SAMPLING).tasks == 1
    assert relate(a[:, :1], b[:, :1], SAMPLING).tasks == 0


# ---------------------------------------------------------------- pairs


def pair(n=12, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, x + rng.standard_normal(n)


@pytest.mark.parametrize(("ranks", "scipys"), [(True, spearmanr), (False, pearsonr)])
def test_pairs_are_scipys(ranks, scipys):
    x, y = pair()
    found = correlate(x, y, ranks, SAMPLING)
    assert found.value == pytest.approx(scipys(x, y)[0])
    assert found.low < found.value < found.high
    if not ranks:
        interval = pearsonr(x, y).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("ranks", (True, False))
def test_p_of_few_pairs_counts_every_pairing(ranks):
    x, y = pair(5)
    scipys = spearmanr if ranks else pearsonr
    value = abs(scipys(x, y)[0]) - 1e-9
    as_large = [abs(scipys(x, y[list(order)])[0]) >= value for order in permutations(range(5))]
    assert correlate(x, y, ranks, SAMPLING).p == pytest.approx(np.mean(as_large))


def test_missing_pairs_are_left_out_and_constants_are_undefined():
    x, y = pair()
    holes = y.copy()
    holes[:3] = np.nan
    assert correlate(x, holes, True, SAMPLING) == correlate(x[3:], y[3:], True, SAMPLING)
    assert np.isnan(correlate(x, np.ones_like(x), True, SAMPLING).value)
    assert np.isnan(correlate(np.array([]), np.array([]), True, SAMPLING).value)


def test_four_pairs_have_no_interval():
    x, y = pair(4)
    found = correlate(x, y, True, SAMPLING)
    assert np.isnan([found.low, found.high]).all() and 0 < found.p <= 1
