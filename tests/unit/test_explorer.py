"""The explorer's page: what is in it is what the tables say, and it is one file."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from helpers.study_tables import runs, study_tables
from strata.explorer.answers import answers, claim_rows, failed_runs, warnings
from strata.explorer.charts import charts
from strata.explorer.page import Shown, answers_text, explorer_page
from strata.explorer.tables import chart_tables, pack

MODELS, TASKS, SEEDS, DEPTHS = ["mpnet", "albert"], ["mrpc", "rte"], [1, 2], 5
PAIRS = [(model, task) for model in MODELS for task in TASKS]
TABLES = study_tables(MODELS, TASKS, SEEDS, DEPTHS)


def shown(pairs=PAIRS, titles=None) -> Shown:
    return Shown("results/mine", pairs, titles or {}, "raw", "debiased", 0.01)


def page(tables=TABLES, pairs=PAIRS, failed=(), **changes) -> str:
    models, tasks = ({pair[place]: None for pair in pairs} for place in (0, 1))
    about = runs(models, tasks, SEEDS, failed)
    return explorer_page(tables, about, [], shown(pairs, **changes))


def study_in(html: str) -> dict:
    """What the page's JavaScript reads."""
    (text,) = re.findall(
        r'<script type="application/json" id="study">(.*?)</script>', html, re.DOTALL
    )
    return json.loads(text)


def unpacked(packed: dict) -> pd.DataFrame:
    """As the page's JavaScript does it."""

    def column(of: dict) -> list:
        if "codes" in of:
            return [of["levels"][code] for code in of["codes"]]
        return of["values"] if "values" in of else [of["one"]] * packed["n"]

    return pd.DataFrame({name: column(of) for name, of in packed["columns"].items()}, dtype=object)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-999, 999), st.floats(-1, 1), st.text(max_size=3)
)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
def test_a_packed_table_is_the_table(records):
    table = pd.DataFrame(records, columns=["a", "b"], dtype=object)
    found = unpacked(pack(table))
    for place, name in enumerate(table):
        for record, after in zip(records, found[name], strict=True):
            before = record[place]
            if before is None or isinstance(before, (bool, str)):
                assert after == before and type(after) is type(before)
            else:
                assert after == pytest.approx(before, rel=1e-4)


def test_the_page_has_the_tables_numbers():
    for pair in study_in(page())["pairs"]:
        for name, column in (("cka", "cka"), ("truncation", "value"), ("skipping", "value")):
            table = TABLES[name]
            own = table[(table["model"] == pair["model"]) & (table["task"] == pair["task"])]
            found = unpacked(pair["tables"][name])[column].to_numpy(float)
            np.testing.assert_allclose(found, own[column], rtol=1e-4)
        assert pair["seeds"] == SEEDS and pair["layers"] == DEPTHS


def test_maps_are_named_by_their_states_and_belong_to_a_seed():
    table = TABLES["cka"].assign(place=np.arange(len(TABLES["cka"])))
    maps = chart_tables({"cka": table}, "raw", "results")["cka"]
    states = table.set_index("place").loc[maps["place"], ["y_state", "x_state"]]
    pairs = pd.Series(list(states.itertuples(index=False, name=None)), index=maps.index)
    seeds = maps["seed"].astype(str).where(maps["seed"].notna(), "")
    expected = {
        ("orig-orig", ""): {("pretrained", "pretrained")},
        ("ft-orig", "1"): {("full-seed1", "pretrained")},
        ("ft-orig", "2"): {("full-seed2", "pretrained")},
        ("ft-ft", "1"): {("full-seed1", "full-seed1")},
        ("ft-ft", "2"): {("full-seed2", "full-seed2")},
        ("ft1-ft2", ""): {("full-seed1", "full-seed2")},
    }
    assert pairs.groupby([maps["map"], seeds]).agg(set).to_dict() == expected


