"""How often two methods are said to rise and fall at the same layers, wrongly and rightly."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from helpers.rates import WHOLE, at_least, at_most, publish, repeats
from strata.analysis.correlations import MIN_TASKS, correlate, relate
from strata.study.settings import Sampling

SAMPLING = Sampling(199, 0.95)
DEPTHS, TASKS = (6, 12, 24), (2, 8, 12)
REPEATS = repeats(20, 500)
Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def monotone(rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    return rng.exponential(size=(tasks, depths)).cumsum(1)


def autoregressive(rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    """AR(1) with 0.9, stationary."""
    noise = rng.standard_normal((tasks, depths))
    curves = noise.copy()
    for k in range(1, depths):
        curves[:, k] = 0.9 * curves[:, k - 1] + np.sqrt(1 - 0.9**2) * noise[:, k]
    return curves


def scattered(rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    return rng.standard_normal((tasks, depths))


def steep_early(rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    """Monotone, its increments shrinking to a hundredth from the first to the last."""
    steps = rng.exponential(size=(tasks, depths)) * np.geomspace(1, 0.01, depths)
    return steps.cumsum(1)


def smooth(rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    """Monotone; neighbouring increments correlate."""
    noise = rng.standard_normal((tasks, depths + 1))
    return np.exp(0.8 * (noise[:, 1:] + noise[:, :-1])).cumsum(1)


NULLS: dict[str, Draw] = {
    "monotone, random increments": monotone,
    "AR(1), 0.9": autoregressive,
    "no trend, independent depths": scattered,
}
LIMITS: dict[str, Draw] = {"both steep early": steep_early, "smooth increments": smooth}


def half_shared(draw: Draw, rng: np.random.Generator, tasks: int, depths: int) -> np.ndarray:
    """Half of a curve's variance belongs to the model and is the same in all tasks."""
    return np.sqrt(0.5) * (draw(rng, tasks, depths) + draw(rng, 1, depths))


def drawn(draw: Draw, shared: bool, rng: np.random.Generator, tasks: int, depths: int):
    return half_shared(draw, rng, tasks, depths) if shared else draw(rng, tasks, depths)


def rates(name: str, draw: Draw, shared: bool, depths: int, tasks: int) -> dict[str, object]:
    """The conclusions about unrelated methods and methods that share half of their curves."""
    counts = dict.fromkeys(("wrong", "excluded", "t_alone", "seen"), 0)
    for repeat in range(REPEATS):
        rng = np.random.default_rng([repeat, depths, tasks, shared])
        a, b = (drawn(draw, shared, rng, tasks, depths) for _ in range(2))
        found = relate(a, b, SAMPLING, repeat)
        counts["wrong"] += found.p <= 0.05
        counts["excluded"] += not found.low <= 0 <= found.high and tasks >= MIN_TASKS
        t = {2: 12.706, 8: 2.365, 12: 2.201}[tasks]
        counts["t_alone"] += abs(found.value) > t * found.spread / np.sqrt(tasks)
        related = relate(a, np.sqrt(0.5) * (a + b), SAMPLING, repeat)
        counts["seen"] += related.p <= 0.05
    shares = {key: count / REPEATS for key, count in counts.items()}
    return {
        "curves": name,
        "tasks share": "half" if shared else "nothing",
        "depths": depths,
        "tasks": tasks,
        "unrelated: p <= 0.05": shares["wrong"],
        "interval without 0": shares["excluded"] if tasks >= MIN_TASKS else "none",
        "t alone without 0": shares["t_alone"],
        "half related: p <= 0.05": shares["seen"],
    }


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    cells = product(NULLS.items(), (False, True), DEPTHS, TASKS)
    if not WHOLE:
        cells = product(NULLS.items(), (False, True), (6, 12), (2, 8))
    rows = [
        rates(name, draw, shared, depths, tasks) for (name, draw), shared, depths, tasks in cells
    ]
    table = pd.DataFrame(rows)
    publish("agreement", table)
    return table


def test_unrelated_methods_are_rarely_said_to_be_related(table):
    allowed = at_most(0.05, REPEATS) / REPEATS
    assert (table["unrelated: p <= 0.05"] <= allowed).all(), table
    intervals = table.loc[table["tasks"] >= MIN_TASKS, "interval without 0"]
    assert (intervals <= allowed).all(), table


def test_related_methods_are_seen(table):
    seen = table[(table["depths"] >= 12) & (table["tasks"] >= MIN_TASKS)]
    apart = seen[seen["tasks share"] == "nothing"]["half related: p <= 0.05"]
    assert (apart >= at_least(0.95, REPEATS) / REPEATS).all(), table
    assert (seen["half related: p <= 0.05"] >= at_least(0.85, REPEATS) / REPEATS).all(), table


def test_tasks_of_one_model_are_too_alike_for_t_alone(table):
    """Why the interval is never narrower than that of random orders."""
    alike = table[(table["tasks share"] == "half") & (table["tasks"] >= MIN_TASKS)]
    assert alike["t alone without 0"].mean() > 0.15


@pytest.mark.parametrize("shared", (False, True))
def test_intervals_of_related_methods_hold_the_truth(shared):
    """The truth: the average correlation over models and their tasks."""
    count = repeats(40, 500)
    found = []
    for repeat in range(count):
        rng = np.random.default_rng([repeat, shared])
        a, b = (drawn(monotone, shared, rng, 8, 12) for _ in range(2))
        found.append(relate(a, np.sqrt(0.5) * (a + b), SAMPLING, repeat))
    truth = np.mean([relation.value for relation in found])
    held = sum(relation.low <= truth <= relation.high for relation in found)
    assert held >= at_least(0.95, count)


def test_what_nothing_repairs_is_published():
    """Unrelated curves of the same shape are said to be related, and increments do not help."""
    depths, tasks = (12, 24) if WHOLE else (12,), (8,)
    rows = [
        rates(name, draw, False, depth, count)
        for (name, draw), depth, count in product(LIMITS.items(), depths, tasks)
    ]
    limits = pd.DataFrame(rows)
    publish("agreement-limits", limits)
    steep = limits[limits["curves"] == "both steep early"]
    assert (steep["unrelated: p <= 0.05"] > 0.5).all(), limits


@pytest.mark.parametrize("ranks", (True, False))
def test_intervals_of_pairs_hold_the_truth(ranks):
    """Ten orders of layers scored on two tasks: Fisher's interval and the permutation p."""
    count = repeats(100, 500)
    missed = wrong = 0
    for repeat in range(count):
        rng = np.random.default_rng([repeat, ranks])
        x, noise = rng.standard_normal((2, 10))
        found = correlate(x, 0.6 * x + 0.8 * noise, ranks, SAMPLING, repeat)
        truth = 6 / np.pi * np.arcsin(0.6 / 2) if ranks else 0.6
        missed += not found.low <= truth <= found.high
        wrong += correlate(x, noise, ranks, SAMPLING, repeat).p <= 0.05
    assert missed <= at_most(0.05, count) and wrong <= at_most(0.05, count)
