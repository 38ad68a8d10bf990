"""The explorer's curves over depth: scores, calibration, controls, variability, size and speed."""

from typing import Any

import altair as alt

from strata.explorer.chart import (
    DEPTH,
    EXAMPLES,
    HEIGHT,
    INK,
    OF_SEED,
    SEED,
    Chart,
    color_and_dash,
    depth_axis,
    errors,
    here,
    layered,
    lines,
    one_line,
    rows,
    tooltip,
)
from strata.explorer.tables import ENCODER, FINE_TUNED
from strata.figures.calibration import PANELS
from strata.figures.controls import OF_ONE, OF_TWO
from strata.figures.style import BLUE, ORANGE, RED, UNDEFINED
from strata.figures.truncation import CONFIGURATIONS
from strata.figures.variability import CURVES

LOW = HEIGHT - 40  # pixels
DOTTED: Any = {"color": RED, "strokeDash": [2, 2]}
# Those of Figure 3 that are curves.
CURVED = {name: row[:3] for name, row in CONFIGURATIONS.items() if name not in ("full", "baseline")}
OF_A_CURVE = f"({OF_SEED}) && datum.configuration != 'full' && datum.configuration != 'baseline'"
WHICH = (("configuration", "configuration", ""), ("depth", "depth", "d"))
# part -> (its measures, title, what Y is)
CONTROLS = {
    "depth": (OF_ONE, "A depth by itself", "Share, correlation, or step"),
    "below": (OF_TWO, "A depth and the one below", "Similarity"),
    "last": (OF_TWO, "A depth and the last one", "Similarity"),
}
VARIABILITY = "Hidden-state variability of the pretrained encoder"
SIZE = "Size and speed"


def truncation() -> Chart:
    """UNTUNED, TUNED and TUNEDORIG with their intervals (Figure 3)."""
    color, dash = color_and_dash("configuration", CURVED)
    x, y = depth_axis("depth"), alt.Y("value:Q", title="Score", scale=alt.Scale(zero=False))
    said = (
        *WHICH,
        ("value", "score", ".3f"),
        ("low", "95 % interval from", ".3f"),
        ("high", "to", ".3f"),
        EXAMPLES,
    )
    bands = rows(OF_A_CURVE).mark_area(opacity=0.15)
    full = rows(f"({OF_SEED}) && datum.configuration == 'full'")
    diamond = full.mark_point(shape="diamond", filled=True, size=90, color=INK, opacity=1)
    baseline = rows("datum.configuration == 'baseline'").mark_rule(**DOTTED)
    layers = [
        bands.encode(x=x, y=alt.Y("low:Q", title="Score"), y2="high", color=color),
        baseline.encode(y=y, tooltip=tooltip(("value", "baseline", ".3f"))),
        *lines(rows(OF_A_CURVE), y, color, dash, said, "depth"),
        diamond.encode(x=x, y=y, tooltip=tooltip(*said)),
        here("depth", OF_A_CURVE),
    ]
    return Chart(
        name="truncation",
        section="Truncation",
        title="Score when the head reads depth k",
        words="Bands are 95 % intervals over examples; the diamond is the full model, the dotted "
        "line the baseline (the best constant prediction).",
        rows="truncation",
        spec=layered(layers, (DEPTH, SEED), "Score by depth"),
        click="depth",
        wide=True,
    )


def calibration() -> list[Chart]:
    """A chart for each number of the calibration figure."""
    return [_calibration(column, title) for column, title in PANELS.items()]