def test_a_skipped_span_says_which_layers_are_left():
    spans = chart_tables(TABLES, "raw", "results")["skipping"].set_index(["first", "last"])
    assert set(spans.loc[(2, 3), "left"]) == {"layers 1+4-5"}
    assert set(spans.loc[(1, 5), "left"]) == {"no layer"}
    row = spans.loc[(2, 3)].iloc[0]
    assert row["share"] == pytest.approx((row["value"] - 0.5) / 0.4)


def test_a_candidate_says_how_it_is_made_and_exported_and_the_full_model_is_not():
    table = chart_tables(TABLES, "raw", "results/mine")["frontier"]
    one = table[
        (table["model"] == "albert") & (table["task"] == "rte") & (table["size"] == 3)
    ].iloc[0]
    assert one["command"] == "snakemake results/mine/export/albert_rte/layers1-3"
    assert one["made"] == "cut; nothing trained" and one["chose"] == "top, greedy"
    assert set(table.loc[table["method"] == "full", "command"]) == {""}
    # One run is exported; what another one scored has no command.
    assert set(table.loc[table["seed"] == 2, "command"]) == {""}


def test_what_was_trained_after_its_cut_says_how():
    rows = TABLES["frontier"].head(1).assign(done="trained", way="heal", steps=300.0)
    (made,) = chart_tables({"frontier": rows}, "raw", "results")["frontier"]["made"]
    assert made == "healed on labels, 300 steps"


