"""How claims are judged: from an interval, over tasks, of several parts, and how often wrongly."""

from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd
import pytest

from helpers.claims import SETTINGS, Facts, judged, verdict
from strata.analysis.claim_evidence import (
    Cells,
    Estimate,
    early_depths,
    end_count,
    evidence_tables,
    largest,
    late_depths,
    least,
    losses,
    mean_cell,
    only,
    over_runs,
)
from strata.analysis.claim_registry import CLAIMS, MEASURES
from strata.analysis.claim_tables import COLUMNS, claims_table, readings_of
from strata.analysis.claim_words import claim_sentences
from strata.analysis.claims import (
    ABSENT,
    FAILS,
    HOLDS,
    UNTOLD,
    Claim,
    Found,
    OfStudy,
    Reading,
    Study,
    difference,
    judge,
    judge_claims,
    together,
)
from strata.analysis.depth_bounds import Answers
from strata.study.settings import Sampling

# ---------------------------------------------------------------- one verdict


@pytest.mark.parametrize(
    ("low", "high", "relation", "expected"),
    [
        (0.1, 0.3, ">", HOLDS),
        (-0.3, -0.1, ">", FAILS),
        (-0.1, 0.1, ">", UNTOLD),
        (0.0, 0.3, ">", UNTOLD),
        (0.0, 0.3, ">=", HOLDS),
        (0.0, 0.0, ">", FAILS),
        (0.0, 0.0, ">=", HOLDS),
        (-0.3, 0.0, "<", UNTOLD),
        (-0.3, 0.0, "<=", HOLDS),
        (-0.3, -0.1, "<", HOLDS),
        (0.1, 0.3, "<=", FAILS),
        (nan, nan, ">", UNTOLD),
        (0.1, nan, ">", UNTOLD),
        (nan, 0.3, ">", UNTOLD),
    ],
)
def test_the_interval_decides(low, high, relation, expected):
    # The value itself does not.
    for value in (-9.0, 0.0, 9.0):
        assert judge(Reading(value, low, high), relation, 0.0) == expected


def test_what_is_missing_is_not_in_the_study_whatever_it_holds():
    assert judge(Reading(0.2, 0.1, 0.3, missing="models: electra"), ">", 0.0) == ABSENT


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([HOLDS], HOLDS),
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, FAILS], FAILS),
        ([UNTOLD, FAILS, ABSENT], FAILS),
        ([HOLDS, UNTOLD], UNTOLD),
        ([HOLDS, ABSENT], UNTOLD),
        ([ABSENT, ABSENT], ABSENT),
        ([ABSENT, UNTOLD], UNTOLD),
    ],
)
def test_a_whole_holds_if_all_parts_do_and_fails_if_one_does(verdicts, expected):
    assert together(verdicts) == expected == together(verdicts[::-1])


def test_a_difference_is_as_unsure_as_it_can_be():
    more, less = Reading(0.5, 0.4, 0.6, 100, "1 2"), Reading(0.2, 0.1, 0.4, 100, "1 2")
    found = difference(more, less)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.0, 0.5))
    assert found.seeds == "1 2" and difference(more, replace(less, seeds="1")).seeds == "1 2; 1"
    assert difference(more, replace(less, missing="x")).missing == "x"


# ---------------------------------------------------------------- over tasks, by hand


def about(key: str = "Q1", share: str = "most", **more) -> Claim:
    """A claim whose readings are given by task."""
    given = more.pop("given")

    def read(study, tasks):
        for model, readings in given.items():
            for task in tasks:
                if task in readings:
                    kinds = (study.architectures[model],)
                    yield Found(model, task, kinds, readings[task])

    fields = {"named": ("bert",), "share": share, "of_tasks": 3} | more
    return Claim(
        key, "A paper", "1", "short", "a statement", "a quantity", "points",
        OfStudy(("cka",), read), ">", 0.0, **fields,
    )  # fmt: skip


