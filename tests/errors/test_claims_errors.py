"""The papers' claims: how often a verdict is accidental, and how often a true one is found."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from helpers.rates import at_least, at_most, publish, repeats
from strata.analysis.claim_evidence import (
    Cells,
    Estimate,
    Losses,
    largest,
    least,
    likest,
    losses,
    mean_cell,
    only,
    over_runs,
)
from strata.analysis.claims import FAILS, HOLDS, OF_TASKS, UNTOLD, Reading, Relation, judge
from strata.analysis.claims_xie import cost_ratio
from strata.analysis.depth_bounds import Answers
from strata.study.settings import Sampling

SAMPLING = Sampling(resamples=400, confidence=0.95)
CLOSE, FAR = 0.02, 0.05
# What is promised at the threshold itself, where either verdict is accidental, and for each side.
EITHER, SIDE = 0.05, 0.025
Ends = tuple[float, float, float]


def counted(readings: Sequence[Ends], relation: Relation, threshold: float) -> dict[str, int]:
    verdicts = [judge(Reading(*each), relation, threshold) for each in readings]
    return {name: verdicts.count(name) for name in (HOLDS, FAILS, UNTOLD)}


def cut_models(
    rng: np.random.Generator, lost: Sequence[float], n: int, changed: float = 0.0
) -> Losses:
    """What two runs lose by cuts that really lose these shares of the answers.

    Parameters
    ----------
    changed : float
        Share of further answers that change, equally for better and for worse.
    """
    labels, shape = np.zeros(n, int), (2, len(lost), n)
    full = (rng.random((2, 1, n)) < 0.2).astype(int)
    luck, right = rng.random(shape), full == 0
    # These shares of the right answers (four in five) and of the wrong ones change.
    worse = (np.asarray(lost)[None, :, None] + changed / 2) / 0.8
    cut = np.where(right, luck < worse, luck >= changed / 2 / 0.2).astype(int)
    answers = (Answers.of("accuracy", labels, each, SAMPLING) for each in (full, cut))
    return losses(*answers, SAMPLING)


def of_losses(
    count: int, true: float, n: int, changed: float, pick: Callable[[Losses], Ends], cuts: int = 1
) -> list[Ends]:
    rng = np.random.default_rng([n, round(1000 * true), round(1000 * changed), cuts])
    return [pick(cut_models(rng, [true] * cuts, n, changed)) for _ in range(count)]


CASES = [(n, changed) for n in (277, 1043) for changed in (0.0, 0.04)]


def test_what_is_lost_is_judged_wrongly_in_at_most_five_of_a_hundred():
    count, rows = repeats(20, 500), []
    for n, changed in CASES:
        for name, true, relation, threshold in (
            ("little is lost (2 points at most)", CLOSE, "<=", CLOSE),
            ("little is lost (2 points at most)", 0.0, "<=", CLOSE),
            ("much is lost (5 points at least)", FAR, ">=", FAR),
            ("much is lost (5 points at least)", 0.15, ">=", FAR),
        ):
            found = counted(of_losses(count, true, n, changed, only), relation, threshold)
            rows.append((name, n, changed, true, count, *found.values()))
            if true == threshold:
                assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count), rows[-1]
            else:
                assert found[FAILS] <= at_most(SIDE, count), rows[-1]
            if n >= 1000 and true in (0.0, 0.15):
                assert found[HOLDS] >= at_least(0.9, count), rows[-1]
    columns = [
        "claim", "n", "answers changed besides", "truly lost", "repeats", "holds", "does not hold",
        "cannot be told",
    ]  # fmt: skip
    publish("claims", pd.DataFrame(rows, columns=columns))


def test_the_least_and_the_largest_of_many_are_judged_wrongly_no_more_often():
    """Eleven cuts that all lose exactly the threshold, so that any may be the least."""
    count, rows = repeats(40, 500), []
    for name, pick in (("least", least), ("largest", largest)):
        for n in (277, 1043):
            found = counted(of_losses(count, FAR, n, 0.04, pick, cuts=11), ">=", FAR)
            rows.append((name, n, count, *found.values()))
            assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count), rows[-1]
    columns = ["of 11 cuts", "n", "repeats", "holds", "does not hold", "cannot be told"]
    publish("claims of many", pd.DataFrame(rows, columns=columns))


def of_cells(count: int, gap: float, shared: float) -> list[Ends]:
    """P2: the best of 12 depths of ORIG for three early depths, minus that for three late ones.

    All estimates have a standard error of 0.03, of which a part is `shared` by all cells.
    """
    rng, error = np.random.default_rng([round(100 * gap), round(100 * shared)]), 0.03
    true = np.full((6, 12), 0.4)
    true[:3] += gap
    readings = []
    for _ in range(count):
        own, common = rng.normal(size=true.shape), rng.normal()
        shown = true + error * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
        cells, every = Cells(shown, np.full(true.shape, error)), range(1, 13)
        early, late = (likest(cells.at(depths, every), 0.95) for depths in ((1, 2, 3), (4, 5, 6)))
        readings.append(over_runs([early.less(late)], SAMPLING))
    return readings


def test_similarity_is_judged_wrongly_in_at_most_five_of_a_hundred():
    count, rows = repeats(200, 2000), []
    for shared in (0.0, 0.5, 0.95):
        for gap in (0.0, 0.25):
            found = counted(of_cells(count, gap, shared), ">", 0.0)
            rows.append((shared, gap, count, *found.values()))
            if gap:
                assert found[HOLDS] >= at_least(0.95, count), rows[-1]
            else:
                assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count), rows[-1]
    columns = [
        "share of the error common to all cells", "true difference", "repeats", "holds",
        "does not hold", "cannot be told",
    ]  # fmt: skip
    publish("claims of similarity", pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize("depths", [1, 3])
def test_the_best_of_twelve_is_not_taken_for_a_likeness(depths):
    """One side is the best of twelve depths that are all alike, the other has no choice."""
    count, error, readings = repeats(200, 2000), 0.03, []
    rng = np.random.default_rng(depths)
    for _ in range(count):
        cells = Cells(rng.normal(0.5, error, (depths, 12)), np.full((depths, 12), error))
        best = likest(cells, 0.95)
        one = mean_cell(Cells(rng.normal(0.5, error, (1, 1)), np.full((1, 1), error)))
        readings.append(over_runs([best.less(one)], SAMPLING))
    assert counted(readings, ">", 0.0)[HOLDS] <= at_most(SIDE, count)


def test_a_mean_at_its_threshold_with_runs_that_differ():
    """Five or more runs are a sample of the recipe's."""
    count, rng = repeats(400, 4000), np.random.default_rng(0)
    readings = [
        over_runs([Estimate(rng.normal(0, 0.03), 0.01) for _ in range(5)], SAMPLING)
        for _ in range(count)
    ]
    found = counted(readings, ">", 0.0)
    assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count)


