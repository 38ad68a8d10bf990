"""The figure of hidden-state variability and layer selection (Xie et al. 2022)."""

from typing import Any

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    element_text,
    facet_grid,
    geom_errorbar,
    geom_hline,
    geom_line,
    geom_point,
    geom_ribbon,
    geom_segment,
    geom_text,
    geom_tile,
    ggplot,
    ggtitle,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_fill_cmap,
    scale_linetype_manual,
    scale_shape_manual,
    scale_x_continuous,
    scale_x_discrete,
    scale_x_log10,
    scale_y_continuous,
    scale_y_discrete,
    scale_y_log10,
    theme,
)
from plotnine.composition import Compose

from strata.analysis.paired import SAME
from strata.analysis.selection import MEASURES
from strata.figures.style import (
    BLUE,
    BROWN,
    COLUMN_WIDTH,
    FONT_SIZE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    TEXT_WIDTH,
    Labels,
    layout,
    metric_title,
    shown_name,
    whole_breaks,
)

# comparison -> (legend entry, colour, point)
COMPARISONS = {
    "selected": ("Layers up to l*", BLUE, "o"),
    "last": ("Last layers", ORANGE, "x"),
    "lora-selected": ("LoRA, layers up to l*", GREEN, "^"),
    "lora": ("LoRA, all layers", PURPLE, "v"),
    "adapter-selected": ("Adapters, layers up to l*", SKY, "s"),
    "adapter": ("Adapters, all layers", BROWN, "P"),
    "whole": ("Whole model", "black", "D"),
}


# column of nu.csv -> (legend entry, colour, line)
CURVES = {
    "shuffled": ("ν of shuffled labels", "#7F7F7F", "dashed"),
    "nu": ("ν", BLUE, "solid"),
    "corrected": ("ν without noise of means", GREEN, "solid"),
}


def variability_and_selection(
    nu: pd.DataFrame,
    finding: pd.DataFrame,
    table: pd.DataFrame,
    paired: pd.DataFrame,
    labels: Labels,
) -> Compose:
    """Measures by depth and, below them, what training the selected layers gives.

    Parameters
    ----------
    nu : DataFrame
        The table of ``analysis.selection.variability_table`` for one model and task.
    finding : DataFrame
        The table of ``analysis.selection.finding_table``: what each measure selects.
    table : DataFrame
        Columns comparison, top, seed, metric, value, baseline, trainable_parameters.
    paired : DataFrame
        The table of ``analysis.paired.selected_less_last``.
    """
    title = f"{shown_name(nu, 'task', labels)}, {shown_name(nu, 'model', labels)}"
    row = finding.iloc[0]
    above = _curves(nu, row, title) | _probe(nu, row)
    both = above / (_scores(table, labels) | _differences(paired, labels))
    return both & theme(figure_size=(TEXT_WIDTH, 5.5))


def _curves(nu: pd.DataFrame, row: pd.Series, title: str) -> ggplot:
    layers = nu[nu["depth"] > 0]
    names = [name for name in CURVES if layers[name].notna().any()]
    long = pd.concat(
        layers[["depth"]].assign(
            curve=name, value=layers[name], chosen=layers["depth"] == row[f"depth_{name}"]
        )
        for name in names
    ).dropna(subset="value")
    long["curve"] = pd.Categorical(long["curve"], names)
    widest = layers[layers["depth"] == row["depth_relative"]]
    # A band that reaches below 0 cannot be drawn on a logarithmic axis.
    band = layers.assign(
        low=(layers["shuffled"] - 2 * layers["shuffled_sd"]).clip(lower=layers["shuffled"] / 3),
        high=layers["shuffled"] + 2 * layers["shuffled_sd"],
    )
    entries, colours, lines = zip(*(CURVES[name] for name in names), strict=True)
    return (
        ggplot(long, aes("depth", "value", color="curve"))
        + geom_ribbon(
            aes("depth", ymin="low", ymax="high"),
            band,
            inherit_aes=False,
            fill="#7F7F7F",
            alpha=0.2,
        )
        + geom_ribbon(
            aes("depth", ymin="nu_low", ymax="nu_high"),
            layers.assign(nu_low=layers["nu_low"].clip(lower=layers["nu"] / 3)),
            inherit_aes=False,
            fill=BLUE,
            alpha=0.2,
        )
        + geom_segment(
            aes("depth", "nu", xend="depth", yend="shuffled"),
            widest,
            inherit_aes=False,
            linetype="dotted",
            size=0.6,
        )
        + geom_line(aes(linetype="curve"), size=0.6)
        + geom_point(long[long["chosen"]], shape="D", size=1.8, show_legend=False)
        + scale_color_manual(colours, breaks=names, limits=names, labels=entries)
        + scale_linetype_manual(lines, breaks=names, limits=names, labels=entries)
        + scale_x_continuous(breaks=whole_breaks, expand=(0.04, 0))
        + scale_y_log10(labels=lambda breaks: [f"{value:g}" for value in breaks])
        + labs(x="Depth", y="Variability (log scale)", subtitle=_selections(row))
        + ggtitle(title)
        + _half()
        + guides(color=guide_legend(nrow=2, byrow=True), linetype=guide_legend(nrow=2, byrow=True))
        + theme(legend_title=element_blank())
    )


