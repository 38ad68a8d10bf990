"""Correlations of few values in groups, with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.study.settings import Sampling


@dataclass(frozen=True)
class Correlation:
    """A correlation and its percentile interval; NaN where a side is constant."""

    value: float
    low: float
    high: float


def correlate(
    x: np.ndarray,
    y: np.ndarray,
    ranks: bool,
    sampling: Sampling,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Correlation:
    """Pearson's or, by ranks, Spearman's correlation within groups.

    Values are ranked and centred within their group, so that what differs between groups (one task
    is harder than another) counts for nothing.

    Parameters
    ----------
    x, y : [values], pairs with a NaN are left out.
    groups : [values], the group of each; by default one for all.
    sampling : of the values of each group.
    """
    groups = np.zeros(len(x)) if groups is None else np.asarray(groups)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    there = np.isfinite(x) & np.isfinite(y)
    parts = [
        (x[there & (groups == group)], y[there & (groups == group)])
        for group in dict.fromkeys(groups.tolist())
    ]
    value = _within(parts, ranks)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(sampling.resamples):
        sample = []
        for a, b in parts:
            rows = rng.integers(len(a), size=len(a)) if len(a) else np.empty(0, int)
            sample.append((a[rows], b[rows]))
        drawn.append(_within(sample, ranks))
    defined = [other for other in drawn if np.isfinite(other)]
    if not np.isfinite(value) or not defined:
        return Correlation(value, float("nan"), float("nan"))
    tails = [(1 - sampling.confidence) / 2, (1 + sampling.confidence) / 2]
    low, high = np.quantile(defined, tails)
    return Correlation(value, float(low), float(high))


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs. (scipy.stats takes 0.5 s to import.)"""
    return pd.Series(values).rank().to_numpy()


def _within(parts: list[tuple[np.ndarray, np.ndarray]], ranks: bool) -> float:
    sides = []
    for side in range(2):
        values = [_scaled(part[side], ranks) for part in parts if len(part[side]) > 1]
        sides.append(np.concatenate(values) if values else np.empty(0))
    norms = [np.sqrt((side**2).sum()) for side in sides]
    if min(norms, default=0) == 0:
        return float("nan")
    return float(np.clip(sides[0] @ sides[1] / (norms[0] * norms[1]), -1, 1))


def _scaled(values: np.ndarray, ranks: bool) -> np.ndarray:
    values = mean_ranks(values) if ranks else values
    return values - values.mean()
