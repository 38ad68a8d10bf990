"""Correlations of few values: of curves over depth in several tasks, and of pairs.

Curves over depth share a trend, whatever they measure, so their values correlate by themselves: two
monotone curves perfectly. Here their **increments** are correlated, by ranks within each task.
"""

from dataclasses import dataclass
from itertools import permutations
from math import atanh, factorial, sqrt, tanh
from statistics import NormalDist

import numpy as np
import pandas as pd

from strata.study.settings import Sampling

MIN_TASKS = 8  # below them, a spread over tasks is too uncertain for an interval
ROUNDING = 1e-9  # correlations that differ by less are equal


@dataclass(frozen=True)
class Relation:
    """Whether two curves over depth rise and fall at the same depths.

    Attributes
    ----------
    value : the mean over tasks of the rank correlation of increments; NaN where no task has one.
    low, high : its interval; NaN below eight tasks.
    p : how often orders of the depths by chance give a correlation as far from 0.
    orders : how many such orders `p` counts, that of the data among them.
    tasks : how many have a correlation.
    increments : how many each of them has.
    spread : the standard deviation of the tasks' correlations.
    trend : the mean over tasks of the rank correlation of the values themselves, which their
        trends make; it describes, and is evidence of nothing.
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
    """A correlation, its interval and its p; NaN where a side is constant."""

    value: float
    low: float
    high: float
    p: float


def relate(a: np.ndarray, b: np.ndarray, sampling: Sampling, seed: int = 0) -> Relation:
    """Rank correlation between the increments of two sets of curves.

    An increment is a value less that of the depth before it. Increments are ranked within a task,
    Spearman's correlation is taken in each task, and the mean over tasks is `value`.

    `p` leaves `a` as it is and gives `b`'s depths other orders, each order to all tasks alike, so
    that what the tasks of a model share stays shared. It does so in two ways: the increments of
    `b` are reordered, which is right for curves that wander (independent increments); or the
    values of `b` are reordered and their increments taken anew, which is right for curves without
    a trend (independent values, whose neighbouring increments are opposed). In each way p is the
    share of orders, that of the data among them, whose correlation is at least as far from 0; the
    larger of the two p is taken. All orders are gone through where there are at most
    ``sampling.resamples``, else so many are drawn, p being (1 + as large) / (1 + drawn).

    The interval is Student's t over tasks, from eight tasks on, but its half-width is never less
    than the correlation that is exceeded by chance orders with probability 1 - confidence: tasks of
    one model are not independent, and t alone excludes 0 for unrelated curves in up to a third of
    simulations (docs/errors.md). An interval without 0 so implies p <= 1 - confidence.

    Parameters
    ----------
    a, b : [tasks, depths], with NaN where there is no value. Tasks without two neighbouring values
        of both are left out; of the others, the depths at which all have both increments count.
    sampling : ``resamples`` orders, and the interval's confidence.
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
        from scipy.special import stdtrit  # only where there are so many tasks

        t = float(stdtrit(tasks - 1, (1 + sampling.confidence) / 2))
        half = max(t * spread / sqrt(tasks), *exceeded) + ROUNDING
        low, high = max(value - half, -1.0), min(value + half, 1.0)
    return Relation(value, low, high, p, orders, tasks, len(kept), spread, trend)


def correlate(
    x: np.ndarray, y: np.ndarray, ranks: bool, sampling: Sampling, seed: int = 0
) -> Correlation:
    """Pearson's or, by ranks, Spearman's correlation of pairs that are drawn independently.

    The interval is Fisher's, with the standard error of Bonett and Wright (2000) for ranks; NaN
    below five pairs, and where the correlation is 1 or -1. p counts the pairings of x with y, all
    of them where there are at most ``sampling.resamples``, else so many drawn ones, whose
    correlation is at least as far from 0.

    Parameters
    ----------
    x, y : [values], pairs with a NaN are left out.
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
    """Mean correlations where `b`'s increments, and where its values, have other orders, [orders].

    Parameters
    ----------
    left : [tasks, increments], the scaled increments of the other side.
    b : [tasks, depths], the values.
    kept : the increments that count.
    """
    right = _scaled(_increments(b)[:, kept])
    products = left.T @ right / len(left)
    orders = _orders(len(kept), resamples, seed)
    by_increments = products[np.arange(len(kept)), orders].sum(1)
    # Values that belong to no increment that counts stay where they are.
    places = np.union1d(kept, kept + 1)
    orders = _orders(len(places), resamples, seed)
    moved = np.repeat(b[:, None], len(orders), axis=1)
    moved[:, :, places] = b[:, places[orders]]
    # An order that makes all increments equal says nothing, and counts as 0.
    anew = np.nan_to_num(_scaled(_increments(moved)[..., kept]))
    return by_increments, np.einsum("tk,tmk->m", left, anew) / len(left)


def _increments(curves: np.ndarray) -> np.ndarray:
    """Each value less the one before, in units of the largest; equal ones stay equal.

    Of scores that are fractions of n, equal increments differ in their last digits, and ranks must
    not.
    """
    size = np.where(np.isfinite(curves), np.abs(curves), 0).max(-1, initial=0, keepdims=True)
    return np.round(np.diff(curves, axis=-1) / np.where(size > 0, size, 1), 10)


def _orders(count: int, resamples: int, seed: int) -> np.ndarray:
    """Orders of so many places, [orders, count], the first of them as they are."""
    if factorial(count) <= resamples:
        return np.array(list(permutations(range(count))))
    drawn = np.tile(np.arange(count), (1 + resamples, 1))
    drawn[1:] = np.random.default_rng(seed).permuted(drawn[1:], axis=1)
    return drawn


def _share(chance: np.ndarray, value: float) -> float:
    """Of correlations by chance, the share that is at least as far from 0, up to rounding."""
    return float(np.mean(np.abs(chance) >= abs(value) - ROUNDING))


def _scaled(values: np.ndarray, ranks: bool = True) -> np.ndarray:
    """Ranks (or values) along the last axis, centred, of length 1; NaN where all are equal."""
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
    """The correlation in each row, from scaled values; NaN where a side is constant or empty."""
    products = left * right
    sums = np.where(np.isfinite(products), products, 0).sum(-1)
    return np.where(np.isfinite(products).any(-1), np.clip(sums, -1, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
