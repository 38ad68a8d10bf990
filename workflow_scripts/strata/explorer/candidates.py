"""The explorer's frontier: score over cost of every candidate, and how each is made."""

import altair as alt

from strata.analysis.frontier import FULL
from strata.analysis.summary import CERTIFIED
from strata.explorer.chart import (
    EXAMPLES,
    INK,
    OF_SEED,
    SEED,
    Chart,
    inked,
    layered,
    legend_of,
    rows,
    tooltip,
)
from strata.figures.frontier import DONE, METHODS

# column -> (title of the chart, of its X axis)
COSTS = {
    "latency_ms": ("Score over latency", "Latency of one text (ms)"),
    "file_mb": ("Score over size", "File (MB)"),
}
SHAPES = {"o": "circle", "^": "triangle-up", "s": "square"}  # plotnine's -> Vega's
LARGE, SMALL = 110, 35  # square pixels
SAID = (
    ("layers", "layers", ""),
    ("made", "made", ""),
    ("chose", "chosen by", ""),
    ("value", "score", ".3f"),
    ("low", "95 % interval from", ".3f"),
    ("high", "to", ".3f"),
    ("difference", "from the full model", "+.3f"),
    EXAMPLES,
    ("verdict", "verdict", ""),
    ("latency_ms", "latency (ms)", ".2f"),
    ("file_mb", "file (MB)", ".1f"),
    ("command", "export with", ""),
)


def frontiers() -> list[Chart]:
    """Score over latency and over file size."""
    return [_over(cost) for cost in COSTS]


def _over(cost: str) -> Chart:
    title, x_title = COSTS[cost]
    colors = {name: inked(color) for name, (_, color) in METHODS.items()} | {FULL: INK}
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    methods = {name: words for name, (words, _) in METHODS.items()} | {FULL: "Full model"}
    legend = legend_of(methods)
    color = alt.Color("method:N", scale=scale, legend=legend)
    shapes = alt.Scale(domain=list(DONE), range=[SHAPES[shape] for _, shape in DONE.values()])
    inks = dict.fromkeys(["symbolFillColor", "symbolStrokeColor"], INK)
    made = legend_of({name: words for name, (words, _) in DONE.items()}, "top", **inks)
    x = alt.X(f"{cost}:Q", title=x_title, scale=alt.Scale(zero=False, padding=12))
    y = alt.Y("value:Q", title="Score", scale=alt.Scale(zero=False))
    bars = rows(f"({OF_SEED}) && datum.chosen").mark_rule(opacity=0.5)
    points = rows(OF_SEED).mark_point(strokeWidth=1.5, opacity=1).encode(
        x=x,
        y=y,
        color=color,
        fill=alt.Fill("method:N", scale=scale, legend=legend),
        fillOpacity=alt.condition(
            f"datum.verdict == '{CERTIFIED}'", alt.value(1), alt.value(0)
        ),
        shape=alt.Shape("done:N", scale=shapes, legend=made),
        size=alt.condition("datum.chosen", alt.value(LARGE), alt.value(SMALL)),
        tooltip=tooltip(*SAID),
    )  # fmt: skip
    layers = [
        bars.encode(x=x, y=alt.Y("low:Q", title="Score"), y2="high", color=color),
        points,
    ]
    return Chart(
        name=f"frontier-{cost}",
        section="The frontier: which layers to keep",
        title=title,
        words="A point is a candidate; large ones were chosen before they were judged, filled ones "
        "are certified. Click a point for the command that exports it.",
        rows="frontier",
        spec=layered(layers, (SEED,), f"{title} of every candidate", height=300),
        signals=(SEED,),
        wide=True,
    )
