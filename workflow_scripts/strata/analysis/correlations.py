"""Correlations of few values: of curves over depth in several tasks, and of pairs.

Curves over depth share a trend, whatever they measure, so their values correlate anyway: two
monotone curves perfectly. So their **increments** are correlated here, by ranks within each task.
"""

from dataclasses import dataclass
from itertools import permutations
from math import atanh, factorial, sqrt, tanh
from statistics import NormalDist

import numpy as np
import pandas as pd

from strata.study.settings import Sampling

MIN_TASKS = 8  # with fewer, the spread over tasks is too uncertain for an interval
ROUNDING = 1e-9  # correlations that differ by less count as equal


@dataclass(frozen=True)
class Relation:
    """Whether two curves over depth rise and fall at the same depths.

    Attributes
    ----------
    value : float
        The mean over tasks of the rank correlation of increments; NaN if no task has one.
    low, high : float
        The interval of `value`; NaN with fewer than eight tasks.
    p : float
        How often random orders of the depths give a correlation as far from 0.
    orders : int
        The number of orders behind `p`, including that of the data.
    tasks : int
        The number of tasks with a correlation.
    increments : int
        The number of increments in each task.
    spread : float
        The standard deviation of the tasks' correlations.
    trend : float
        The mean over tasks of the rank correlation of the values themselves. It comes from their
        trends, so it is a description and evidence of nothing.
    """

    value: float
    low: float
    high: float
    p: float
    orders: int
    tasks: int
    increments: int
    spread: float
    trend: float


@dataclass(frozen=True)
class Correlation:
    """A correlation, its interval and its p; NaN if a side is constant."""

    value: float
    low: float
    high: float
    p: float


def relate(a: np.ndarray, b: np.ndarray, sampling: Sampling, seed: int = 0) -> Relation:
    """Rank correlation between the increments of two sets of curves.

    An increment is a value minus that of the depth before it. Increments are ranked within a task,
    Spearman's correlation is computed in each task, and the mean over tasks is `value`.

    For `p`, `a` stays as it is and `b`'s depths get other orders. All tasks get the same order, so
    that what the tasks of a model share stays shared. There are two ways: the increments of `b` are
    reordered, which is right for curves that wander (independent increments); or the values of `b`
    are reordered and their increments computed again, which is right for curves without a trend
    (independent values, with opposed neighbouring increments). In each way p is the share of
    orders, including that of the data, with a correlation at least as far from 0; the larger of the
    two p is used. All orders are tried if there are at most ``sampling.resamples``; otherwise that
    many are drawn, and p is (1 + as large) / (1 + drawn).

    With eight tasks or more the interval is Student's t over tasks, but its half-width is never
    less than the correlation that random orders exceed with probability 1 - confidence: tasks of
    one model are not independent, and t alone excludes 0 for unrelated curves in up to a third of
    simulations (docs/errors.md). So an interval without 0 implies p <= 1 - confidence.

    Parameters
    ----------
    a, b : ndarray of shape (tasks, depths)
        The curves, with NaN where there is no value. Tasks without two neighbouring values of both
        are left out; of the others, only depths at which all of them have both increments are used.
    sampling : Sampling
        The number of orders (``resamples``) and the interval's confidence.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    trend = _mean(_products(_scaled(a + 0 * b), _scaled(b + 0 * a)))
    there = np.isfinite(_increments(a + b))
    a, b, there = (of_task[there.any(1)] for of_task in (a, b, there))
    kept = np.flatnonzero(there.all(0)) if len(there) else np.empty(0, int)
    left, right = (_scaled(_increments(side)[:, kept]) for side in (a, b))
    each = _products(left, right)
    told = np.isfinite(each)
    value, tasks = _mean(each), int(told.sum())
    p = low = high = spread = float("nan")
    orders = 0
    if tasks:
        chance = _by_chance(left[told], b[told], kept, sampling.resamples, seed)
        p, orders = max(_share(drawn, value) for drawn in chance), len(chance[0])
    if tasks > 1:
        spread = float(each[told].std(ddof=1))
    if tasks >= MIN_TASKS:
        exceeded = [
            float(np.quantile(np.abs(drawn), sampling.confidence, method="higher"))
            for drawn in chance
        ]
        from scipy.special import stdtrit  # only needed with enough tasks

        t = float(stdtrit(tasks - 1, (1 + sampling.confidence) / 2))
        half = max(t * spread / sqrt(tasks), *exceeded) + ROUNDING
        low, high = max(value - half, -1.0), min(value + half, 1.0)
    return Relation(value, low, high, p, orders, tasks, len(kept), spread, trend)


def correlate(
    x: np.ndarray, y: np.ndarray, ranks: bool, sampling: Sampling, seed: int = 0
) -> Correlation:
    """Pearson's or, by ranks, Spearman's correlation of independently drawn pairs.

    The interval is Fisher's, with the standard error of Bonett and Wright (2000) for ranks; NaN
    with fewer than five pairs, and if the correlation is 1 or -1. p is the share of pairings of x
    with y with a correlation at least as far from 0, among all pairings if there are at most
    ``sampling.resamples``, else among that many drawn ones.

    Parameters
    ----------
    x, y : ndarray of shape (values,)
        The pairs' values; pairs with a NaN are left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    there = np.isfinite(x) & np.isfinite(y)
    left, right = (_scaled(side[None, there], ranks) for side in (x, y))
    value = _mean(_products(left, right))
    if not np.isfinite(value):
        return Correlation(value, value, value, value)
    count = int(there.sum())
    p = _share((left * right[0, _orders(count, sampling.resamples, seed)]).sum(1), value)
    if count < 5 or abs(value) > 1 - 1e-12:
        return Correlation(value, float("nan"), float("nan"), p)
    error = sqrt((1 + value**2 / 2 if ranks else 1) / (count - 3))
    reach = NormalDist().inv_cdf((1 + sampling.confidence) / 2) * error
    return Correlation(value, tanh(atanh(value) - reach), tanh(atanh(value) + reach), p)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs. (scipy.stats takes 0.5 s to import.)"""
    return pd.Series(values).rank().to_numpy()


def _by_chance(
    left: np.ndarray, b: np.ndarray, kept: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean correlations if `b`'s increments, and if its values, are reordered, (orders,) each.

    Parameters
    ----------
    left : ndarray of shape (tasks, increments)
        The scaled increments of the other side.
    b : ndarray of shape (tasks, depths)
        The values of this side.
    kept : ndarray
        Which increments are used.
    """
    right = _scaled(_increments(b)[:, kept])
    products = left.T @ right / len(left)
    orders = _orders(len(kept), resamples, seed)
    by_increments = products[np.arange(len(kept)), orders].sum(1)
    # Values that no used increment needs stay where they are.
    places = np.union1d(kept, kept + 1)
    orders = _orders(len(places), resamples, seed)
    moved = np.repeat(b[:, None], len(orders), axis=1)
    moved[:, :, places] = b[:, places[orders]]
    # An order that makes all increments equal says nothing and counts as 0.
    anew = np.nan_to_num(_scaled(_increments(moved)[..., kept]))
    return by_increments, np.einsum("tk,tmk->m", left, anew) / len(left)


