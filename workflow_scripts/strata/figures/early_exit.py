"""Early exit and static cuts: score by the layers that a batch waits for, from tables alone."""

from itertools import product

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_hline,
    geom_linerange,
    geom_path,
    geom_point,
    ggplot,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_shape_manual,
    scale_x_continuous,
    theme,
)

from strata.analysis.early_exit import BATCHES, CHOSEN, CURVE, FULL, STATIC
from strata.figures.panels import annotations, corners_of, failed_rows, stack
from strata.figures.style import (
    BLUE,
    RED,
    SKY,
    layout,
    metric_title,
    panel_name,
    select,
    whole_breaks,
)
from strata.study.settings import FigureStyle

# batch size, or kind of cut -> (legend entry, colour, shape), in the order of the legend.
POLICIES = {
    STATIC: ("Static cut", "black", "o"),
    "1": ("Early exit, one at a time", SKY, "s"),
    "8": ("Early exit, batches of 8", BLUE, "^"),
    "32": ("Early exit, batches of 32", RED, "D"),
}


def exit_plot(table: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Score by layers run, one panel per pair, one colour per batch size.

    `table` is from ``analysis.early_exit.exits_table``. Each pair shows its first run that did not
    fail. Black: static cuts up to the full model, with its score as a dotted line. Colours: every
    threshold on all examples, by the layers that a batch waits for on average. Larger points:
    thresholds that one half of the examples chose and the other judges; their interval over
    examples is drawn once, at batch size one.
    """
    rows = {
        panel_name(task, model, style.titles): select(table, task=task, model=model)
        for task, model in product(style.tasks, style.models)
    }
    panels = {name: _by_policy(own) for name, own in rows.items()}
    points = stack(panels)
    static, full, curve, chosen = (
        select(points, kind=kind) for kind in (STATIC, FULL, CURVE, CHOSEN)
    )
    cuts = pd.concat([static, full])
    spans = {name: (own["layers"], own["value"]) for name, own in panels.items()}
    entries, colors, shapes = zip(*POLICIES.values(), strict=True)
    known = {"breaks": list(POLICIES), "labels": entries, "limits": list(POLICIES)}
    return (
        ggplot(points, aes("layers", "value", color="policy"))
        + geom_hline(full, aes(yintercept="value"), size=0.3, linetype="dotted")
        + geom_path(cuts, aes(group="policy"), size=0.4, show_legend=False)
        + geom_path(curve, aes(group="policy"), size=0.4, alpha=0.7, show_legend=False)
        + geom_linerange(
            select(chosen, policy="1"), aes(ymin="low", ymax="high"), size=0.25, show_legend=False
        )
        + geom_point(cuts, aes(shape="policy"), size=1)
        + geom_point(chosen, aes(shape="policy"), size=1.7, stroke=0.2)
        + annotations(rows, corners_of(spans), _note, at=(0.5, 0.5), ha="center")
        + scale_color_manual(colors, **known)
        + scale_shape_manual(shapes, **known)
        + scale_x_continuous(breaks=whole_breaks)
        + guides(color=guide_legend(nrow=2), shape=guide_legend(nrow=2))
        + labs(x="Layers run", y=metric_title(table, style.titles))
        + layout(len(panels), min(len(panels), 3), aspect=0.8)
        + theme(legend_title=element_blank())
    )


def _by_policy(rows: pd.DataFrame) -> pd.DataFrame:
    """The first run that did not fail, its exits repeated for each batch size, with `layers`."""
    good = rows.loc[~failed_rows(rows), "seed"]
    own = rows[rows["seed"] == good.iloc[0]] if len(good) else rows.head(0)
    is_cut = own["kind"].isin([STATIC, FULL])
    cuts = own[is_cut].assign(policy=STATIC, layers=own["mean_depth"])
    exits = [
        own[~is_cut].assign(policy=str(size), layers=own[column])
        for size, column in BATCHES.items()
    ]
    # Halves with few examples do not make a batch of 32.
    return pd.concat([cuts, *exits]).dropna(subset="layers")


def _note(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no data"
    return "failed" if failed_rows(rows).all() else ""
