"""Each claim of Phang et al. (2021) where it is known to hold, to fail, and not to be told."""

import numpy as np
import pytest

from helpers.claims import PHANG, Facts, across, judged, verdict
from strata.analysis.claims import ABSENT, FAILS, HOLDS, LIKE_IT, NAMED, UNTOLD
from strata.analysis.claims_phang import CLAIMS

# Few examples, so that a loss at the threshold cannot be told.
FEW = {"n": 150}
CLOSE, FAR = 0.02, 0.05


def lost(configuration, loss, **more):
    return Facts(lost={configuration: loss}, **more)


def separated(name, **more):
    """Facts in which there is a block, there is none, and it is as far from 0 as its error."""
    values = ((0.2, 0.01), (-0.2, 0.01), (0.01, 0.05))
    return [Facts(separation={name: value}, error=error, **more) for value, error in values]


def ends(early, late):
    """CKA of early with early depths, and of late with late ones; else undecided here."""

    def cka(y, x):
        return early if max(y, x) <= 3 else late if min(y, x) >= 10 else 0.0

    return cka


def to_orig(early, late):
    """The best CKA with a depth of ORIG, of early and of late depths."""

    def cka(y, x):
        return (early if y <= 3 else late if y >= 10 else 0.5) - 0.02 * abs(y - x)

    return cka


def skip(loss, *, first=None, last=None, count=None):
    """Skipping loses something only for spans with this start, end or number of layers."""

    def of(i, j):
        wanted = (first in (None, i), last in (None, j), count in (None, j - i + 1))
        return loss if all(wanted) else 0.0

    return of


def late_skip(least):
    """Skipping spans within the three last layers loses at least this; the longest span most."""
    return lambda i, j: least + 0.1 * (j - i > 1)


