"""The figure of hidden-state variability and layer selection (Xie et al. 2022)."""

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_hline,
    geom_line,
    geom_point,
    geom_ribbon,
    ggplot,
    ggtitle,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_shape_manual,
    scale_x_continuous,
    scale_x_log10,
    theme,
)
from plotnine.composition import Compose

from strata.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
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
    "whole": ("Whole model", "black", "D"),
}


def variability_and_selection(nu: pd.DataFrame, table: pd.DataFrame, labels: Labels) -> Compose:
    """nu over depth with l* marked, beside the score over the trainable parameters.

    Parameters
    ----------
    nu : depth, nu, nu_low, nu_high, selected, of one model and task.
    table : comparison, top, seed, metric, value, baseline, trainable_parameters, of the same.
    """
    title = f"{shown_name(nu, 'task', labels)}, {shown_name(nu, 'model', labels)}"
    both = _curve(nu, title) | _scores(table, labels)
    return both & theme(figure_size=(TEXT_WIDTH, 2.9))


def _curve(nu: pd.DataFrame, title: str) -> ggplot:
    layers = nu[nu["depth"] > 0]
    return (
        ggplot(layers, aes("depth", "nu"))
        + geom_ribbon(aes(ymin="nu_low", ymax="nu_high"), fill=BLUE, alpha=0.2)
        + geom_line(color=BLUE, size=0.6)
        + geom_point(layers[layers["selected"]], shape="D", size=1.6, color="black")
        + scale_x_continuous(breaks=whole_breaks, expand=(0.04, 0))
        + labs(x="Depth (diamond: l*)", y="Variability ν")
        + ggtitle(title)
        + _half()
    )


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
        + guides(color=guide_legend(nrow=2, byrow=True), shape=guide_legend(nrow=2, byrow=True))
        + theme(legend_title=element_blank())
    )


def _half() -> list:
    """The house style for one of two plots side by side: no facets."""
    return layout(1, 1, aspect=0.8)[1:]


def _count(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
