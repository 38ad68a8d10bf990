"""The frontier's figure: which points are large, filled and on the line, and what has no data."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from strata.figures.frontier import COSTS, METHODS, frontier_plot
from strata.figures.style import TEXT_WIDTH
from strata.study.settings import FigureStyle

LABELS = {"minilm": "MiniLM", "polarity": "Polarity", "accuracy": "Accuracy"}
STYLE = FigureStyle(["minilm"], ["polarity", "valence"], [1, 2], LABELS)


def table(task="polarity", seed=1, failed=False) -> pd.DataFrame:
    """Three layers; of each way `top` was chosen, and two layers are certified."""
    rows = []
    for done, gain in (("as is", 0.0), ("head", 0.02)):
        for place, method in enumerate([*METHODS, "full"]):
            for size in (3,) if method == "full" else (2, 1):
                verdict = (
                    {2: "certified", 1: "loses more"}[size] if method == "top" else "not chosen"
                )
                value = 0.6 + 0.1 * size + gain - 0.005 * place
                rows.append(
                    {
                        "method": method, "done": done, "size": size, "value": value,
                        "low": value - 0.05, "high": value + 0.05, "chosen": method == "top",
                        "verdict": "failed run" if failed else "" if method == "full" else verdict,
                        "latency_ms": 10.0 * size, "file_mb": 4.0 * size,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).assign(model="minilm", task=task, seed=seed, metric="accuracy")


@pytest.fixture
def plot():
    both = [table(seed=1, failed=True), table(seed=2), table("valence", failed=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plot = frontier_plot(pd.concat(both, ignore_index=True), STYLE, 0.01)
        plot.figure = plot.draw()
    yield plot
    pyplot.close("all")


def test_a_pair_has_a_panel_a_cost_of_its_first_run_that_did_not_fail(plot):
    words = [text.get_text() for text in plot.figure.findobj(match=pyplot.Text)]
    for title in COSTS.values():
        assert f"Polarity\nMiniLM\n{title}" in words
    assert words.count("no data") == len(COSTS)  # both runs on valence failed
    assert set(plot.data["seed"]) == {2}
    assert plot.figure.get_figwidth() <= TEXT_WIDTH + 0.01
    assert {entry for entry, _ in METHODS.values()} <= set(words)


def test_chosen_sets_are_large_certified_ones_are_filled(plot):
    points = plot.data
    assert set(points.loc[points["chosen"], "method"]) == {"top"}
    filled = points[points["inside"] != "white"]
    assert set(filled["method"]) == {"top"} and set(filled["size"]) == {2}
    assert set(filled["inside"]) == {METHODS["top"][1]}


def test_what_is_far_below_stands_at_the_end_of_the_lowest_interval():
    own = table()
    own.loc[own["method"] == "cka", "value"] = 0.0
    points = frontier_plot(own, STYLE, 0.01).data
    lowest = own.loc[own["chosen"], "low"].min()
    assert set(points.loc[points["method"] == "cka", "value"]) == {lowest}
    assert (points.loc[points["method"] != "cka", "value"] > lowest).all()


def test_methods_stand_side_by_side_those_with_a_tuned_head_to_the_right(plot):
    points = plot.data[plot.data["size"] == 2]
    away = points["x"] - points["cost"]
    assert (np.sign(away) == np.where(points["done"] == "head", 1, -1)).all()
    assert points.groupby(["panel", "done"], observed=True)["x"].nunique().dropna().min() == 8
