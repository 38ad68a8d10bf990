"""The figure of early exit: its curves and points, whose run it shows, and what has no data."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from helpers import tiny
from strata.analysis.early_exit import DepthAnswers, exits_table
from strata.figures.early_exit import POLICIES, exit_plot
from strata.study.settings import FigureStyle, Sampling

LABELS = {"bert": "BERT", "one": "One", "two": "Two", "three": "Three", "accuracy": "Accuracy"}
STYLE = FigureStyle(["bert"], ["one", "two", "three"], [1, 2], LABELS)


def table(task: str, failed: tuple[int, ...] = (), examples: int = 100) -> pd.DataFrame:
    """Two runs of four layers; seed 2 is never right below the last."""
    rng, answers = np.random.default_rng(0), {}
    for seed in (1, 2):
        labels = np.arange(examples) % 2
        right = rng.random((4, examples)) < (0.8 if seed == 1 else 0)
        right[-1] = True
        confidence = rng.uniform(0.5, 1, size=right.shape)
        answers[seed] = DepthAnswers(labels, np.where(right, labels, 1 - labels), confidence)
    runs = {seed: tiny.metrics(failed=seed in failed) for seed in answers}
    made = exits_table("bert", tiny.task(), answers, runs, Sampling(50, 0.95))
    return made.assign(task=task)


@pytest.fixture
def plot():
    tables = [table("one", failed=(1,)), table("two", failed=(1, 2))]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plot = exit_plot(pd.concat(tables, ignore_index=True), STYLE)
        plot.figure = plot.draw()
    yield plot
    pyplot.close("all")


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=pyplot.Text)]


def test_a_panel_a_pair_says_what_it_shows(plot):
    said = words(plot.figure)
    assert {"One\nBERT", "Two\nBERT", "Three\nBERT", "Layers run", "Accuracy"} <= set(said)
    assert {entry for entry, *_ in POLICIES.values()} <= set(said)
    assert said.count("failed") == 1 and said.count("no data") == 1
    assert {"1", "2", "3", "4"} <= set(said)  # whole layers


def test_it_shows_the_first_run_that_did_not_fail(plot):
    assert set(plot.data["seed"]) == {2} and set(plot.data["task"]) == {"one"}
    cuts = plot.data[plot.data["policy"] == "static"]
    assert cuts["layers"].tolist() == [1, 2, 3, 4] and cuts["value"].tolist() == [0, 0, 0, 1]


def test_a_batch_waits_at_the_same_score_for_more_layers(plot):
    chosen = plot.data[plot.data["kind"] == "chosen"].set_index(["policy", "depth"])
    assert len(chosen) == 9
    for depth in (2, 3):
        one, eight, many = (chosen.loc[(size, depth)] for size in ("1", "8", "32"))
        assert one["value"] == eight["value"] == many["value"]
        assert one["layers"] <= eight["layers"] <= many["layers"]
    axes = plot.figure.axes[0]
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) > 50]
    assert len(curves) == 3  # one per batch size
    assert [line.get_xydata()[-1].tolist() for line in curves] == 3 * [[4, 1]]


def test_what_no_half_holds_is_not_drawn():
    few = exit_plot(table("one", examples=40), STYLE)
    few.draw()
    chosen = few.data[few.data["kind"] == "chosen"]
    assert set(chosen["policy"]) == {"1", "8"}
    assert set(few.data.loc[few.data["kind"] == "curve", "policy"]) == {"1", "8", "32"}
    pyplot.close("all")
