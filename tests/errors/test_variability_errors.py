"""Variability: how often a depth is claimed that is no better, and which depth is selected.

States have two classes (or a target), 400 examples and 24 features, and half-samples as in a study.
"""

import functools

import numpy as np
import pandas as pd
import pytest

from helpers import tiny
from helpers.rates import WHOLE, at_least, at_most, publish, repeats
from strata.analysis.selection import Labelled, finding_table, measure_depths, variability_table
from strata.analysis.variability import classes, scatter, values_of_samples

N, FEATURES, HALVES = 400, 24, 200
REPEATS = repeats(6, 200)
CLAIMS: list[dict] = []
SIZES = (100, 300, 1000, 3000, 10_000)
STRONG, TWICE = 0.5, 1.0  # standard deviations of a feature that the target moves the states by


# ---------------------------------------------------------------- what is claimed


def state(rng, labels, gap, fall=0.0, axis=False, shared=None):
    """Vectors whose variances fall like 1 / k^fall, with the classes `gap` apart (Mahalanobis).

    Along all axes equally, or along the first only: a linear map predicts as well, but nu differs.
    With `shared`, four fifths of the variance is common to all depths, as in a network.
    """
    noise = rng.standard_normal((len(labels), FEATURES))
    if shared is not None:
        noise = np.sqrt(0.8) * shared + np.sqrt(0.2) * noise
    towards = np.zeros(FEATURES)
    towards[: 1 if axis else FEATURES] = 1
    noise += gap * np.outer(labels - 0.5, towards / np.linalg.norm(towards))
    return noise * np.arange(1, FEATURES + 1) ** (-fall / 2)


SIMULATED = {
    "labels unrelated, other geometry": lambda k, top: {"gap": 0, "fall": k / top},
    "equally informative, alike": lambda k, top: {"gap": 1.5, "fall": 0.5},
    "equally informative, other geometry": lambda k, top: {"gap": 1.5, "fall": k / top},
    "equally informative, lowest nu at one": lambda k, top: {
        "gap": 1.5,
        "fall": 1,
        "axis": k == top,
    },
    "better at one": lambda k, top: {"gap": 2.6 if k == 2 else 1.5, "fall": 0.5},
    "better at one, other geometry": lambda k, top: {
        "gap": 3 if k == 2 else 1.5,
        "fall": k / top / 2,
    },
}


@functools.cache
def claimed(kind, depths, shared=False):
    """The depth that is claimed in each repeat, None if there is none."""
    found = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng(repeat)
        labels = np.arange(N) % 2
        common = rng.standard_normal((N, FEATURES)) if shared else None
        asked = [SIMULATED[kind](k, depths) for k in range(1, depths + 1)]
        vectors = np.stack([state(rng, labels, **each, shared=common) for each in asked])
        labelled = Labelled(tiny.task(), labels, bins=2)
        measured = measure_depths(vectors, labelled, HALVES)
        table = variability_table(measured, range(1, depths + 1), 0.95)
        depth = finding_table("m", "t", table)["claimed"].item()
        found.append(None if pd.isna(depth) else int(depth))
    CLAIMS.append(
        {
            "depths": f"{kind}{', common noise' if shared else ''}",
            "L": depths,
            "repeats": REPEATS,
            "claimed": f"{np.mean([depth is not None for depth in found]):.1%}",
        }
    )
    publish("variability-claims", pd.DataFrame(CLAIMS))
    return found


@pytest.mark.parametrize(
    ("kind", "depths", "shared"),
    [
        ("labels unrelated, other geometry", 6, False),
        ("equally informative, alike", 2, False),
        ("equally informative, alike", 6, True),
        ("equally informative, other geometry", 6, False),
        ("equally informative, lowest nu at one", 2, False),
        ("equally informative, lowest nu at one", 6, False),
    ],
)
def test_no_depth_is_claimed_where_none_is_better(kind, depths, shared):
    found = claimed(kind, depths, shared)
    assert sum(depth is not None for depth in found) <= at_most(0.05, REPEATS)