def _calibration(column: str, title: str) -> Chart:
    color, dash = color_and_dash("configuration", CURVED)
    there = f"isValid(datum.{column})"
    wanted = f"({OF_SEED}) && {there} && datum.configuration != 'baseline'"
    error = ("ece_noise_high", "by chance up to", ".3f")
    if column != "ece":
        error = (f"{column}_se", "standard error", ".3f")
    y = alt.Y(f"{column}:Q", title=title)
    x = depth_axis("depth")
    chance = rows(f"{wanted} && isValid(datum.ece_noise_high)") if column == "ece" else None
    baseline = rows(f"datum.configuration == 'baseline' && {there}").mark_rule(**DOTTED)
    said = (*WHICH, (column, title, ".3f"), error, EXAMPLES)
    # What answers as sure as these would show by chance, were they perfectly calibrated.
    noise = chance and chance.transform_aggregate(high="max(ece_noise_high)", groupby=["depth"])
    layers = [
        *([noise.mark_area(color=UNDEFINED, opacity=0.5).encode(x=x, y="high:Q")] if noise else []),
        baseline.encode(y=y),
        *([] if noise else [errors(wanted, column, f"{column}_se", color, "depth", title)]),
        *lines(rows(wanted), y, color, dash, said, "depth"),
        here("depth", wanted),
    ]
    return Chart(
        name=f"calibration-{column}",
        section="Calibration and changed answers",
        title=title,
        rows="calibration",
        needs=column,
        spec=layered(layers, (DEPTH, SEED), f"{title} by depth", height=LOW),
        click="depth",
    )


def controls() -> list[Chart]:
    """What the similarity of depths is made of, before and after fine-tuning."""
    return [_control(part, weights) for weights in (ENCODER, FINE_TUNED) for part in CONTROLS]


def _control(part: str, weights: str) -> Chart:
    kinds, title, y_title = CONTROLS[part]
    color, dash = color_and_dash("measure", {name: row[:3] for name, row in kinds.items()})
    wanted = (
        f"datum.part == '{part}' && datum.weights == '{weights}' && isValid(datum.value) "
        f"&& ({OF_SEED})"
    )
    said = (
        ("measure", "measure", ""),
        ("depth", "depth", "d"),
        ("other_depth", "other depth", "d"),
        ("value", "value", ".3f"),
        ("se", "standard error", ".3f"),
        ("chance", "by chance", ".3f"),
        EXAMPLES,
    )
    y = alt.Y("value:Q", title=y_title)
    chance = rows(f"{wanted} && isValid(datum.chance)").mark_line(strokeDash=[1, 3], strokeWidth=1)
    by_chance = alt.Y("chance:Q", title=y_title)
    layers = [
        chance.encode(x=depth_axis("at"), y=by_chance, color=color),
        errors(wanted, "value", "se", color, "at", y_title),
        *lines(rows(wanted), y, color, dash, said, "at"),
        here("at", wanted),
    ]
    return Chart(
        name=f"controls-{part}-{weights}",
        section="What the similarity of depths is made of",
        title=f"{title}, {weights}",
        rows="controls",
        where={"part": part, "weights": weights},
        spec=layered(layers, (DEPTH, SEED), f"{title}, {weights}", height=LOW),
        click="at",
    )


def variability() -> Chart:
    """ν with its interval, and ν of shuffled labels, its null."""
    color, dash = color_and_dash("curve", CURVES)
    long = rows().transform_fold(list(CURVES), ["curve", "nu_of"])
    long = long.transform_filter("isValid(datum.nu_of)")
    said = (
        ("curve", "curve", ""),
        ("depth", "depth", "d"),
        ("nu_of", "its value", ".4g"),
        ("nu_low", "ν: 95 % interval from", ".4g"),
        ("nu_high", "to", ".4g"),
        ("shuffled_sd", "shuffled labels: standard deviation", ".4g"),
        ("n", "rows", ",d"),
    )
    title, x = "ν (logarithmic)", depth_axis("depth")
    bands = rows("isValid(datum.shuffled)").transform_calculate(
        # A band that reaches below 0 has no place on a logarithmic axis.
        low="max(datum.shuffled - 2 * datum.shuffled_sd, datum.shuffled / 3)",
        high="datum.shuffled + 2 * datum.shuffled_sd",
        own_low="max(datum.nu_low, datum.nu / 3)",
    )
    y = alt.Y("nu_of:Q", title=title, scale=alt.Scale(type="log"))
    null, own = (bands.mark_area(opacity=0.2, color=ink) for ink in ("#7F7F7F", BLUE))
    layers = [
        null.encode(x=x, y=alt.Y("low:Q", title=title), y2="high"),
        own.encode(x=x, y=alt.Y("own_low:Q", title=title), y2="nu_high"),
        *lines(long, y, color, dash, said, "depth"),
        here("depth"),
    ]
    return Chart(
        name="variability",
        section=VARIABILITY,
        title="ν and ν of shuffled labels",
        words="Blue: the 95 % interval of ν. Grey: two standard deviations of ν over draws of "
        "shuffled labels.",
        rows="variability",
        needs="shuffled",
        spec=layered(layers, (DEPTH,), "Hidden-state variability by depth"),
        signals=(DEPTH,),
        click="depth",
        wide=True,
    )


