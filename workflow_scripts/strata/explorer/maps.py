"""The explorer's maps: CKA between depths, its profile at one depth, and skipped spans."""

from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from strata.explorer.chart import (
    DEPTH,
    ESTIMATOR,
    EXAMPLES,
    OF_SEED,
    POINT,
    SEED,
    Chart,
    depth_axis,
    here,
    layered,
    legend_of,
    rows,
    tooltip,
)
from strata.explorer.tables import FT_FT, FT_ORIG, FT_OTHER, ORIG_ORIG
from strata.figures.outlines import SAID
from strata.figures.style import BLUE, GREEN, ORANGE, RED, UNDEFINED

# Of each map: its title, and which encoder is on Y and which on X.
MAPS = {
    ORIG_ORIG: ("ORIG–ORIG", "pretrained", "pretrained"),
    FT_ORIG: ("FT–ORIG", "fine-tuned", "pretrained"),
    FT_FT: ("FT–FT", "fine-tuned", "fine-tuned"),
    FT_OTHER: ("FT[1]–FT[2]", "first seed", "second seed"),
}
OF_A_STATE = (ORIG_ORIG, FT_FT)  # maps on which blocks are outlined
PROFILE = {ORIG_ORIG: "#7F7F7F", FT_ORIG: ORANGE, FT_FT: BLUE, FT_OTHER: GREEN}
MAP_SIZE, TRIANGLE_SIZE = 210, 290  # pixels
CKA = (("cka", "CKA", ".3f"), ("se", "standard error", ".3f"), EXAMPLES)


@dataclass(frozen=True)
class Square:
    """Axes of depths whose cells reach half a depth to each side."""

    y_title: str
    x_title: str

    def of(self, base: alt.Chart, y: str, x: str) -> alt.Chart:
        """Rows with the edges of their cell; `y` and `x` are columns or numbers."""
        return base.transform_calculate(
            y_low=f"datum.{y} - 0.5",
            y_high=f"datum.{y} + 0.5",
            x_low=f"datum.{x} - 0.5",
            x_high=f"datum.{x} + 0.5",
        )

    @property
    def row(self) -> dict[str, Any]:
        """From the lower to the upper edge of a cell."""
        return {"y": alt.Y("y_low:Q", title=self.y_title, **self._depths), "y2": "y_high"}

    @property
    def column(self) -> dict[str, Any]:
        """From the left to the right edge of a cell."""
        return {"x": alt.X("x_low:Q", title=self.x_title, **self._depths), "x2": "x_high"}

    @property
    def _depths(self) -> dict[str, Any]:
        axis = alt.Axis(tickMinStep=1, format="d", grid=False)
        return {"axis": axis, "scale": alt.Scale(zero=False, nice=False)}


def cka_maps() -> list[Chart]:
    """The four maps of Figure 1, with the chosen depth's row and column."""
    return [_map(kind) for kind in MAPS]


def _map(kind: str) -> Chart:
    title, y_title, x_title = MAPS[kind]
    wanted = f"datum.map == '{kind}' && datum.estimator == estimator && ({OF_SEED})"
    square = Square(f"Depth ({y_title})", f"Depth ({x_title})")
    cells = square.of(rows(wanted), "y_depth", "x_depth").mark_rect(aria=False)
    said = tooltip(
        ("y_depth", f"depth on Y, {y_title}", "d"), ("x_depth", f"depth on X, {x_title}", "d"), *CKA
    )
    at = rows(f"{wanted} && datum.y_depth == depth && datum.x_depth == depth")
    frame = square.of(at, "y_depth", "x_depth")
    frame = frame.mark_rect(filled=False, stroke=RED, strokeWidth=2)
    outlined = kind in OF_A_STATE
    layers = [
        cells.encode(**square.row, **square.column, color=_fill("cka", "viridis"), tooltip=said),
        *(_outlines(kind, square) if outlined else []),
        frame.encode(**square.row, x=alt.value(0), x2=alt.value("width")),
        frame.encode(**square.column, y=alt.value(0), y2=alt.value("height")),
    ]
    signals = (DEPTH, SEED, ESTIMATOR)
    return Chart(
        name=f"cka-{kind}",
        section="CKA",
        title=title,
        words=SAID if outlined else "",
        rows="cka",
        where={"map": kind},
        extra={"blocks": "blocks"} if outlined else {},
        spec=layered(layers, signals, f"CKA between depths, {title}", MAP_SIZE, MAP_SIZE),
        signals=signals,
        click="y_depth",
    )


