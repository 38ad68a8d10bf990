"""Score over cost in torch and as ONNX, for the candidate of each size."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_line,
    geom_linerange,
    geom_point,
    geom_text,
    ggplot,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    theme,
)

from strata.analysis.frontier import FAILED, FULL
from strata.analysis.summary import CERTIFIED
from strata.figures.panels import annotations, corners_of, full_score, no_data, stack
from strata.figures.style import (
    BLUE,
    FONT_SIZE,
    RED,
    layout,
    metric_title,
    panel_name,
    select,
)
from strata.study.layer_sets import AS_IS, HEAD
from strata.study.settings import FigureStyle

# format -> (legend entry, colour), in the order of drawing.
FORMATS = {
    "torch": ("torch", "black"),
    "fp32": ("ONNX, float32", BLUE),
    "int8": ("ONNX, int8", RED),
}
# column -> title of its panel.
COSTS = {"latency_ms": "latency (ms)", "file_mb": "file (MB)"}
DONE = {AS_IS: "as it is", HEAD: "head tuned"}


def formats_plot(table: pd.DataFrame, style: FigureStyle, tolerance: float) -> ggplot:
    """Score over latency and file size, one panel per pair, cost and way, one colour per format.

    `table` is from ``analysis.formats``. A number is how many layers are kept, with its 95 %
    interval, and is circled if certified. The band is the full model's score in torch and the
    tolerance below it.
    """
    parts = {
        name: rows
        for task in style.tasks
        for model in style.models
        for name, rows in _panels(table, task, model, style.titles).items()
    }
    points = stack(parts)
    spans = {
        name: (rows["cost"], pd.concat([rows["low"], rows["high"]])) for name, rows in parts.items()
    }
    shown = [form for form in FORMATS if form in set(points["format"])] or list(FORMATS)
    entries, colors = zip(*(FORMATS[form] for form in shown), strict=True)
    full = points[["panel", "full"]].drop_duplicates().rename(columns={"full": "value"})
    certified = points[points["verdict"] == CERTIFIED]
    return (
        ggplot(points, aes("cost", "value", color="format"))
        + full_score(full, tolerance)
        + geom_linerange(aes(ymin="low", ymax="high"), size=0.25, alpha=0.5, show_legend=False)
        + geom_line(aes(group="format"), size=0.25, linetype="dotted")
        + geom_point(size=2.2, fill="white", stroke=0, shape="o", show_legend=False, color="white")
        + geom_point(certified, size=2.6, fill="white", stroke=0.3, shape="o", show_legend=False)
        + geom_text(aes(label="size"), size=FONT_SIZE - 1.5, show_legend=False)
        + annotations(parts, corners_of(spans), no_data, at=(0.5, 0.5), ha="center")
        + scale_color_manual(colors, breaks=shown, labels=entries, limits=shown)
        + guides(color=guide_legend(nrow=1))
        + labs(x="", y=metric_title(table, style.titles))
        + layout(len(parts), 2, aspect=0.8)
        + theme(legend_title=element_blank(), axis_title_x=element_blank())
    )


def _panels(
    table: pd.DataFrame, task: str, model: str, titles: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Rows with `cost` and `full`, one panel per way and cost."""
    own = select(table, task=task, model=model)
    own = own[own["verdict"] != FAILED]
    full = select(own, method=FULL, done=AS_IS, format="torch")["value"]
    ways = [done for done in DONE if (own["done"] == done).any()] or [AS_IS]
    own = own.assign(full=full.iloc[0] if len(full) else np.nan)
    name = panel_name(task, model, titles)
    return {
        f"{name}\n{DONE[done]}: {title}": _over(select(own, done=done), cost)
        for done in ways
        for cost, title in COSTS.items()
    }


def _over(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    return rows.assign(cost=rows[cost])