# (claim, model, task): facts in which it holds, does not, and cannot be told.
CASES = {
    ("P0a", "albert", "rte"): separated("orig-two")[1::-1] + separated("orig-two")[2:],
    ("P0b", "albert", "rte"): separated("orig-late")[1::-1] + separated("orig-late")[2:],
    ("P1a", "roberta", "rte"): separated("two"),
    ("P1b", "roberta", "rte"): separated("late"),
    ("P2", "roberta", "rte"): [
        Facts(maps={"ft-orig": to_orig(0.9, 0.3)}),
        Facts(maps={"ft-orig": to_orig(0.3, 0.9)}),
        Facts(maps={"ft-orig": to_orig(0.55, 0.5)}, error=0.05),
    ],
    ("P3", "albert", "rte"): [
        Facts(maps={"ft1-ft2": ends(0.0, 0.8)}),
        Facts(maps={"ft1-ft2": ends(0.0, -0.3)}),
        Facts(maps={"ft1-ft2": ends(0.0, 0.1)}, error=0.1),
    ],
    ("P5a", "electra", "rte"): separated("late")[1::-1] + separated("late")[2:],
    ("P5b", "electra", "sst2"): separated("late"),
    ("P6a", "roberta", "rte"): [
        # Depths below the late ones do not count.
        lost("untuned", lambda depth: 0.3 if depth < 10 else 0.0),
        lost("untuned", lambda depth: 0.0 if depth < 10 else 0.1),
        lost("untuned", CLOSE, **FEW),
    ],
    ("P6b", "albert", "rte"): [
        Facts(lost={"untuned": 0.1, "tuned-best": 0.1}),
        Facts(lost={"untuned": 0.1}),
        Facts(lost={"untuned": 0.1, "tuned-best": 0.08}, **FEW),
    ],
    ("P6c", "roberta", "yelp-polarity"): [
        lost("untuned", lambda depth: 0.006 if depth == 8 else 0.2, n=5000),
        lost("untuned", lambda depth: 0.1 if depth == 8 else 0.0),
        lost("untuned", CLOSE, **FEW),
    ],
    ("P7a", "roberta", "rte"): [
        # Where TUNED is at the baseline, TUNEDORIG need not be below it.
        Facts(lost={"tuned": lambda d: 0.0 if d > 4 else 0.4, "tuned-orig": 0.4}),
        Facts(lost={"tuned-orig": lambda depth: 0.01 if depth == 12 else 0.4}),
        lost("tuned-orig", FAR, **FEW),
    ],
    ("P7b", "albert", "rte"): [
        lost("tuned-orig-converged", 0.2),
        lost("tuned-orig", 0.2),
        lost("tuned-orig-converged", FAR, **FEW),
    ],
    ("P9a", "electra", "rte"): [
        lost("untuned", lambda depth: 0.3 if depth <= 10 else 0.0),
        lost("untuned", lambda depth: 0.3 if depth < 10 else 0.0),
        lost("untuned", FAR, **FEW),
    ],
    ("P9b", "electra", "rte"): [
        lost("tuned-best", lambda depth: 0.3 if depth <= 10 else 0.0),
        lost("untuned", 0.3),
        lost("tuned-best", FAR, **FEW),
    ],
    ("P10a", "roberta", "rte"): [
        Facts(skip=lambda i, j: 0.3 if i == 1 or j > i else 0.005),
        Facts(skip=skip(0.1, first=7, last=7)),
        Facts(skip=skip(CLOSE, count=1), **FEW),
    ],
    ("P10b", "roberta", "cola"): [
        Facts(skip=skip(0.1, first=1, last=1)),
        Facts(skip=skip(0.1, first=2)),
        Facts(skip=skip(FAR, first=1, last=1), **FEW),
    ],
    ("P11a", "roberta", "mnli"): [
        Facts(skip=skip(0.2, count=3)),
        Facts(skip=lambda i, j: 0.2 if i <= 3 or j >= 10 else 0.0),
        Facts(skip=skip(FAR, count=3), **FEW),
    ],
    ("P11b", "roberta", "sst2"): [
        Facts(skip=lambda i, j: 0.0 if j - i < 2 else 0.3),
        Facts(skip=skip(0.1, count=2)),
        Facts(skip=skip(CLOSE, count=2), **FEW),
    ],
    ("P11c", "roberta", "sst2"): [
        Facts(skip=skip(0.2, count=4)),
        Facts(skip=lambda i, j: 0.0 if j - i < 4 else 0.3),
        Facts(skip=skip(FAR, count=4), **FEW),
    ],
    ("P11d", "roberta", "rte"): [
        Facts(skip=late_skip(0.0)),
        Facts(skip=late_skip(0.1)),
        Facts(skip=late_skip(CLOSE), **FEW),
    ],
    ("P12a", "albert", "rte"): separated("two", layers=24),
    ("P12b", "albert", "rte"): [
        Facts(24, separation={"two": 0.2}, borders={"early_end": 9, "late_begin": 11}),
        Facts(24, separation={"two": 0.2}, borders={"early_end": 15, "late_begin": 17}),
        Facts(24, separation={"two": 0.2}, borders={"early_end": 10, "late_begin": 11}, agree=0.8),
    ],
    ("P14a", "roberta", "rte"): [
        Facts(
            lost={"untuned": lambda depth: 0.0 if depth >= 9 else 0.3},
            separation={"late": 0.2},
            borders={"late_begin": 9},
        ),
        Facts(
            lost={"untuned": lambda depth: 0.0 if depth >= 9 else 0.3},
            separation={"late": 0.2},
            borders={"late_begin": 8},
        ),
        Facts(lost={"untuned": CLOSE}, separation={"late": 0.2}, **FEW),
    ],
}


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("place", range(3), ids=["holds", "fails", "untold"])
def test_a_claim_about_a_model_and_task(case, place):
    key, model, task = case
    found = verdict(judged({(model, task): CASES[case][place]}, claims=key), key, model, task)
    assert found.verdict == (HOLDS, FAILS, UNTOLD)[place]
    assert found.speaks_of == NAMED
    reading = found.reading
    if not np.isnan(reading.low):
        assert reading.low <= reading.value <= reading.high
        assert reading.n_examples == CASES[case][place].n
        assert reading.about == ("this encoder" if key.startswith("P0") else "these runs")


# ---------------------------------------------------------------- comparisons of models


def blocks_of(more, less, error=0.01):
    return [Facts(separation={"late": value}, error=error) for value in (more, less)]


def cuts_of(configuration, more, less, **few):
    """Each can be cut to such a depth with no loss, and no further."""
    return [
        Facts(lost={configuration: lambda depth, k=k: 0.0 if depth >= k else 0.3}, **few)
        for k in (more, less)
    ]