def probe() -> Chart:
    """A linear probe of each depth, which knows the classes."""
    wanted, title = "isValid(datum.probe)", "Score"
    y = alt.Y("probe:Q", title=title, scale=alt.Scale(zero=False))
    said = (
        ("depth", "depth", "d"),
        ("probe_score", "score", ""),
        ("probe", "its value", ".3f"),
        ("probe_low", "95 % interval from", ".3f"),
        ("probe_high", "to", ".3f"),
        ("n", "rows", ",d"),
    )
    band = rows(wanted).mark_area(opacity=0.2, color=ORANGE)
    layers = [
        band.encode(x=depth_axis("depth"), y=alt.Y("probe_low:Q", title=title), y2="probe_high"),
        *one_line(wanted, y, ORANGE, said, "depth"),
        here("depth", wanted),
    ]
    return Chart(
        name="probe",
        section=VARIABILITY,
        title="A linear probe of each depth",
        words="Cross-validated, on the same vectors, with its 95 % interval; the table names the "
        "score.",
        rows="variability",
        needs="probe",
        spec=layered(layers, (DEPTH,), "Score of a linear probe by depth"),
        signals=(DEPTH,),
        click="depth",
    )


def parameters() -> Chart:
    """What the model cut to a depth holds."""
    wanted = "datum.configuration == 'untuned' && isValid(datum.parameters)"
    y = alt.Y("parameters:Q", title="Parameters", axis=alt.Axis(format="~s"))
    said = (("depth", "layers kept", "d"), ("parameters", "parameters", ",d"))
    layers = [*one_line(wanted, y, BLUE, said, "depth"), here("depth", wanted)]
    return Chart(
        name="parameters",
        section=SIZE,
        title="Parameters of the model cut to depth k",
        rows="verdicts",
        where={"configuration": "untuned"},
        needs="parameters",
        spec=layered(layers, (DEPTH,), "Parameters by depth", height=LOW),
        signals=(DEPTH,),
        click="depth",
    )


def speed() -> Chart:
    """How long the model cut to a depth takes, as the frontier measured it."""
    y = alt.Y("latency_ms:Q", title="Milliseconds")
    said = (
        ("size", "layers kept", "d"),
        ("latency_ms", "latency, median (ms)", ".2f"),
        ("latency_p95_ms", "95th percentile (ms)", ".2f"),
        ("latency_ratio", "times as fast, one text", ".2f"),
        ("speed_ratio", "times as fast, batches of 32", ".2f"),
        ("file_mb", "file (MB)", ".1f"),
        ("device", "device", ""),
    )
    layers = [*one_line(OF_SEED, y, BLUE, said, "size"), here("size", OF_SEED)]
    return Chart(
        name="speed",
        section=SIZE,
        title="Latency of the model cut to depth k",
        words="Median of one text at a time, on the device that the table names.",
        rows="speed",
        spec=layered(layers, (DEPTH, SEED), "Latency by depth", height=LOW),
        click="size",
    )