YES, NO, MAYBE = Reading(0.2, 0.1, 0.3), Reading(-0.2, -0.3, -0.1), Reading(0.0, -0.1, 0.1)
NOWHERE = Reading(missing="a block")


def study(*tasks: str) -> Study:
    return Study({"m": "bert", "other": "mpnet"}, tasks, {"cka"}, {}, {}, SETTINGS)


def over(readings: list[Reading], share: str) -> tuple[str, Reading]:
    tasks = [f"t{place}" for place in range(len(readings))]
    claim = about(share=share, given={"m": dict(zip(tasks, readings, strict=True))})
    found = verdict(judge_claims([claim], study(*tasks)), "Q1", "m")
    return found.verdict, found.reading


@pytest.mark.parametrize(
    ("readings", "share", "expected"),
    [
        # Most is more than half.
        ([YES, YES, NO], "most", HOLDS),
        ([YES, NO], "most", FAILS),
        ([YES, YES, NO, NO], "most", FAILS),
        ([YES, YES, NO, MAYBE], "most", UNTOLD),
        ([YES, YES, YES, MAYBE, MAYBE], "most", HOLDS),
        ([NO, NO, NO, MAYBE, MAYBE], "most", FAILS),
        ([YES, MAYBE, MAYBE], "most", UNTOLD),
        # Nearly all is 10 of 12, and so 5 of 6 and 3 of 3.
        ([YES] * 10 + [NO] * 2, "nearly_all", HOLDS),
        ([YES] * 10 + [MAYBE] * 2, "nearly_all", HOLDS),
        ([YES] * 9 + [NO] * 3, "nearly_all", FAILS),
        ([YES] * 9 + [MAYBE, NO, NO], "nearly_all", UNTOLD),
        ([YES] * 5 + [NO], "nearly_all", HOLDS),
        ([YES] * 2 + [NO], "nearly_all", FAILS),
        ([YES] * 3, "every", HOLDS),
        ([YES] * 2 + [MAYBE], "every", UNTOLD),
        ([MAYBE] * 2 + [NO], "every", FAILS),
        # What is not in the study does not count.
        ([YES, NOWHERE, NOWHERE], "every", HOLDS),
        ([NOWHERE, NOWHERE], "most", ABSENT),
    ],
)
def test_over_tasks(readings, share, expected):
    assert over(readings, share)[0] == expected


def test_over_tasks_the_interval_is_from_those_that_hold_to_those_that_may():
    _, reading = over([YES, YES, NO, MAYBE], "most")
    assert (reading.value, reading.low, reading.high) == (0.5, 0.5, 0.75)
    assert reading.note == "holds in 2, does not hold in 1, cannot be told in 1 of 4 tasks"
    _, one = over([YES], "most")
    assert one.note == "holds in 1 of 1 task, of 3 that the paper speaks of"


def test_only_tasks_that_a_claim_speaks_of_count():
    given = {"m": {"t0": NO, "t1": YES, "t2": YES}}
    of_two = judge_claims([about(given=given, tasks=("t1", "t2", "t9"))], study("t0", "t1", "t2"))
    assert [each.task for each in of_two] == ["t1", "t2", ""]
    without = judge_claims([about(given=given, but=("t0",))], study("t0", "t1", "t2"))
    assert [each.task for each in without] == ["t1", "t2", ""]


# ---------------------------------------------------------------- wholes, by hand


def test_wholes_are_of_the_parts_that_speak_of_a_model_and_task():
    claims = [
        about("Q1a", given={"m": {"t0": YES, "t1": YES}, "other": {"t0": YES, "t1": YES}}),
        about("Q1b", given={"m": {"t1": NO}, "other": {"t1": YES}}, tasks=("t1",)),
        about("Q2", given={"m": {"t0": YES}}),
    ]
    found = judge_claims(claims, study("t0", "t1"))
    assert verdict(found, "Q1", "m", "t0").verdict == HOLDS
    assert verdict(found, "Q1", "m", "t1").verdict == FAILS
    assert verdict(found, "Q1", "m").verdict == FAILS
    assert verdict(found, "Q1", "other").verdict == HOLDS
    assert verdict(found, "Q1", "m").reading.note == "Q1a holds; Q1b does not hold"
    assert not any(each.whole for each in found if each.claim.number == "Q2")