def test_costs_at_the_threshold_are_judged_wrongly_in_at_most_five_of_a_hundred():
    """Seconds and memory vary by a tenth from seed to seed; nu is measured once."""
    count, rows = repeats(300, 4000), []
    for measured, seeds in ((1, 2), (1, 5), (2, 2), (3, 3), (5, 5)):
        rng = np.random.default_rng([measured, seeds])
        for true in (1.0, 0.5):
            draws = [
                (true * np.exp(rng.normal(0, 0.1, measured)), np.exp(rng.normal(0, 0.1, seeds)))
                for _ in range(count)
            ]
            found = counted([cost_ratio(*each, 0.95) for each in draws], "<", 1.0)
            rows.append((measured, seeds, true, count, *found.values()))
            if true == 1.0:
                assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count), rows[-1]
            else:
                assert found[FAILS] == 0, rows[-1]
    columns = [
        "measured", "seeds of the whole model", "true ratio", "repeats", "holds", "does not hold",
        "cannot be told",
    ]  # fmt: skip
    publish("claims of costs", pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize("share", OF_TASKS)
def test_over_twelve_tasks_at_the_threshold_hardly_any_verdict_is_given(share):
    """Each task holds by accident in one of forty cases; the share of tasks never does."""
    rng, count, relation = np.random.default_rng(3), repeats(200, 2000), OF_TASKS[share]
    level = {"every": 1.0, "nearly_all": 0.833, "most": 0.5}[share]
    wrong = 0
    for _ in range(count):
        drawn = rng.normal(0.0, 0.1, 12)
        verdicts = [judge(Reading(x, x - 0.196, x + 0.196), ">", 0.0) for x in drawn]
        hold, fail = (verdicts.count(name) / 12 for name in (HOLDS, FAILS))
        wrong += judge(Reading(hold, hold, 1 - fail), relation, level) == HOLDS
    assert wrong == 0