def few(configuration):
    """Losses that may be little or not, at every depth."""
    return [Facts(lost={configuration: CLOSE}, **FEW), Facts(lost={configuration: CLOSE}, **FEW)]


# (claim, its first model, its second, whose verdict it is, task).
COMPARED = {
    ("P4", "roberta", "albert", "roberta less albert", "rte"): [
        blocks_of(0.3, 0.1),
        blocks_of(0.1, 0.3),
        blocks_of(0.2, 0.19),
    ],
    ("P5c", "roberta", "electra", "electra", "stsb"): [
        blocks_of(0.3, 0.1),
        blocks_of(0.1, 0.3),
        blocks_of(0.2, 0.19),
    ],
    ("P5d", "albert", "electra", "electra", "sst2"): [
        blocks_of(0.3, 0.1),
        blocks_of(0.1, 0.3),
        blocks_of(0.2, 0.19),
    ],
    ("P8a", "albert", "roberta", "albert less roberta", "rte"): [
        cuts_of("untuned", 5, 9),
        cuts_of("untuned", 9, 5),
        few("untuned"),
    ],
    ("P8b", "albert", "roberta", "albert less roberta", "rte"): [
        cuts_of("tuned-best", 5, 9),
        cuts_of("tuned-best", 7, 7),
        few("tuned-best"),
    ],
}


@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case[0])
@pytest.mark.parametrize("place", range(3), ids=["holds", "fails", "untold"])
def test_a_claim_that_compares_models(case, place):
    key, first, second, model, task = case
    facts = dict(zip(((first, task), (second, task)), COMPARED[case][place], strict=True))
    found = verdict(judged(facts, claims=key), key, model, task)
    assert found.verdict == (HOLDS, FAILS, UNTOLD)[place]


ACROSS = {
    "P13a": [ends(0.0, 0.8), ends(0.8, -0.3), ends(0.8, 0.1)],
    "P13b": [ends(0.8, 0.0), ends(-0.3, 0.8), ends(0.1, 0.8)],
}


@pytest.mark.parametrize("key", ACROSS)
@pytest.mark.parametrize("place", range(3), ids=["holds", "fails", "untold"])
def test_a_claim_about_cka_between_models(key, place):
    models = {name: Facts(error=0.1 if place == 2 else 0.01) for name in ("roberta", "albert")}
    tables = {"cka-models": across(models, ["rte"], ACROSS[key][place])}
    facts = {(name, "rte"): true for name, true in models.items()}
    found = verdict(judged(facts, claims="P13", tables=tables), key, "roberta & albert", "rte")
    assert found.verdict == (HOLDS, FAILS, UNTOLD)[place]


# ---------------------------------------------------------------- over tasks


def tasks_of(unlike, losses):
    """A task each: 1 - CKA(9, 12), and what UNTUNED loses at depth 9."""
    return {
        ("roberta", f"task-{place}"): Facts(
            n=500,
            lost={"untuned": loss},
            maps={"ft-ft": lambda y, x, other=other: 1 - other if {y, x} == {9, 12} else 1.0},
        )
        for place, (other, loss) in enumerate(zip(unlike, losses, strict=True))
    }


RISING = np.linspace(0.05, 0.4, 8)
UNRELATED = RISING[[3, 6, 0, 5, 2, 7, 1, 4]]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [(RISING**2, HOLDS), (RISING[::-1], FAILS), (UNRELATED, UNTOLD)],
    ids=["holds", "fails", "untold"],
)
def test_whether_cka_predicts_losses_over_tasks(losses, expected):
    # A correlation of exactly 1 has no interval.
    losses = losses.copy()
    losses[[0, 1]] = losses[[1, 0]]
    found = judged(tasks_of(RISING, losses), claims="P14b")
    assert verdict(found, "P14b", "roberta").verdict == expected


def test_seven_tasks_do_not_tell_whether_cka_predicts_losses():
    found = verdict(judged(tasks_of(RISING[:7], RISING[:7]), claims="P14b"), "P14b", "roberta")
    assert found.verdict == ABSENT and found.reading.missing == "8 tasks, there are 7"


# ---------------------------------------------------------------- what is not in a study