def _fill(column: str, scheme: Literal["viridis", "cividis"], title: str | None = None) -> Any:
    """A colour between 0 and 1, on one fixed scale; what is undefined is grey."""
    legend = alt.Legend(
        title=title,
        orient="bottom",
        direction="horizontal",
        gradientLength=MAP_SIZE,
        gradientThickness=7,
        values=[0, 0.5, 1],
    )
    scale = alt.Scale(scheme=scheme, domain=[0, 1], clamp=True)
    color = alt.Color(f"{column}:Q", scale=scale, legend=legend)
    return alt.condition(f"isValid(datum.{column})", color, alt.value(UNDEFINED))


def _outlines(kind: str, square: Square) -> list[alt.Chart]:
    """Blocks that were found, as the figures outline them: black on white."""
    found = alt.Chart(alt.NamedData("blocks"))
    found = found.transform_filter(f"datum.map == '{kind}' && ({OF_SEED})").transform_calculate(
        y_low="datum.first - 0.5",
        y_high="datum.last + 0.5",
        x_low="datum.first - 0.5",
        x_high="datum.last + 0.5",
    )
    late, two = (found.transform_filter(f"datum.kind == '{name}'") for name in ("late", "two"))
    drawn = (
        found.mark_rect(filled=False, stroke="white", strokeWidth=3),
        late.mark_rect(filled=False, stroke="black", strokeWidth=1.2),
        two.mark_rect(filled=False, stroke="black", strokeWidth=1.2, strokeDash=[3, 2]),
    )
    return [each.encode(**square.row, **square.column) for each in drawn]


def cka_profile() -> Chart:
    """The chosen depth's row of each map, as curves."""
    named = {kind: f"{title}: k {y}, X {x}" for kind, (title, y, x) in MAPS.items()}
    wanted = f"datum.y_depth == depth && datum.estimator == estimator && ({OF_SEED})"
    base = rows(wanted).transform_calculate(
        low="datum.cka - 1.96 * datum.se", high="datum.cka + 1.96 * datum.se"
    )
    colors = alt.Scale(domain=list(named), range=[PROFILE[kind] for kind in named])
    color = alt.Color("map:N", scale=colors, legend=legend_of(named))
    title, x = "CKA with depth k", depth_axis("x_depth", "Depth on X")
    y = alt.Y("cka:Q", title=title, scale=alt.Scale(domain=[0, 1], clamp=True))
    said = tooltip(("map", "map", ""), ("x_depth", "depth on X", "d"), *CKA)
    bars = base.mark_rule(opacity=0.5)
    layers = [
        bars.encode(x=x, y=alt.Y("low:Q", title=title), y2="high", color=color),
        base.mark_line().encode(x=x, y=y, color=color),
        base.mark_point(**POINT).encode(x=x, y=y, color=color, tooltip=said),
        here("x_depth", wanted, "Depth on X"),
    ]
    signals = (DEPTH, SEED, ESTIMATOR)
    return Chart(
        name="profile",
        section="CKA",
        title="CKA of depth k with every depth",
        words="Each curve is one map's row at the chosen depth k; bars are 95 % intervals over "
        "examples.",
        rows="cka",
        spec=layered(layers, signals, "CKA of the chosen depth with every depth"),
        signals=signals,
        click="x_depth",
        follows="y_depth",
        wide=True,
    )


def skip_triangle() -> Chart:
    """What is kept without each span of layers (Figure 4)."""
    said = tooltip(
        ("first", "first skipped layer", "d"),
        ("last", "last skipped layer", "d"),
        ("left", "left", ""),
        ("value", "score", ".3f"),
        ("low", "95 % interval from", ".3f"),
        ("high", "to", ".3f"),
        ("full", "full model", ".3f"),
        ("baseline", "baseline", ".3f"),
        ("share", "gain kept", ".0%"),
        EXAMPLES,
    )
    square = Square("First skipped layer", "Last skipped layer")
    cells = square.of(rows(OF_SEED), "first", "last").mark_rect(aria=False)
    fill = _fill("share", "cividis", "Gain over the baseline kept")
    layers = [cells.encode(**square.row, **square.column, color=fill, tooltip=said)]
    text = "Share of the gain that is kept without a span of layers"
    return Chart(
        name="skipping",
        section="Skipping spans of layers",
        title="Score without the layers from first to last",
        words="Hover over a cell for the layers that are left and what they score.",
        rows="skipping",
        spec=layered(layers, (SEED,), text, TRIANGLE_SIZE, TRIANGLE_SIZE),
        signals=(SEED,),
    )
