"""The frontier: score over cost for every candidate layer set, from its table alone."""

from itertools import product

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_linerange,
    geom_point,
    geom_step,
    ggplot,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_fill_identity,
    scale_shape_manual,
    scale_size_manual,
    theme,
)

from strata.analysis.frontier import FAILED, FULL, front
from strata.analysis.summary import CERTIFIED
from strata.figures.panels import annotations, corners_of, full_score, no_data, stack
from strata.figures.style import (
    BLUE,
    BROWN,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    layout,
    metric_title,
    panel_name,
    select,
)
from strata.study.layer_sets import AS_IS, HEAD, TRAINED
from strata.study.settings import FigureStyle

# method -> (legend entry, colour), in the order of drawing.
METHODS = {
    "top": ("Top cut", "black"),
    "span": ("Best span", BLUE),
    "greedy": ("Greedy", RED),
    "skipping": ("Skipped alone", ORANGE),
    "every": ("Every set", GREEN),
    "block-influence": ("Block Influence", SKY),
    "angular": ("Angular distance", PURPLE),
    "cka": ("CKA of neighbours", BROWN),
}
# column -> title of its panel.
COSTS = {"latency_ms": "latency (ms)", "file_mb": "file (MB)"}
DONE = {AS_IS: ("As it is", "o"), HEAD: ("Head tuned", "^"), TRAINED: ("Trained", "s")}
WIDE = 0.42  # of a step in cost: the largest distance of a point from its cost


def frontier_plot(table: pd.DataFrame, style: FigureStyle, tolerance: float) -> ggplot:
    """Score over latency and over file size, two panels per pair, one colour per method.

    `table` is from ``analysis.frontier``. Each pair shows the first run that did not fail. Points
    are layer sets, on the examples that judge; those chosen as candidates are larger, have their 95
    % interval, and are filled if certified. The line is the front: no other set is as good and as
    cheap. Scores below the lowest of those intervals are drawn at its end, so that the rest stays
    readable. The band is the full model's score and the tolerance below it.
    """
    parts = {}
    for task, model in product(style.tasks, style.models):
        own = select(table, task=task, model=model)
        good = own[own["verdict"] != FAILED]
        shown = good if good.empty else good[good["seed"] == good["seed"].iloc[0]]
        for cost, title in COSTS.items():
            name = f"{panel_name(task, model, style.titles)}\n{title}"
            parts[name] = _points(shown, cost)
    points = stack(parts)
    full = points[(points["method"] == FULL) & (points["done"] == AS_IS)]
    candidates = points[points["method"] != FULL]
    chosen = candidates[candidates["chosen"]].drop_duplicates(["panel", "size", "done"])
    spans = {
        name: (
            rows["x"],
            pd.concat(
                [rows["value"], rows.loc[rows["chosen"], "low"], rows.loc[rows["chosen"], "high"]]
            ),
        )
        for name, rows in parts.items()
    }
    fronts = stack({name: front(rows, "cost") for name, rows in parts.items()})
    shown = [name for name in METHODS if name in set(candidates["method"])] or list(METHODS)
    entries, colors = zip(*(METHODS[name] for name in shown), strict=True)
    done = [name for name in DONE if name in set(candidates["done"])] or list(DONE)
    labels, shapes = zip(*(DONE[name] for name in done), strict=True)
    return (
        ggplot(candidates, aes("x", "value"))
        + full_score(full, tolerance)
        + geom_step(fronts, aes("cost", "value"), size=0.4, linetype="dashed")
        + geom_linerange(
            chosen, aes(ymin="low", ymax="high", color="method"), size=0.3, show_legend=False
        )
        + geom_point(aes(color="method", shape="done", fill="inside", size="chosen"), stroke=0.4)
        + annotations(parts, corners_of(spans), no_data, at=(0.5, 0.5), ha="center")
        + scale_color_manual(colors, breaks=shown, labels=entries, limits=shown)
        + scale_shape_manual(shapes, breaks=done, labels=labels, limits=done)
        + scale_size_manual([0.7, 1.7], breaks=[False, True], limits=[False, True], guide=None)
        + scale_fill_identity()
        + guides(color=guide_legend(nrow=2, byrow=True), shape=guide_legend(nrow=len(done)))
        + labs(x="", y=metric_title(table, style.titles))
        + layout(len(parts), min(len(parts), 4), aspect=1)
        + theme(legend_title=element_blank(), axis_title_x=element_blank())
    )


def _points(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows with their position on X, methods of equal cost side by side, and their fill."""
    steps = np.diff(np.unique(rows[cost].dropna()))
    step = float(np.median(steps)) if len(steps) else 1.0
    # As it is: to the left of the cost; trained: to the right.
    names, sides = list(METHODS), np.where(rows["done"] == AS_IS, -1, 1)
    places = [(names.index(m) + 1) / len(names) if m in METHODS else 0.0 for m in rows["method"]]
    certified = rows["verdict"] == CERTIFIED
    floor = rows.loc[rows["chosen"].astype(bool), "low"].min()
    colors = [METHODS[m][1] if m in METHODS else "black" for m in rows["method"]]
    return rows.assign(
        cost=rows[cost],
        x=rows[cost] + WIDE * step * sides * np.array(places),
        inside=np.where(certified, colors, "white"),
        chosen=rows["chosen"].astype(bool),
        value=rows["value"].clip(lower=None if pd.isna(floor) else floor),
    )
