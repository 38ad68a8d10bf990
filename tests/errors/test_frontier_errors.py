"""Layer sets: how often "the smallest certified" is wrong, with many methods and sizes."""

import numpy as np
import pandas as pd

from helpers.rates import at_most, publish, repeats
from strata.analysis.depth_bounds import Answers
from strata.analysis.frontier import judge_candidates
from strata.analysis.summary import CERTIFIED
from strata.study.settings import SummarySettings

METHODS, SIZES = 10, 6  # sizes of 6, 5, … 1 layers, of seven
SETTINGS = SummarySettings(resamples=400, confidence=0.95, tolerance=0.01)
FULL = 0.85  # the full model's accuracy
CHANGED = 0.06  # share of the answers that a set changes


def answers(rng: np.random.Generator, n: int, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers (1 is right) of the full model, (n,), and of sets with these losses, (..., n)."""
    full = (rng.random(n) < FULL).astype(int)
    changed = np.maximum(CHANGED, losses)[..., None]
    lost, won = (changed + losses[..., None]) / 2 / FULL, (changed - losses[..., None]) / 2
    flips = rng.random((*losses.shape, n)) < np.where(full == 1, lost, won / (1 - FULL))
    return full, np.where(flips, 1 - full, full)


def smallest_certified(
    choose: np.ndarray, judge: np.ndarray, full: np.ndarray
) -> tuple[int, np.ndarray]:
    """The smallest certified size (SIZES + 1: none), and the method of each size's set.

    Parameters
    ----------
    choose, judge : ndarray of shape (SIZES, methods, examples)
        Whether answers are right, for sizes from 1.
    """
    chosen = choose.mean(-1).argmax(1)
    labels = np.ones(len(full), dtype=int)
    candidates = np.vstack([judge[np.arange(SIZES), chosen], full])
    cut, whole = (
        Answers.of("accuracy", labels, p[None], SETTINGS) for p in (candidates, full[None])
    )
    _, verdicts = judge_candidates(cut, [whole], SETTINGS)
    return (verdicts.index(CERTIFIED) if CERTIFIED in verdicts else SIZES) + 1, chosen


# True losses of sizes 1..6 of each method's set: the tolerance, or nothing and then that.
CASES = {
    "all at the tolerance": [0.3, 0.2, 0.1, 0.05, 0.01, 0.01],
    "two sizes lose nothing, then the tolerance": [0.3, 0.2, 0.1, 0.01, 0.0, 0.0],
}


def test_the_smallest_certified_errs_in_at_most_five_of_a_hundred():
    count, rows = repeats(60, 1000), []
    for number, (case, by_size) in enumerate(CASES.items()):
        losses = np.repeat(np.array(by_size)[:, None], METHODS, axis=1)
        for n in (200, 1000) if count > 100 else (200,):
            rng = np.random.default_rng([n, number])
            wrong = naive = found = 0
            for _ in range(count):
                _, choose = answers(rng, n, losses)
                full, judge = answers(rng, n, losses)
                size, _ = smallest_certified(choose, judge, full)
                false = by_size[size - 1] if size <= SIZES else 0.0
                wrong += false >= 0.01
                found += size <= SIZES and false < 0.01
                # The same examples choose and judge: this would happen without two halves.
                size, _ = smallest_certified(judge, judge, full)
                naive += size <= SIZES and by_size[size - 1] >= 0.01
            rows.append((case, n, count, wrong, naive, f"{found / count:.0%}"))
            assert wrong <= at_most(0.05, count), rows[-1]
    assert sum(row[4] for row in rows) > sum(at_most(0.05, count) for _ in rows), rows
    columns = [
        "sets of every method lose", "examples that judge", "repeats", "wrong",
        "wrong if they chose, too", "rightly certified",
    ]  # fmt: skip
    publish("frontier", pd.DataFrame(rows, columns=columns))


def test_one_good_method_among_ten_is_found_and_certified():
    """Nine methods lose five points at every size, one nothing at the two largest sizes."""
    count, good = repeats(30, 1000), 0
    losses = np.full((SIZES, METHODS), 0.05)
    losses[-2:, 3] = 0.0
    losses[:-2] = 0.1
    rng = np.random.default_rng(7)
    n = 4000
    for _ in range(count):
        _, choose = answers(rng, n, losses)
        full, judge = answers(rng, n, losses)
        size, chosen = smallest_certified(choose, judge, full)
        good += size <= SIZES and bool((chosen[size - 1 : SIZES] == 3).all())
    assert good > 0.7 * count
    row = (n, count, f"{good / count:.0%}")
    publish("frontier-power", pd.DataFrame([row], columns=["n", "repeats", "found and certified"]))