def test_every_claim_has_its_three_tests():
    tested = {case[0] for case in (*CASES, *COMPARED)} | set(ACROSS) | {"P14b"}
    assert tested == {claim.key for claim in CLAIMS}


def test_claims_of_analyses_that_a_study_lacks_are_not_in_it():
    found = judged({("roberta", "rte"): Facts()}, analyses=["cka"], claims="P6a")
    (only,) = found
    assert only.verdict == ABSENT and only.reading.missing == "study.analyses with truncation"
    cka = judged({("roberta", "rte"): Facts(separation={"late": 0.3})}, analyses=PHANG, claims="P1")
    assert verdict(cka, "P1b", "roberta", "rte").verdict == HOLDS


@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("P4", "models: roberta, albert"),
        ("P5b", "models: electra; tasks: stsb, yelp-polarity, sst2"),
        ("P9a", "models: electra"),
        ("P12a", "models: albert; tasks: rte"),
        ("P10b", "tasks: cola, stsb, cosmosqa"),
        ("P13a", "two models"),
    ],
)
def test_a_claim_says_which_models_and_tasks_it_takes(key, takes):
    (found,) = judged({("mpnet", "mrpc"): Facts()}, claims=key)
    assert found.verdict == ABSENT and found.reading.missing == takes


def test_other_encoders_are_judged_by_what_the_paper_says_of_models_like_them():
    facts = {("ours", "mrpc"): Facts(separation={"late": 0.3})}
    found = judged(facts, {"ours": "mpnet"}, claims="P1b")
    assert verdict(found, "P1b", "ours", "mrpc").speaks_of == LIKE_IT
    assert verdict(found, "P1b", "ours", "mrpc").verdict == HOLDS
    # Of ELECTRA the paper says the opposite, in a claim of its own.
    (alone,) = judged(facts, {"ours": "electra"}, claims="P1b")
    assert alone.verdict == ABSENT and alone.reading.missing == "a model that is no electra"


def test_failed_runs_are_left_out():
    """Of the two seeds the failed one has no block; without another run nothing can be told."""
    facts = {("roberta", "rte"): Facts(separation={"late": 0.3}, seeds=(1, 2), failed=(2,))}
    found = verdict(judged(facts, claims="P1b"), "P1b", "roberta", "rte")
    assert found.verdict == HOLDS and found.reading.seeds == "1"
    alone = {("roberta", "rte"): Facts(seeds=(1,), failed=(1,), separation={"late": 0.3})}
    for claim in ("P1b", "P2", "P6a", "P10a"):
        each = verdict(judged(alone, claims=claim), claim, "roberta", "rte")
        assert each.verdict == UNTOLD and "every run failed" in each.reading.note
    one = verdict(judged(facts, claims="P3"), "P3", "roberta", "rte")
    assert one.verdict == UNTOLD and "failed" in one.reading.note


@pytest.mark.parametrize(
    ("key", "task", "facts", "skips", "missing"),
    [
        ("P3", "rte", Facts(seeds=(1,)), None, "two seeds"),
        ("P7a", "rte", lost("tuned", 0.4), None, "a depth where TUNED beats the baseline by far"),
        ("P10a", "rte", Facts(), [], "roberta in study.skipping"),
        ("P11a", "mnli", Facts(layers=6), None, "a model of more layers"),
        ("P14a", "rte", Facts(), None, "a late block"),
    ],
)
def test_what_a_pair_lacks_is_said(key, task, facts, skips, missing):
    study = judged({("roberta", task): facts}, claims=key, skips=skips)
    found = verdict(study, key, "roberta", task)
    assert found.verdict == ABSENT and found.reading.missing == missing
    # There is nothing over tasks, either.
    assert verdict(study, key, "roberta").reading.missing == missing


def test_from_five_seeds_on_a_verdict_is_about_the_recipe():
    """And runs count as a sample, whose t-interval is wider than that of the examples alone."""
    few, many = (
        verdict(
            judged(
                {("roberta", "rte"): Facts(seeds=seeds, separation={"late": 0.2})}, claims="P1b"
            ),
            "P1b",
            "roberta",
            "rte",
        ).reading
        for seeds in ((1, 2), (1, 2, 3, 4, 5))
    )
    assert (few.about, many.about) == ("these runs", "the recipe")
    assert many.high - many.low > few.high - few.low