@pytest.mark.parametrize(
    ("kind", "shared"),
    [("better at one", False), ("better at one", True), ("better at one, other geometry", False)],
)
def test_a_depth_that_is_clearly_better_is_claimed(kind, shared):
    found = claimed(kind, 6, shared)
    assert sum(depth == 2 for depth in found) >= at_least(0.95, REPEATS)


# ---------------------------------------------------------------- sizes and bins


@functools.cache
def by_size(size, bins):
    """nu and corrected nu of a target: (repeats, 2, (no signal, strong, twice as strong))."""
    task, found = tiny.task("regression"), []
    for repeat in range(repeats(5, 40) if size > 3000 else repeats(10, 100)):
        rng = np.random.default_rng(repeat)
        target = rng.standard_normal(size)
        codes = classes(task, target, bins).codes(size)
        towards = np.outer(target, np.ones(192) / np.sqrt(192))
        noise = rng.standard_normal((2, size, 192))
        states = (noise[0], noise[0] + STRONG * towards, noise[1] + TWICE * towards)
        values = [values_of_samples(each, codes[None], scatter(each, codes)) for each in states]
        found.append([[v.nu[0] for v in values], [v.corrected[0] for v in values]])
    return np.array(found)


@functools.cache
def at_forty_thousand():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(40_000)
    codes = classes(tiny.task("regression"), target, 2).codes(40_000)
    states = rng.standard_normal((40_000, 192)) + STRONG * np.outer(
        target, np.ones(192) / np.sqrt(192)
    )
    return values_of_samples(states, codes[None], scatter(states, codes))


def picked(values):
    """How often the depth with twice the signal is selected; an undefined one never is."""
    once, twice = (np.nan_to_num(values[:, i], nan=np.inf) for i in (1, 2))
    return int((twice < once).sum())


def test_nu_grows_with_the_examples_and_the_corrected_nu_does_not():
    found = {size: by_size(size, 2) for size in SIZES}
    level = np.nanmedian
    assert level(found[10_000][:, 0, 1]) > 8 * level(found[100][:, 0, 1])
    assert level(found[10_000][:, 0, 0]) > 50 * level(found[100][:, 0, 0])
    whole = at_forty_thousand().corrected[0]
    for size in SIZES[2:]:
        assert level(found[size][:, 1, 1]) == pytest.approx(whole, rel=0.25)
    for size in SIZES:  # nothing is left of noise
        defined = np.isfinite(found[size][:, 1, 0])
        assert defined.sum() <= at_most(0.05, len(defined))


def test_the_better_depth_is_picked_from_a_thousand_examples_on():
    for size in SIZES[2:]:
        values = by_size(size, 2)
        assert picked(values[:, 1]) >= at_least(0.95, len(values))


def test_two_bins_pick_the_depth_with_twice_the_signal_and_five_do_not():
    size = 3000
    two, five = by_size(size, 2), by_size(size, 5)
    assert picked(two[:, 0]) == len(two)
    once, twice = np.median(two[:, 0, 1:], axis=0)
    assert twice < once / 2
    once, twice = np.median(five[:, 0, 1:], axis=0)
    assert twice > 0.8 * once  # what moves the means off their line is noise at both
    if WHOLE:
        assert picked(five[:, 0]) < at_least(0.95, len(five))


def test_the_table_of_sizes():
    rows = []
    for size in SIZES:
        for bins in (2, 5):
            values = by_size(size, bins)
            share = [picked(values[:, m]) / len(values) for m in (0, 1)]
            defined = values[np.isfinite(values[:, 1, 1]), 1, 1]
            rows.append(
                {
                    "n": size,
                    "bins": bins,
                    "repeats": len(values),
                    "nu, no signal": np.median(values[:, 0, 0]),
                    "nu": np.median(values[:, 0, 1]),
                    "corrected": np.median(defined) if len(defined) else np.nan,
                    "corrected, no signal: defined": f"{np.isfinite(values[:, 1, 0]).mean():.0%}",
                    "better picked by nu": f"{share[0]:.0%}",
                    "by corrected": f"{share[1]:.0%}",
                }
            )
    table = pd.DataFrame(rows)
    publish("variability-sizes", table)
    assert (table.query("bins == 2 and n >= 1000")["corrected"] > 0).all()
