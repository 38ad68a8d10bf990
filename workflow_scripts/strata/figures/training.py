"""What training after the cut is worth: score by layers kept, one colour per way to train."""

from itertools import product

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_line,
    geom_linerange,
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

from strata.analysis.frontier import FAILED, FULL
from strata.figures.panels import annotations, corners_of, full_score, no_data, stack
from strata.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    layout,
    metric_title,
    panel_name,
    select,
    whole_breaks,
)
from strata.study.layer_sets import AS_IS, HEAD, TRAINED
from strata.study.settings import FigureStyle

# way, or what else was done -> (legend entry, colour, shape), in the order of drawing.
WAYS = {
    AS_IS: ("As it is", "black", "o"),
    HEAD: ("Head tuned", ORANGE, "^"),
    "heal": ("Healed", BLUE, "s"),
    "distil": ("Healed by distillation", SKY, "D"),
    "cut-tune": ("Cut first, fine-tuned", RED, "v"),
    "cut-distil": ("Cut first, distilled", GREEN, "P"),
}
STEP = 0.6  # of a layer: ways are drawn side by side within it


def training_plot(table: pd.DataFrame, style: FigureStyle, tolerance: float) -> ggplot:
    """Score by layers kept, one panel per pair, for the sizes that were trained.

    `table` is from ``analysis.frontier``. Each pair shows the first run that did not fail and has
    trained models. For each size and way (and number of steps) it shows the set that does best on
    the choosing examples, with its interval on the judging ones; for untrained models, the
    candidate. The band is the full model's score and the tolerance below it.
    """
    panels = {
        panel_name(task, model, style.titles): _shown(select(table, task=task, model=model))
        for task, model in product(style.tasks, style.models)
    }
    full = stack({name: _full(table, rows) for name, rows in panels.items()})
    spans = {
        name: (rows["x"], pd.concat([rows["low"], rows["high"]])) for name, rows in panels.items()
    }
    rows = stack(panels)
    ways = [way for way in WAYS if way in set(rows["how"])] or list(WAYS)
    entries, colors, shapes = zip(*(WAYS[way] for way in ways), strict=True)
    known = {"breaks": ways, "labels": entries, "limits": ways}
    return (
        ggplot(rows, aes("x", "value", color="how"))
        + full_score(full, tolerance)
        + geom_linerange(aes(ymin="low", ymax="high"), size=0.3, show_legend=False)
        + geom_line(aes(group="line"), size=0.3, show_legend=False)
        + geom_point(aes(shape="how"), size=1.4, stroke=0.2)
        + annotations(panels, corners_of(spans), no_data, at=(0.5, 0.5), ha="center")
        + scale_color_manual(colors, **known)
        + scale_shape_manual(shapes, **known)
        + scale_x_continuous(breaks=whole_breaks)
        + guides(color=guide_legend(nrow=_rows(ways)), shape=guide_legend(nrow=_rows(ways)))
        + labs(x="Layers kept", y=metric_title(table, style.titles))
        + layout(len(panels), min(len(panels), 3), aspect=0.8)
        + theme(legend_title=element_blank())
    )


def _rows(ways: list[str]) -> int:
    """Number of legend rows, with two entries each."""
    return -(-len(ways) // 2)


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per size, way and number of steps, with its position on X."""
    good = rows[rows["verdict"] != FAILED]
    seeds = good.loc[good["done"] == TRAINED, "seed"]
    if seeds.empty:
        return rows.head(0).assign(how="", line="", x=np.nan)
    own = good[good["seed"] == seeds.iloc[0]]
    own = own.assign(how=np.where(own["done"] == TRAINED, own["way"], own["done"]))
    own = own.assign(line=own["how"] + own["steps"].fillna(0).astype(int).astype(str))
    trained = own[own["done"] == TRAINED]
    others = own[(own["done"] != TRAINED) & own["chosen"] & own["size"].isin(trained["size"])]
    shown = pd.concat([others, trained]).sort_values(
        ["choose_score", "choose_loss"], ascending=[False, True], kind="stable"
    )
    shown = shown.drop_duplicates(["size", "line"])
    places = shown["how"].map(list(WAYS).index) / (len(WAYS) - 1) - 0.5
    return shown.assign(x=shown["size"] + STEP * places)


def _full(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The full model's row of a panel."""
    if rows.empty:
        return rows
    first = rows.iloc[0]
    same = select(table, task=first["task"], model=first["model"], seed=first["seed"])
    return same[(same["method"] == FULL) & (same["done"] == AS_IS)]