def test_what_was_trained_is_exported_of_its_first_run_whether_that_failed_or_not():
    rows = pd.concat([TABLES["frontier"].query("model == 'albert' and task == 'rte'")] * 2)
    trained = rows.iloc[len(rows) // 2 :].assign(done="trained", way="heal", steps=300.0)
    trained = trained.assign(name=trained["name"] + "_heal300")
    own = pd.concat([rows.iloc[: len(rows) // 2], trained], ignore_index=True)
    own.loc[own["seed"] == 1, "verdict"] = "failed run"
    table = chart_tables({"frontier": own}, "raw", "results")["frontier"]
    assert set(table["seed"]) == {2}
    assert set(table.loc[table["done"] == "trained", "command"]) == {""}
    kept = table[(table["done"] != "trained") & (table["method"] != "full")]
    assert kept["command"].str.startswith("snakemake results/export/albert_rte/layers").all()


def test_depths_are_compared_with_the_last_one_of_their_own_model():
    shallow = study_tables(["small"], ["rte"], SEEDS, 3)["controls"]
    both = pd.concat([TABLES["controls"], shallow], ignore_index=True)
    drawn = chart_tables({"controls": both}, "raw", "results")["controls"]
    last = drawn[drawn["part"] == "last"].groupby("model")["other_depth"].agg(set)
    assert last.to_dict() == {"albert": {5.0}, "mpnet": {5.0}, "small": {3.0}}


def test_blocks_of_failed_runs_are_not_outlined():
    table = TABLES["blocks"].assign(failed=TABLES["blocks"]["seed"] == 2)
    assert set(chart_tables({"blocks": table}, "raw", "results")["blocks"]["seed"]) == {1}


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_a_chart_is_valid_and_asks_for_columns_that_there_are(chart):
    tables = chart_tables(TABLES, "raw", "results")
    compiled = vl_convert.vegalite_to_vega(chart.spec)
    assert {"rows", *chart.extra} <= {each["name"] for each in compiled["data"]}
    assert set(chart.signals) <= {each["name"] for each in compiled["signals"]}
    text = json.dumps(chart.spec)
    made = {*re.findall(r'"as": "(\w+)"', text), "curve", "nu_of", "label"}
    known = made | {
        column for name in (chart.rows, *chart.extra.values()) for column in tables[name]
    }
    assert set(re.findall(r'"field": "(\w+)"', text)) <= known
    assert set(re.findall(r"datum\.(\w+)", text)) <= known
    assert {*chart.where, *filter(None, [chart.click, chart.needs])} <= known
    assert "http" not in text.replace(chart.spec["$schema"], "")


def test_what_is_not_in_a_study_has_no_chart():
    few = {name: TABLES[name] for name in ("truncation", "calibration")}
    names = [chart["name"] for chart in study_in(page(few))["charts"]]
    # Accuracy has no squared error.
    assert names == ["truncation", "calibration-nll", "calibration-ece", "calibration-flips"]
    assert study_in(page({}))["charts"] == []


def test_text_of_a_study_stays_text():
    evil = "</script><script>alert(1)</script><!-- &"
    html = page(titles={"mpnet": evil, "mrpc": "<b>"})
    assert html.count("</script>") == 3  # the page's own
    assert study_in(html)["titles"]["mpnet"] == evil
    assert "&lt;/script&gt;" in html and "&lt;b&gt;" in html


def test_the_page_says_which_runs_failed_and_what_tables_warn_of():
    bad = ("albert", "rte", 2)
    assert "albert on rte, seed 2: accuracy 0.500" in page(failed=[bad])
    assert "Failed runs" not in page()
    (line,) = failed_runs(runs(MODELS, TASKS, SEEDS, [bad]))
    assert "the baseline of 0.500" in line
    noted = TABLES["cka"].assign(note=np.where(TABLES["cka"]["task"] == "rte", "few examples", ""))
    assert warnings({"cka": noted}, ["said twice", "said twice"]) == [
        "said twice",
        "mpnet on rte, albert on rte: few examples.",
    ]


def test_answers_are_those_that_a_run_ends_with():
    findings = pd.DataFrame(
        {"model": ["mpnet"], "task": ["rte"], "finding": ["Layers 3 to 5 agree."]}
    )
    about = runs(MODELS, TASKS, SEEDS, [("albert", "mrpc", 1), ("albert", "mrpc", 2)])
    found = answers({"findings": findings}, about, PAIRS, {}, 0.01)
    said = {answer.title: answer for answer in found}
    assert [title for title, answer in said.items() if answer.all_failed] == ["albert on mrpc"]
    assert [part.lines for part in said["mpnet on rte"].parts] == [["Layers 3 to 5 agree."]]
    assert said["albert on rte"].parts == []
    text = answers_text({"findings": findings}, about, shown())
    assert "albert on mrpc: every run failed" in text and "Failed runs\n\n- albert on mrpc" in text
    assert "What the methods say together\n\n- Layers 3 to 5 agree." in text
    assert "No answer in words" in page()


def test_claims_have_a_row_a_part_and_those_of_other_studies_are_named():
    common = {
        "paper": "Phang", "place": "section 4", "quantity": "points lost", "whole": False,
        "task": None, "remark": None, "n_examples": 400.0, "model": "mpnet",
    }  # fmt: skip
    rows = [
        {"claim": "P1", "part": "a", "statement": "two blocks", "verdict": "does not hold",
         "value": -0.04, "low": -0.09, "high": 0.0, "tasks": None, "tasks_hold": None},
        {"claim": "P6", "part": None, "statement": "close", "verdict": "holds",
         "value": None, "low": None, "high": None, "tasks": 12.0, "tasks_hold": 11.0},
        {"claim": "T2", "part": None, "statement": "examples", "verdict": "not in this study",
         "value": None, "low": None, "high": None, "tasks": None, "tasks_hold": None},
    ]  # fmt: skip
    found, absent = claim_rows(pd.DataFrame([common | row for row in rows]), {})
    assert [(each.name, each.kind) for each in found] == [("P1a", "fails"), ("P6", "holds")]
    assert found[0].detail == "points lost: -0.040 [-0.090, 0.000]; 400 examples"
    assert found[1].detail.startswith("holds in 11 of 12 tasks")
    assert absent == "Not in this study: T2."


@pytest.mark.slow
def test_thirty_six_models_and_tasks_of_24_depths_fit_into_a_mail():
    models, tasks = ["a", "b", "c"], [f"task{number}" for number in range(12)]
    pairs = [(model, task) for model in models for task in tasks]
    html = page(study_tables(models, tasks, SEEDS, 24), pairs)
    assert 3e6 < len(html.encode()) < 15e6