def _selections(row: pd.Series) -> str:
    at = {name: _depth(row[f"depth_{name}"]) for name in ("nu", "shuffled", *MEASURES)}
    return (
        f"Lowest: ν {at['nu']}; shuffled labels {at['shuffled']};\n"
        f"relative to them {at['relative']}; without noise {at['corrected']}"
    )


def _depth(value: Any) -> str:
    return "nowhere" if pd.isna(value) else str(int(value))


def _probe(nu: pd.DataFrame, row: pd.Series) -> ggplot:
    layers = nu[nu["depth"] > 0]
    chance = layers.assign(
        low=layers["probe_shuffled"] - 2 * layers["probe_shuffled_sd"],
        high=layers["probe_shuffled"] + 2 * layers["probe_shuffled_sd"],
    )
    return (
        ggplot(layers, aes("depth", "probe"))
        + geom_ribbon(aes(ymin="low", ymax="high"), chance, fill="#7F7F7F", alpha=0.2)
        + geom_line(aes(y="probe_shuffled"), color="#7F7F7F", linetype="dashed", size=0.6)
        + geom_ribbon(aes(ymin="probe_low", ymax="probe_high"), fill=ORANGE, alpha=0.25)
        + geom_line(color=ORANGE, size=0.6)
        + geom_point(layers[layers["depth"] == row["depth_probe"]], shape="D", size=1.8)
        + scale_x_continuous(breaks=whole_breaks, expand=(0.04, 0))
        + labs(
            x="Depth (dashed: shuffled labels)",
            y=f"Linear probe, {nu['probe_score'].iloc[0]}",
            subtitle=f"Best: {_depth(row['depth_probe'])}.\n{claim_words(row)}",
        )
        + ggtitle(" ")
        + _half()
    )


def claim_words(row: pd.Series) -> str:
    """What a row of ``finding_table`` claims, or why it claims nothing, in words."""
    if pd.notna(row["claimed"]):
        return f"All select depth {_depth(row['claimed'])}"
    if any(_depth(row[f"depth_{name}"]) != _depth(row["depth_nu"]) for name in MEASURES):
        return "They differ: no depth is claimed"
    return f"Together in only {row['agreed']:.0%} of half-samples: none claimed"


def _scores(table: pd.DataFrame, labels: Labels) -> ggplot:
    runs = table[table["value"].notna()]
    keys = ["comparison", "top", "trainable_parameters"]
    groups = runs.groupby(keys, dropna=False, sort=False)["value"]
    means = groups.mean().reset_index()
    names = [name for name in COMPARISONS if (runs["comparison"] == name).any()]
    entries, colours, shapes = zip(*(COMPARISONS[name] for name in names), strict=True)
    return (
        ggplot(means, aes("trainable_parameters", "value", color="comparison"))
        + geom_hline(yintercept=runs["baseline"].iloc[0], color=RED, linetype="dotted", size=0.5)
        + geom_line(means[means["top"].notna()], aes(group="comparison"), size=0.4)
        + geom_point(runs, size=0.6, alpha=0.5, show_legend=False)
        + geom_point(aes(shape="comparison"), size=1.5)
        + scale_color_manual(colours, breaks=names, limits=names, labels=entries)
        + scale_shape_manual(shapes, breaks=names, limits=names, labels=entries)
        + scale_x_log10(labels=lambda breaks: [_count(value) for value in breaks])
        + labs(x="Parameters trained (log scale)", y=metric_title(runs, labels))
        + ggtitle(" ")
        + _half()
        + guides(color=guide_legend(nrow=3, byrow=True), shape=guide_legend(nrow=3, byrow=True))
        + theme(legend_title=element_blank())
    )


