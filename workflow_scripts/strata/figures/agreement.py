"""Figures that compare what the methods say, from their tables alone."""

import re

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    element_text,
    geom_hline,
    geom_line,
    geom_point,
    geom_text,
    geom_tile,
    geom_vline,
    ggplot,
    ggtitle,
    labs,
    scale_fill_cmap,
    scale_x_continuous,
    scale_x_discrete,
    scale_y_discrete,
    theme,
)

from strata.analysis.agreement import METHODS
from strata.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    FONT_SIZE,
    ORANGE,
    TEXT_WIDTH,
    UNDEFINED,
    Labels,
    in_order,
    layout,
    shown_name,
    whole_breaks,
)

TITLES = {
    "cka": "Unlike the last depth (1 − CKA)",
    "untuned": "Lost when cut here, UNTUNED",
    "tuned": "Lost when cut here, TUNED",
    "skipping": "Lost when skipped",
    "reinit": "Lost when its block is new",
    "variability": "Variability ν (pretrained)",
    "block_influence": "Block Influence (1 − cosine)",
    "angular_distance": "Angular distance (angle / π)",
}
SHORT = {
    "cka": "CKA",
    "untuned": "UNTUNED",
    "tuned": "TUNED",
    "skipping": "Skipping",
    "reinit": "New weights",
    "variability": "ν",
    "block_influence": "Influence",
    "angular_distance": "Angle",
}


def methods_by_depth(table: pd.DataFrame, finding: pd.DataFrame, labels: Labels) -> ggplot:
    """One panel per method, over the depths of one model on one task.

    Parameters
    ----------
    table : DataFrame
        Columns model, task, depth and one per method (``agreement.layer_table``).
    finding : DataFrame
        One row: late_begin (first depth of a late block that fine-tuning made, or NaN), and
        depth_{method}, the depth that each method suggests.
    """
    row = finding.iloc[0]
    titles = {method: TITLES[method] for method in METHODS if table[method].notna().any()}
    long = table.melt(["model", "task", "depth"], list(titles), "method").dropna(subset="value")
    long["panel"] = long["method"].map(titles)
    long = in_order(long, titles.values())
    suggested = long[long["depth"] == long["method"].map(lambda m: row[f"depth_{m}"])]
    plot = (
        ggplot(long, aes("depth", "value"))
        + geom_hline(yintercept=0, color="#BFBFBF", size=0.3)
        + geom_line(color=BLUE, size=0.6)
        + geom_point(color=BLUE, size=0.7)
        + geom_point(in_order(suggested, titles.values()), shape="D", size=1.6, color="black")
        + scale_x_continuous(breaks=whole_breaks, expand=(0.04, 0))
        + labs(x="Depth (diamond: suggested; dashed: start of the late block)", y="")
        + ggtitle(f"{shown_name(table, 'task', labels)}, {shown_name(table, 'model', labels)}")
        + layout(len(titles), 2, aspect=0.6)
    )
    if pd.notna(row["late_begin"]):
        plot += geom_vline(
            xintercept=row["late_begin"] - 0.5, color=ORANGE, linetype="dashed", size=0.4
        )
    return plot


def correlation_map(correlations: pd.DataFrame, labels: Labels) -> ggplot:
    """Rank correlations between methods' increments, with p, one panel per model.

    Below p is the interval, if there are enough tasks for one.

    Parameters
    ----------
    correlations : DataFrame
        Columns model, method_a, method_b, increment_spearman, low, high, p
        (``agreement.method_correlations``).
    """
    table = correlations.copy()
    shown = [m for m in METHODS if _said(table, m)] or list(METHODS)
    table = table[table["method_a"].isin(shown) & table["method_b"].isin(shown)]
    table["panel"] = table["model"].map(lambda model: labels.get(model, model))
    table["text"] = [_cell(row) for _, row in table.iterrows()]
    names = [SHORT[method] for method in shown]
    table["x"], table["y"] = table["method_a"].map(SHORT), table["method_b"].map(SHORT)
    strong = table["increment_spearman"].abs() > 0.6
    panels = list(dict.fromkeys(table["panel"]))
    columns = min(len(panels), 2)
    width = COLUMN_WIDTH if columns == 1 else TEXT_WIDTH
    height = -(-len(panels) // columns) * COLUMN_WIDTH + 0.3
    return (
        ggplot(in_order(table, panels), aes("x", "y"))
        + geom_tile(aes(fill="increment_spearman"))
        + geom_text(in_order(table[~strong], panels), aes(label="text"), size=FONT_SIZE - 2.5)
        + geom_text(
            in_order(table[strong], panels), aes(label="text"), size=FONT_SIZE - 2.5, color="white"
        )
        + scale_fill_cmap("PuOr", limits=(-1, 1), breaks=[-1, 0, 1], na_value=UNDEFINED)
        + scale_x_discrete(limits=names[:-1])
        + scale_y_discrete(limits=names[:0:-1])
        + labs(x="", y="", fill="Rank correlation of\nincrements, in this model")
        + layout(len(panels), columns, aspect=1)
        + theme(
            figure_size=(width, height),
            panel_grid=element_blank(),
            axis_text_x=element_text(angle=30, ha="right"),
            legend_key_width=70,
            legend_key_height=6,
            legend_title_position="left",
        )
    )


def _cell(row: pd.Series) -> str:
    if pd.isna(row["increment_spearman"]):
        return ""
    lines = [f"{row['increment_spearman']:z.2f}", f"p={row['p']:.3f}"]
    if pd.notna(row["low"]):
        lines.append(f"[{row['low']:z.2f},{row['high']:z.2f}]")
    # Without leading zeros, since neighbouring texts would touch.
    return re.sub(r"\b0\.", ".", "\n".join(lines))


def _said(table: pd.DataFrame, method: str) -> bool:
    of_method = table[(table["method_a"] == method) | (table["method_b"] == method)]
    return bool(of_method["increment_spearman"].notna().any())
