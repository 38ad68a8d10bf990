"""The figure of training after the cut: what is drawn at which size and in which colour."""

import warnings

import pandas as pd
import pytest
from matplotlib import pyplot

from strata.figures.style import COLUMN_WIDTH
from strata.figures.training import WAYS, training_plot
from strata.study.settings import FigureStyle

LABELS = {"minilm": "MiniLM", "polarity": "Polarity", "accuracy": "Accuracy"}
STYLE = FigureStyle(["minilm"], ["polarity"], [1, 2], LABELS)


def row(size, value, done, way=None, steps=None, chosen=False, method="top", choose=0.5, seed=1):
    return {
        "model": "minilm", "task": "polarity", "seed": seed, "metric": "accuracy", "method": method,
        "size": size, "done": done, "way": way, "steps": steps, "value": value, "low": value - 0.05,
        "high": value + 0.05, "choose_score": choose, "choose_loss": 1.0, "chosen": chosen,
        "verdict": "loses more" if chosen else "not chosen",
    }  # fmt: skip


def table(**failed) -> pd.DataFrame:
    """Four layers; sizes 2 and 1 were trained, 3 was not."""
    rows = [row(4, 0.9, "as is", method="full"), row(4, 0.91, "head", method="full")]
    for size in (3, 2, 1):
        for done in ("as is", "head"):
            rows += [row(size, 0.5 + size / 10, done, chosen=True), row(size, 0.3, done)]
    for size in (2, 1):
        for way in [name for name in WAYS if name not in ("as is", "head")]:
            rows.append(row(size, 0.6, "trained", way, 10.0, choose=0.8))
            rows.append(row(size, 0.2, "trained", way, 10.0, choose=0.7))
        rows.append(row(size, 0.7, "trained", "heal", 20.0))
    return pd.DataFrame(rows).assign(**failed)


@pytest.fixture
def draw():
    def plot(own: pd.DataFrame):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            made = training_plot(own, STYLE, 0.01)
            made.figure = made.draw()
        return made

    yield plot
    pyplot.close("all")


def words(plot) -> list[str]:
    return [text.get_text() for text in plot.figure.findobj(match=pyplot.Text)]


def test_each_size_that_was_trained_has_a_point_a_way_and_budget(draw):
    plot = draw(table())
    shown = plot.data
    assert set(shown["size"]) == {1, 2} and len(shown) == 2 * (len(WAYS) + 1)
    # Of several sets the one that the choosing examples prefer, whatever it scores.
    assert set(shown.loc[shown["steps"] == 10, "value"]) == {0.6}
    assert set(shown.loc[shown["done"] == "as is", "value"]) == {0.6, 0.7}
    assert shown.groupby("size")["x"].agg(lambda x: x.max() - x.min()).lt(1).all()
    assert {entry for entry, *_ in WAYS.values()} | {"Layers kept", "Accuracy"} <= set(words(plot))
    assert plot.figure.get_figwidth() <= COLUMN_WIDTH + 0.01


def test_the_full_models_score_is_a_line_and_the_tolerance_a_band(draw):
    plot = draw(table())
    (line,) = [x for x in plot.layers if type(x.geom).__name__ == "geom_hline"]
    (band,) = [x for x in plot.layers if type(x.geom).__name__ == "geom_rect"]
    assert list(line.data["yintercept"]) == [0.9]
    assert list(band.data["ymin"]) == [pytest.approx(0.89)]


def test_a_run_that_failed_is_not_shown(draw):
    assert "no data" in words(draw(table(verdict="failed run")))
    both = pd.concat([table(verdict="failed run"), table(seed=2)], ignore_index=True)
    assert set(draw(both).data["seed"]) == {2}