def _differences(paired: pd.DataFrame, labels: Labels) -> ggplot:
    """Selected minus last layers, with intervals; if both are the same layers, it says so."""
    there = paired[paired["difference"].notna()]
    missing = paired[paired["difference"].isna()].assign(
        difference=0.0, words=lambda rows: ["same" if n == SAME else "none" for n in rows["note"]]
    )
    tops = [str(top) for top in paired["top"]]
    name = metric_title(paired, labels)
    plot = (
        ggplot(there.assign(top=there["top"].astype(str)), aes("top", "difference"))
        + geom_hline(yintercept=0, color="#7F7F7F", size=0.4)
        + geom_errorbar(aes(ymin="low", ymax="high"), width=0.15, size=0.5, color=BLUE)
        + geom_point(size=1.6, color=BLUE)
        + geom_text(
            aes(label="words"),
            missing.assign(top=missing["top"].astype(str)),
            size=FONT_SIZE - 1,
            va="bottom",
        )
        + scale_x_discrete(limits=tops)
        + labs(
            x="Layers trained",
            y=f"{name}, selected less last",
            subtitle=_about(paired, len(there)),
        )
        + ggtitle(" ")
        + _half()
    )
    return plot if len(there) else plot + scale_y_continuous(limits=(-0.05, 0.05))


def _about(paired: pd.DataFrame, there: int) -> str:
    if there:
        about = paired["about"].dropna().iloc[0]
        return f"Paired difference; interval about {about}"
    same = (paired["note"] == SAME).any()
    return "The selected layers are the last layers" if same else "Nothing to compare"


def _half() -> list:
    """The house style for one of two plots side by side, without facets."""
    return layout(1, 1, aspect=0.68)[1:]


def _count(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


# measure -> the title of its panels
TITLES = {
    "nu": "ν",
    "relative": "ν / shuffled",
    "corrected": "ν without noise",
    "probe": "Linear probe",
}


def robustness(table: pd.DataFrame, labels: Labels) -> ggplot:
    """How often each measure selects each depth, by size of the sample and by class ratio.

    Parameters
    ----------
    table : DataFrame
        The table of ``analysis.robustness.robustness_table`` for one model and task.
    """
    title = f"{shown_name(table, 'task', labels)}, {shown_name(table, 'model', labels)}"
    possible = table[table["measure"].notna()].copy()
    possible["at"] = [_level(row) for row in possible.itertuples()]
    order = possible.sort_values(["varied", "level"], ascending=[False, True])["at"].unique()
    possible["at"] = pd.Categorical(possible["at"], order)
    ratios = possible.loc[possible["varied"] == "ratio", "examples"]
    equal = f"Class ratio, n = {ratios.iloc[0]:,.0f}" if len(ratios) else ""
    possible["kind"] = pd.Categorical(
        ["Examples" if varied == "size" else equal for varied in possible["varied"]],
        ["Examples", equal] if equal else ["Examples"],
    )
    possible["panel"] = pd.Categorical(possible["measure"].map(TITLES), list(TITLES.values()))
    depths = sorted(possible["depth"].astype(int).unique())
    names = [str(depth) for depth in depths]
    possible["depth"] = pd.Categorical(possible["depth"].astype(int).astype(str), names)
    skipped = [f"1:{row.level}" for row in table[table["measure"].isna()].itertuples()]
    note = f" (not possible: {', '.join(skipped)})" if skipped else ""
    shown = set(map(str, whole_breaks((depths[0], depths[-1]))))
    return (
        ggplot(possible, aes("at", "depth", fill="share"))
        + geom_tile()
        + facet_grid("panel", "kind", scales="free_x", space="free_x")
        + scale_fill_cmap("cividis", limits=(0, 1), name="Share of subsamples")
        + scale_x_discrete()
        + scale_y_discrete(breaks=[name for name in names if name in shown])
        + labs(x=f"Sample{note}", y="Selected depth")
        + ggtitle(title)
        + layout(1, 1, aspect=0.8)[1:]
        + theme(
            figure_size=(COLUMN_WIDTH, 4.6),
            aspect_ratio=None,
            axis_text_x=element_text(rotation=45, ha="right"),
        )
    )


def _level(row: Any) -> str:
    return f"1:{row.level}" if row.varied == "ratio" else f"{row.level:,}"
