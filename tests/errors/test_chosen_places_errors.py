"""Claims about a place chosen by scores (the block that probes best): how often verdicts are wrong.

The truth is about the block that really probes best. If two blocks are close, the one that happens
to probe best is another block about half of the time.
"""

import numpy as np
import pandas as pd
import pytest

from helpers.rates import at_least, at_most, publish, repeats
from strata.analysis.claim_evidence import Losses, Pair, losses
from strata.analysis.claim_runs import may_be_best, over_places
from strata.analysis.claims import FAILS, HOLDS, UNTOLD, Reading, judge
from strata.analysis.depth_bounds import Answers
from strata.study.settings import ClaimSettings

SETTINGS = ClaimSettings(
    resamples=200, confidence=0.95, close=0.02, far=0.05, nearly_all=0.833, most=0.5, ends=0.25
)
PAIR = Pair("m", "t", {}, SETTINGS)
CLOSE, BLOCKS, EITHER = SETTINGS.close, 4, 0.05


def simulated(
    rng: np.random.Generator, ahead: float, lost: float, n: int
) -> tuple[Answers, Losses]:
    """Probes of four blocks, the first really the best by `ahead`, and what new weights lose.

    The first block really loses `lost`, the others nothing (or much, if it loses nothing).
    """
    labels = np.zeros(n, int)
    right = np.array([0.8, *[0.8 - ahead] * (BLOCKS - 1)])
    # Probes of one encoder agree on most examples.
    hard = rng.random(n)
    noisy = np.clip(hard + 0.15 * rng.standard_normal((1, BLOCKS, n)), 0, 1)
    cuts = np.quantile(noisy.ravel(), right)
    probes = (noisy > cuts[None, :, None]).astype(int)
    full = (rng.random((2, 1, n)) < 0.1).astype(int)
    others = 0.0 if lost > 0 else 0.1
    shares = np.array([lost, *[others] * (BLOCKS - 1)])[None, :, None] / 0.9
    new = np.where(full == 0, rng.random((2, BLOCKS, n)) < shares, 1).astype(int)
    probed, plain, cut = (
        Answers.of("accuracy", labels, each, SETTINGS) for each in (probes, full, new)
    )
    return probed, losses(plain, cut, SETTINGS)


def verdicts(ahead: float, lost: float, n: int, count: int) -> tuple[dict[str, int], int]:
    """How often each verdict on "it loses little" is given, and how often it is true of the leading
    block.
    """
    rng, found, naive = np.random.default_rng([n, round(1000 * ahead), round(1000 * lost)]), [], 0
    for _ in range(count):
        probed, costs = simulated(rng, ahead, lost, n)
        best, places = may_be_best(probed, PAIR)
        found.append(judge(Reading(*over_places(costs, best, places)), "<=", CLOSE))
        alone = Reading(*over_places(costs, best, [best]))
        naive += judge(alone, "<=", CLOSE) == HOLDS
    return {name: found.count(name) for name in (HOLDS, FAILS, UNTOLD)}, naive


def test_of_a_block_that_may_not_be_the_best_little_is_said():
    """The block that really probes best loses exactly the threshold; the others lose nothing."""
    count, rows = repeats(20, 500), []
    for n in (400, 1500):
        for ahead in (0.0, 0.005, 0.02, 0.1):
            found, naive = verdicts(ahead, CLOSE, n, count)
            rows.append((n, ahead, count, *found.values(), naive))
            assert found[HOLDS] + found[FAILS] <= at_most(EITHER, count), rows[-1]
            if ahead <= 0.005:  # in most cases another block leads
                assert naive > at_most(EITHER, count)
    columns = [
        "n", "probes better by", "repeats", "holds", "does not hold", "cannot be told",
        "holds, of the block that leads alone",
    ]  # fmt: skip
    publish("claims of a chosen place", pd.DataFrame(rows, columns=columns))


@pytest.mark.parametrize(("lost", "right"), [(0.0, HOLDS), (0.1, FAILS)])
def test_of_a_block_that_clearly_probes_best_what_is_true_is_seen(lost, right):
    count = repeats(20, 500)
    found, _ = verdicts(0.1, lost, 1500, count)
    assert found[right] >= at_least(0.9, count), found