def _increments(curves: np.ndarray) -> np.ndarray:
    """Each value minus the one before, in units of the largest; equal ones stay equal.

    Equal increments of scores that are fractions of n differ in their last digits, but their ranks
    must not differ.
    """
    size = np.where(np.isfinite(curves), np.abs(curves), 0).max(-1, initial=0, keepdims=True)
    return np.round(np.diff(curves, axis=-1) / np.where(size > 0, size, 1), 10)


def _orders(count: int, resamples: int, seed: int) -> np.ndarray:
    """Orders of `count` places, (orders, count); the first is the identity."""
    if factorial(count) <= resamples:
        return np.array(list(permutations(range(count))))
    drawn = np.tile(np.arange(count), (1 + resamples, 1))
    drawn[1:] = np.random.default_rng(seed).permuted(drawn[1:], axis=1)
    return drawn


def _share(chance: np.ndarray, value: float) -> float:
    """The share of random correlations that are at least as far from 0, up to rounding."""
    return float(np.mean(np.abs(chance) >= abs(value) - ROUNDING))


def _scaled(values: np.ndarray, ranks: bool = True) -> np.ndarray:
    """Ranks (or values) along the last axis, centred, of length 1; NaN if all are equal."""
    if ranks:
        flat = pd.DataFrame(values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1]))
        values = flat.rank(axis=1).to_numpy().reshape(values.shape)
    there = np.isfinite(values)
    count = np.maximum(there.sum(-1, keepdims=True), 1)
    centred = values - np.where(there, values, 0).sum(-1, keepdims=True) / count
    length = np.sqrt(np.where(there, centred**2, 0).sum(-1, keepdims=True))
    size = np.where(there, np.abs(values), 0).max(-1, initial=0, keepdims=True)
    constant = length <= 1e-12 * np.maximum(size, 1e-300)
    return centred / np.where(constant, np.nan, length)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The correlation in each row, from scaled values; NaN if a side is constant or empty."""
    products = left * right
    sums = np.where(np.isfinite(products), products, 0).sum(-1)
    return np.where(np.isfinite(products).any(-1), np.clip(sums, -1, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
