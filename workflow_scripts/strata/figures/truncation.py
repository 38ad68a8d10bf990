"""Truncation curves: Figure 3 (Phang et al. 2021), from its table alone."""

from collections.abc import Sequence
from itertools import product

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_hline,
    geom_line,
    geom_point,
    ggplot,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_linetype_manual,
    scale_shape_manual,
    scale_x_continuous,
    theme,
)

from strata.figures.panels import annotations, corners_of, failed_rows, panels_of, stack
from strata.figures.style import (
    BLUE,
    COLUMN_PANELS,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    layout,
    metric_title,
    panel_name,
    select,
    side_by_side,
    whole_breaks,
)
from strata.study.settings import FigureStyle

# configuration -> (legend entry, colour, line type, point). `tuned-best` equals one of two curves
# at each depth, so it has none of its own.
CONFIGURATIONS = {
    "untuned": ("Untuned", GREEN, "solid", "none"),
    "tuned": ("Tuned", BLUE, "solid", "none"),
    "tuned-converged": ("Tuned, converged", SKY, "dashed", "none"),
    "tuned-orig": ("Tuned-Orig", ORANGE, "solid", "none"),
    "tuned-orig-converged": ("Tuned-Orig, converged", PURPLE, "dashed", "none"),
    "full": ("Full model", "black", "none", "D"),
    "baseline": ("Baseline", RED, "dotted", "none"),
}


def truncation_curves(truncation: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Performance by depth kept, for every task and model (Figure 3).

    `truncation` has the columns model, task, seed, configuration, depth, metric, value, failed,
    with an empty seed and depth for the baseline. Thick lines and the full model's point are means
    over the seeds whose fine-tuning did not fail; thin lines are single seeds, including failed
    ones. The models of a task share their Y axis.
    """
    models, tasks, titles = style.models, style.tasks, style.titles
    wanted = truncation["model"].isin(models) & truncation["task"].isin(tasks)
    wanted &= truncation["configuration"].isin(CONFIGURATIONS)
    truncation = truncation[wanted & truncation["value"].notna()]
    panels = panels_of(truncation, style)
    scores = stack(panels)
    named = set(scores["configuration"])
    # If there are no scores, the legend names every configuration.
    present = [name for name in CONFIGURATIONS if name in named or not named]
    scores["run"] = scores["configuration"] + scores["seed"].astype(str)
    curves = scores[~scores["configuration"].isin(["full", "baseline"])]
    means = seed_means(scores)
    spans = {
        panel_name(task, model, titles): (
            select(truncation, model=model)["depth"],
            select(truncation, task=task)["value"],
        )
        for task, model in product(tasks, models)
    }
    columns = side_by_side(len(models), len(tasks))
    return (
        ggplot(curves, aes("depth", "value", color="configuration", linetype="configuration"))
        + geom_hline(
            select(scores, configuration="baseline"),
            aes(yintercept="value", color="configuration", linetype="configuration"),
            size=0.5,
            show_legend=False,
        )
        + geom_line(aes(group="run"), size=0.25, alpha=0.6, show_legend=False)
        + geom_line(means[means["configuration"] != "full"], size=0.6)
        + geom_point(select(means, configuration="full"), aes(shape="configuration"), size=1)
        + annotations(panels, corners_of(spans), curve_note, at=(0, 0.95), ha="left")
        + configuration_scales(present, columns)
        # Less than a layer at each end, so that ticks stay within the depths.
        + scale_x_continuous(breaks=whole_breaks, expand=(0, 0.95))
        + labs(x="Depth", y=metric_title(truncation, titles))
        + layout(len(panels), columns, aspect=0.8)
        + theme(legend_title=element_blank())
    )


def curve_note(rows: pd.DataFrame) -> str:
    """A panel's note on its runs; empty if none failed."""
    if rows.empty:
        return "no data"
    seeds = rows["seed"].dropna().unique()
    failed = sorted(rows.loc[failed_rows(rows), "seed"].dropna().unique())
    if len(failed) == len(seeds):
        return "failed"
    return f"failed: seed {', '.join(f'{seed:.0f}' for seed in failed)}" if failed else ""


def seed_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Each panel's curves, averaged over the runs that did not fail."""
    runs = scores[scores["seed"].notna() & ~failed_rows(scores)]
    keys = ["panel", "configuration", "depth"]
    return runs.groupby(keys, observed=True, as_index=False)[["value"]].mean()


def configuration_scales(present: Sequence[str], columns: int) -> list:
    """Colour, line type and point of the configurations, in one legend."""
    entries, colors, lines, points = zip(*(CONFIGURATIONS[name] for name in present), strict=True)
    rows = 1 if columns > COLUMN_PANELS else 2
    kinds = {
        "color": (scale_color_manual, colors),
        "linetype": (scale_linetype_manual, lines),
        "shape": (scale_shape_manual, points),
    }
    return [
        scale(values, breaks=present, labels=entries, limits=present)
        for scale, values in kinds.values()
    ] + [guides(**{kind: guide_legend(nrow=rows, byrow=True) for kind in kinds})]
