"""A chart of the explorer, and the parts that charts share: axes, legends, tooltips, look.

A chart is Vega-Lite made by altair. It has no data of its own: the page puts rows of the chosen
model and task into its data sets and the chosen depth, seed and estimator into its parameters, so
each chart is written once. Colours, places and words are the figures'.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt

from strata.figures.style import RED

INK = "currentColor"  # black on white, white on black
DEPTH, SEED, ESTIMATOR = "depth", "seed", "estimator"  # what is chosen on the page
FILL = "container"  # a width: all that there is
HEIGHT = 230  # pixels
LETTERS = 24  # of a legend's entry, of which two fit side by side
OF_SEED = "!isValid(datum.seed) || datum.seed == seed"
DASHES = {"solid": [1, 0], "dashed": [5, 3], "dotted": [2, 2], "dashdot": [6, 2, 2, 2]}
POINT: Any = {"filled": True, "size": 45, "opacity": 1}
EXAMPLES = ("n_examples", "examples", ",d")
Columns = tuple[str, str, str]  # a column, its words, and its format as of d3, or "" for text


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes
    ----------
    name : str
        In the page's HTML.
    section : str
        The heading that it stands under.
    title, words : str
        What it shows, and how to read it.
    rows : str
        The table whose rows are its data set "rows", and which is shown as a table.
    spec : dict
        Vega-Lite.
    where : dict
        Column -> value that its rows have, of the charts that share a table.
    needs : str
        A column without which there is nothing to draw; "" where none is special.
    extra : dict
        Other data sets -> table.
    signals : tuple of str
        Which of the page's choices it has as parameters.
    click : str
        The column that says which depth a clicked cell or point is of; "" if none does.
    follows : str
        The column of depths whose rows are drawn for the chosen depth alone; "" if all are drawn.
    wide : bool
        Whether it takes the room of two where there is room.
    """

    name: str
    section: str
    title: str
    rows: str
    spec: dict[str, Any]
    words: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    signals: tuple[str, ...] = (DEPTH, SEED)
    click: str = ""
    follows: str = ""
    wide: bool = False


def rows(filtered: str | None = None) -> alt.Chart:
    """The chart's rows, or those for which an expression is true."""
    chart = alt.Chart(alt.NamedData("rows"))
    return chart.transform_filter(filtered) if filtered else chart


def layered(
    layers: Sequence[alt.Chart],
    signals: Iterable[str],
    text: str,
    width: str | int = FILL,
    height: int = HEIGHT,
) -> dict[str, Any]:
    """Vega-Lite of layers over each other, with the page's look; `text` describes it."""
    chart = alt.layer(*layers).add_params(*(alt.param(name=name, value=1) for name in signals))
    chart = chart.properties(width=width, height=height, description=text)
    chart = chart.configure(background="transparent", font="system-ui, sans-serif")
    chart = chart.configure_view(stroke=INK, strokeOpacity=0.25)
    inked: Any = dict.fromkeys(["labelColor", "titleColor"], INK)
    chart = chart.configure_axis(
        **inked,
        domainColor=INK,
        domainOpacity=0.5,
        tickColor=INK,
        gridColor=INK,
        gridOpacity=0.1,
        titleFontWeight="normal",
    )
    return chart.configure_legend(
        **inked, titleFontWeight="normal", labelLimit=0, symbolStrokeWidth=2
    ).to_dict()


def depth_axis(column: str, title: str = "Depth") -> alt.X:
    """Whole numbers, from the first depth to the last."""
    axis = alt.Axis(tickMinStep=1, format="d", grid=False)
    return alt.X(f"{column}:Q", title=title, axis=axis, scale=alt.Scale(zero=False, padding=12))


def here(column: str, filtered: str | None = None, title: str = "Depth") -> alt.Chart:
    """A line at the chosen depth, where any of the rows is of that depth."""
    at = f"datum.{column} == depth"
    chart = rows(f"({filtered}) && {at}" if filtered else at)
    rule = chart.mark_rule(strokeDash=[4, 3], strokeWidth=2, color=RED)
    # One line: drawn once for each row it would no longer be dashed.
    one = rule.transform_aggregate(rows="count()", groupby=[column])
    return one.encode(x=alt.X(f"{column}:Q", title=title))


def lines(
    base: alt.Chart,
    y: alt.Y,
    color: alt.Color,
    dash: alt.StrokeDash,
    tip: Sequence[Columns],
    x: str,
) -> list[alt.Chart]:
    """Lines over depth, with points that say their numbers."""
    place = depth_axis(x)
    line = base.mark_line(strokeWidth=2).encode(x=place, y=y, color=color, strokeDash=dash)
    points = base.mark_point(**POINT).encode(x=place, y=y, color=color, tooltip=tooltip(*tip))
    return [line, points]


def errors(
    filtered: str, value: str, error: str, color: alt.Color, x: str, y_title: str
) -> alt.Chart:
    """A bar of 1.96 standard errors to each side of every value that has one."""
    base = rows(f"({filtered}) && isValid(datum.{error})").transform_calculate(
        from_=f"datum.{value} - 1.96 * datum.{error}", to_=f"datum.{value} + 1.96 * datum.{error}"
    )
    low = alt.Y("from_:Q", title=y_title)
    return base.mark_rule(opacity=0.5).encode(x=depth_axis(x), y=low, y2="to_", color=color)


def one_line(
    filtered: str, y: alt.Y, color: str, tip: Sequence[Columns], x: str
) -> list[alt.Chart]:
    """A single line over depth, without a legend."""
    place, base = depth_axis(x), rows(filtered)
    points = base.mark_point(color=color, **POINT)
    return [
        base.mark_line(color=color).encode(x=place, y=y),
        points.encode(x=place, y=y, tooltip=tooltip(*tip)),
    ]


def color_and_dash(
    column: str, kinds: Mapping[str, tuple[str, str, str]]
) -> tuple[alt.Color, alt.StrokeDash]:
    """Colours and lines of what a column names, in one legend.

    Parameters
    ----------
    column : str
        Whose values are told apart.
    kinds : mapping of str to tuple
        Value -> its words, its colour and its line, one of DASHES.
    """
    legend = legend_of({name: words for name, (words, _, _) in kinds.items()})
    colors = alt.Scale(domain=list(kinds), range=[inked(color) for _, color, _ in kinds.values()])
    dashes = alt.Scale(domain=list(kinds), range=[DASHES[line] for _, _, line in kinds.values()])
    return (
        alt.Color(f"{column}:N", scale=colors, legend=legend),
        alt.StrokeDash(f"{column}:N", scale=dashes, legend=legend),
    )


def legend_of(
    entries: Mapping[str, str], orient: Literal["bottom", "top"] = "bottom", **looks: Any
) -> alt.Legend:
    """A legend that shows values by their words, two side by side where they fit."""
    pairs = ", ".join(f"'{name}': '{words}'" for name, words in entries.items())
    return alt.Legend(
        title=None,
        orient=orient,
        direction="horizontal",
        labelExpr=f"{{{pairs}}}[datum.label]",
        columns=2 if max(map(len, entries.values())) <= LETTERS else 1,
        symbolOpacity=1,
        **looks,
    )


def tooltip(*columns: Columns) -> list[alt.Tooltip]:
    """What hovering says."""
    return [
        alt.Tooltip(f"{name}:Q", title=words, format=form)
        if form
        else alt.Tooltip(f"{name}:N", title=words)
        for name, words, form in columns
    ]


def inked(color: str) -> str:
    """The figures' black is white on a dark page."""
    return INK if color == "black" else color
