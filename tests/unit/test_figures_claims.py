"""The figure of the claims: which cells there are, their colours and texts, and its size."""

import warnings

import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from helpers.claims import Facts, across, judged
from strata.analysis.claim_tables import claims_table
from strata.analysis.claims import ABSENT, FAILS, HOLDS, UNTOLD
from strata.figures.claims import COLOURS, cell_text, claims_figure, note_below
from strata.figures.style import TEXT_WIDTH
from strata.study.settings import FigureStyle

LABELS = {"roberta": "RoBERTa", "albert": "ALBERT", "rte": "RTE", "sst2": "SST-2"}
STYLE = FigureStyle(["roberta", "albert"], ["rte", "sst2"], [1, 2], LABELS)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """As it is read from its file."""
    facts = {
        (model, task): Facts(
            n=100,
            separation={"late": 0.3, "two": -0.2, "orig-two": 0.01},
            lost={"untuned": 0.02},
        )
        for model in ("roberta", "albert")
        for task in ("rte", "sst2")
    }
    models = {model: facts[model, "rte"] for model in ("roberta", "albert")}
    tables = {"cka-models": across(models, ["rte", "sst2"], lambda y, x: 0.5)}
    path = tmp_path_factory.mktemp("claims") / "claims.csv"
    claims_table(judged(facts, tables=tables, skips=["roberta"])).to_csv(path, index=False)
    return pd.read_csv(path)


@pytest.fixture
def drawn(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        figure = claims_figure(table, STYLE).draw()
    yield figure
    pyplot.close("all")


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=pyplot.Text) if text.get_text()]


def test_every_verdict_of_a_model_has_its_row_and_every_task_its_column(drawn, table):
    (axes,) = drawn.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    own = [name for name in names if name.startswith("P6a")]
    assert len(own) == 2  # of RoBERTa and of ALBERT
    assert "P4  Late block sharper, RoBERTa less ALBERT" in names
    assert "P13a  Late like late, RoBERTa & ALBERT" in names
    said = words(drawn)
    for column in ("RTE", "SST-2", "All tasks"):
        assert said.count(column) == 3
    for part in ("RoBERTa", "ALBERT", "Between models"):
        assert said.count(part) == 1
    assert "2/2" in said and "2.0" in said and "0.30" in said


def test_colours_are_those_of_the_verdicts(drawn, table):
    (axes,) = drawn.axes
    tiles = [each for each in axes.collections if len(each.get_facecolor()) > 50]
    colours = {to_hex(colour).upper() for each in tiles for colour in each.get_facecolor()}
    assert {COLOURS[name].upper() for name in (HOLDS, FAILS, UNTOLD)} <= colours
    assert colours <= {colour.upper() for colour in COLOURS.values()}


def test_what_is_not_in_the_study_is_said_below(drawn):
    (note,) = [text for text in words(drawn) if text.startswith("Not in this study:")]
    said = note.replace("\n", " ")
    assert "P9a, P9b (takes models: electra)" in said
    assert "P10a, P11a, P11b, P11c, P11d of ALBERT (takes albert in study.skipping)" in said
    assert "P10b" in said and "P14b of RoBERTa, ALBERT (takes 8 tasks, there are 2)" in said


def test_it_is_no_wider_than_a_papers_text_and_nothing_is_cut_off(drawn):
    assert drawn.get_size_inches()[0] <= TEXT_WIDTH
    renderer = FigureCanvasAgg(drawn).get_renderer()
    (axes,) = drawn.axes
    box = axes.get_window_extent(renderer)
    for text in axes.texts:
        place = text.get_window_extent(renderer)
        assert place.y1 <= box.y1 + 1 and place.x0 >= box.x0 - 1


def test_a_study_of_twelve_tasks_fits_the_text_width(table):
    tasks = [f"task-{place}" for place in range(12)]
    rows = pd.concat(
        table[table["task"].isna() | (table["task"] == "rte")].replace({"task": {"rte": task}})
        for task in tasks
    ).drop_duplicates(["claim", "part", "model", "task", "whole"])
    plot = claims_figure(rows, FigureStyle(["roberta", "albert"], tasks, [1], LABELS))
    assert plot.theme.getp("figure_size")[0] == TEXT_WIDTH


def test_a_study_without_any_claim_is_a_note():
    """Nothing is drawn, and nothing breaks: the analyses are not there."""
    table = claims_table(judged({("roberta", "rte"): Facts(n=50)}, analyses=[]))
    table = table.replace({"model": {"": None}, "task": {"": None}, "part": {"": None}})
    figure = claims_figure(table, STYLE).draw()
    assert any("Not in this study" in text for text in words(figure))
    pyplot.close("all")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unit": "points", "value": 0.0234}, "2.3"),
        ({"unit": "points", "value": -0.0001}, "0.0"),
        ({"unit": "CKA", "value": 0.126}, "0.13"),
        ({"unit": "depths", "value": 2.0}, "2"),
        ({"unit": "share", "value": 0.25}, "0.25"),
        ({"value": None}, "?"),
        ({"verdict": ABSENT}, "–"),
        ({"tasks": 12, "tasks_hold": 8, "value": 8 / 12}, "8/12"),
    ],
)
def test_texts_of_cells(changes, expected):
    row = {"verdict": HOLDS, "tasks": None, "tasks_hold": None, "unit": "CKA", "value": 0.1}
    assert cell_text(pd.Series(row | changes)) == expected


def test_the_note_groups_claims_by_what_they_take():
    rows = pd.DataFrame(
        {
            "claim": ["P4", "P9", "P9", "P3"],
            "part": [None, "a", "b", None],
            "model": [None, None, None, "albert"],
            "what_it_takes": ["both", "electra", "electra", "two seeds"],
        }
    )
    note = note_below(rows, LABELS, 200)
    assert note == (
        "Not in this study: P4 (takes both); P9a, P9b (takes electra); P3 of ALBERT (takes two "
        "seeds)."
    )
    assert note_below(rows[:0], LABELS, 200) == ""