def test_a_part_that_a_study_lacks_keeps_the_whole_from_holding_where_it_speaks_of_the_model():
    there = about("Q1a", given={"m": {"t0": YES}, "other": {"t0": YES}})
    alone = about("Q1b", given={"m": {}}, tasks=("t9",), others=False)
    found = judge_claims([there, alone], study("t0"))
    whole = verdict(found, "Q1", "m")
    assert whole.verdict == UNTOLD and whole.reading.missing == "models: bert; tasks: t9"
    # It says nothing of the other architecture.
    assert verdict(found, "Q1", "other").verdict == HOLDS


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("layers", "early", "late"),
    [(4, [1, 2], [3, 4]), (6, [1, 2], [5, 6]), (12, [1, 2, 3], [10, 11, 12]), (24, 6, 6)],
)
def test_early_and_late_are_a_quarter_of_the_depths_and_two_at_least(layers, early, late):
    found = list(early_depths(layers, 0.25)), list(late_depths(layers, 0.25))
    if isinstance(early, int):
        assert end_count(layers, 0.25) == early == late == len(found[0]) == len(found[1])
    else:
        assert found == (early, late)


def test_means_and_differences_of_cells_are_as_unsure_as_they_can_be():
    part = mean_cell(Cells(np.array([[0.2, 0.4]]), np.array([[0.01, 0.03]])))
    assert (part.value, part.error) == pytest.approx((0.3, 0.02))
    lesser = part.less(Estimate(0.1, 0.04))
    assert (lesser.value, lesser.error) == pytest.approx((0.2, 0.06))
    value, low, high = over_runs([Estimate(0.2, 0.02), Estimate(0.4, 0.04)], SAMPLING)
    assert (value, low, high) == pytest.approx(
        (0.3, 0.3 - 1.96 * 0.03, 0.3 + 1.96 * 0.03), abs=1e-4
    )


SAMPLING = Sampling(resamples=200, confidence=0.95)


def test_losses_have_an_interval_that_is_theirs_with_both_sides_guarded():
    labels = np.arange(200) % 2
    full, same = (Answers.of("accuracy", labels, labels[None, None], SAMPLING) for _ in range(2))
    found = losses(full, same, SAMPLING)
    # Answers that all agree are not certain of what no example has shown.
    assert found.value[0] == 0 and found.low[0] < 0 < found.high[0] < 0.05
    wrong = labels.copy()
    wrong[:20] = 1 - wrong[:20]
    cut = Answers.of("accuracy", labels, np.stack([wrong, labels])[None], SAMPLING)
    found = losses(full, cut, SAMPLING)
    assert found.value == pytest.approx([0.1, 0.0])
    assert only(found)[0] == pytest.approx(0.1)
    assert least(found)[0] == 0.0 and largest(found)[0] == pytest.approx(0.1)
    for low, high in ((found.low, found.high), (found.low_of_many, found.high_of_many)):
        assert (low <= found.value).all() and (found.value <= high).all()
    assert (found.low_of_many <= found.low).all() and (found.high_of_many >= found.high).all()


# ---------------------------------------------------------------- tables and words


@pytest.fixture(scope="module")
def found():
    facts = {
        ("roberta", "rte"): Facts(n=200, separation={"late": 0.3, "two": -0.2}),
        ("roberta", "sst2"): Facts(n=200, separation={"late": 0.3, "two": 0.2}),
    }
    return judged(facts, claims="P1")


