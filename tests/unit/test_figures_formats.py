"""The figure of formats: which panels there are, what is circled, and what has no data."""

import warnings

import pandas as pd
import pytest
from matplotlib import pyplot

from strata.figures.formats import COSTS, FORMATS, formats_plot
from strata.figures.style import COLUMN_WIDTH
from strata.study.settings import FigureStyle

LABELS = {"minilm": "MiniLM", "polarity": "Polarity", "accuracy": "Accuracy"}
STYLE = FigureStyle(["minilm"], ["polarity", "valence"], [1], LABELS)


def table(task="polarity", failed=False) -> pd.DataFrame:
    """Six layers; three and more are certified, in int8 five and more."""
    rows = []
    for done, gain in (("as is", 0.0), ("head", 0.01)):
        for place, form in enumerate(FORMATS):
            for size in range(1, 7):
                value = 0.84 - 0.02 * (6 - size) - 0.005 * (form == "int8") + gain
                certified = size >= (5 if form == "int8" else 3)
                rows.append(
                    {
                        "format": form, "done": done, "size": size, "value": value,
                        "method": "full" if size == 6 else "top",
                        "low": value - 0.04, "high": value + 0.04,
                        "verdict": "failed run" if failed else "certified" if certified else "",
                        "latency_ms": (2.0 + 1.5 * size) / (1 + place),
                        "file_mb": (48.0 + 7.0 * size) / (4 if form == "int8" else 1),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).assign(model="minilm", task=task, metric="accuracy")


@pytest.fixture
def plot():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        both = pd.concat([table(), table("valence", failed=True)], ignore_index=True)
        plot = formats_plot(both, STYLE, 0.01)
        plot.figure = plot.draw()
    yield plot
    pyplot.close("all")


def test_a_pair_has_a_panel_a_way_and_cost(plot):
    words = [text.get_text() for text in plot.figure.findobj(match=pyplot.Text)]
    for way in ("as it is", "head tuned"):
        for title in COSTS.values():
            assert f"Polarity\nMiniLM\n{way}: {title}" in words
    assert words.count("no data") == len(COSTS)  # the run on valence failed
    assert {entry for entry, _ in FORMATS.values()} <= set(words)
    assert plot.figure.get_figwidth() <= COLUMN_WIDTH + 0.01


def test_numbers_are_layers_and_the_line_is_the_full_model_in_torch(plot):
    points = plot.data
    assert set(points["size"]) == set(range(1, 7)) and set(points["full"]) == {0.84}
    assert (points["cost"] > 0).all()
    _, rings = [x.data for x in plot.layers if type(x.geom).__name__ == "geom_point"]
    assert len(rings) == 2 * len(COSTS) * (4 + 4 + 2)