def test_readings_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "readings.csv"
    fields = {"value": 0.1, "low": nan, "high": nan, "n_examples": None, "seeds": "1"}
    rows = [
        {"model": "m", "task": "t", "measure": "x", **fields, "about": "", "note": "why, oh"},
        {"model": "m", "task": "u", "measure": "x", **fields, "missing": "two seeds"},
    ]
    pd.DataFrame(rows).reindex(columns=[*rows[0], "missing"]).to_csv(path, index=False)
    read = readings_of(pd.read_csv(path))
    first, second = read["x", "m", "t"], read["x", "m", "u"]
    assert (first.value, first.seeds, first.note, first.missing) == (0.1, "1", "why, oh", "")
    assert first.n_examples is None and np.isnan(first.low) and second.missing == "two seeds"


def test_the_table_has_a_row_a_verdict(found):
    table = claims_table(found)
    assert list(table) == COLUMNS
    over_tasks = table[(table["task"] == "") & ~table["whole"]]
    assert set(over_tasks["part"]) == {"a", "b"}
    assert over_tasks.set_index("part")["tasks_hold"].to_dict() == {"a": 1, "b": 2}
    assert set(over_tasks["over"]) == {"nearly all"}
    one = table[(table["part"] == "b") & (table["task"] == "rte")].iloc[0]
    assert (one["relation"], one["threshold"], one["unit"]) == (">", 0.0, "CKA")
    assert one["low"] < one["value"] < one["high"] and one["n_examples"] == 200
    assert one["speaks_of"] == "this model" and one["place"].startswith("3.1")


def test_each_claim_is_a_sentence(found, tmp_path):
    claims_table(found).to_csv(tmp_path / "claims.csv", index=False)
    (sentence,) = claim_sentences(pd.read_csv(tmp_path / "claims.csv"))
    assert sentence == (
        "P1, Phang et al. 2021: the depths of fine-tuned encoders fall into two blocks, early and "
        "late; fine-tuned encoders have a late block. roberta: does not hold (P1a does not hold, "
        "holds in 1 of 2 tasks; P1b holds, in 2 of 2 tasks)."
    )
    three = {("roberta", "rte"): Facts(n=1000)}
    claims_table(judged(three, claims="P6")).to_csv(tmp_path / "claims.csv", index=False)
    (sentence,) = claim_sentences(pd.read_csv(tmp_path / "claims.csv"))
    assert sentence.endswith(
        "roberta: cannot be told (P6a holds, in 1 of 1 task; P6b holds, in 1 of 1 task; P6c not in "
        "this study)."
    )
    nothing = claims_table(judged({("mpnet", "rte"): Facts()}, analyses=[], claims="P9a"))
    nothing.to_csv(tmp_path / "claims.csv", index=False)
    (sentence,) = claim_sentences(pd.read_csv(tmp_path / "claims.csv"))
    assert sentence == "Not in this study: P9; the table says what each would take."


def test_answers_are_paired_by_example_whatever_their_order(tmp_path):
    for seed, ids in ((1, [3, 1, 2]), (2, [1, 2, 3])):
        rows = [
            {
                "configuration": "untuned",
                "depth": depth,
                "example_id": i,
                "label": i,
                "logit_0": 0.0,
            }
            for depth in (1, 2)
            for i in ids
        ]
        pd.DataFrame(rows).assign(prediction=7).to_parquet(tmp_path / f"{seed}.parquet")
    files = {"untuned": [tmp_path / "1.parquet", tmp_path / "2.parquet"]}
    tables = evidence_tables(files, [1, 2])
    for _, own in tables["answers"].groupby(["seed", "depth"]):
        assert own["label"].tolist() == [1, 2, 3]
    assert set(tables["answers"]) == {
        "seed", "configuration", "depth", "label", "prediction",
    }  # fmt: skip


def test_keys_and_measures_are_unique_and_thresholds_known():
    keys, names = [claim.key for claim in CLAIMS], [measure.name for measure in MEASURES]
    assert len(set(keys)) == len(keys) and len(set(names)) == len(names)
    for claim in CLAIMS:
        assert SETTINGS.value(claim.threshold) == float(SETTINGS.value(claim.threshold))
        assert 0 < SETTINGS.value(claim.share) <= 1 and claim.relation in {">", ">=", "<", "<="}
        assert claim.statement and claim.quantity and claim.place and len(claim.title) <= 34
