"""Panels of maps and curves that several figures share.

Every figure function of this package takes pandas DataFrames as read from the study's CSV files
(extra columns are allowed) and returns a plotnine plot with its final size set; ``style.save``
writes it as PNG and PDF. A ``FigureStyle`` says what is shown, and in which order; `labels` (its
titles) maps the names of models, tasks and metrics to what a reader should see, and other names are
shown as they are.

Runs whose fine-tuning collapsed are drawn, never silently dropped: their panel says so.
"""

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_blank,
    geom_hline,
    geom_label,
    geom_raster,
    geom_rect,
    ggplot,
    labs,
    scale_fill_cmap,
    scale_x_continuous,
    scale_y_continuous,
    theme,
)

from strata.figures.style import (
    FONT_SIZE,
    UNDEFINED,
    extent,
    in_order,
    layout,
    panel_name,
    select,
    whole_breaks,
)
from strata.study.settings import FigureStyle


def panels_of(table: pd.DataFrame, style: FigureStyle) -> dict[str, pd.DataFrame]:
    """The rows of each panel, in the order of drawing; empty if a model does not have a task."""
    return {
        panel_name(task, model, style.titles): select(table, task=task, model=model)
        for task, model in product(style.tasks, style.models)
    }


def full_score(full: pd.DataFrame, tolerance: float) -> list:
    """The full model's score as a line, and the tolerance below it as a band.

    Parameters
    ----------
    full : DataFrame
        The full model's row for each panel, with `panel` and `value`.
    """
    band = geom_rect(
        full.assign(bottom=full["value"] - tolerance),
        aes(ymin="bottom", ymax="value"),
        xmin=-np.inf,
        xmax=np.inf,
        inherit_aes=False,
        fill=UNDEFINED,
        alpha=0.7,
    )
    return [band, geom_hline(full, aes(yintercept="value"), size=0.4)]


def no_data(rows: pd.DataFrame) -> str:
    """A note for `annotations` on panels without rows."""
    return "no data" if rows.empty else ""


def stack(panels: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of all panels in one table, with their `panel`."""
    rows = pd.concat([rows.assign(panel=panel) for panel, rows in panels.items()])
    return in_order(rows, panels)


def maps(
    panels: Mapping[str, pd.DataFrame],
    columns: int,
    cmap: str,
    titles: Mapping[str, str],
    note_at: tuple[float, float],
) -> ggplot:
    """Square maps, one per panel, from rows with `x`, `y` and `fill` (0 to 1, NaN is grey).

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Each panel's rows; if they have `left_out`, it is written on the panel.
    titles : mapping of str to str
        Titles of x, y and fill.
    note_at : tuple of float and float
        The place in a panel where "failed" or "no data" is written, see `annotations`.
    """
    corners = corners_of({panel: (rows["x"], rows["y"]) for panel, rows in panels.items()})
    tiles = stack(panels)
    # Values beyond the scale are not undefined: debiased CKA may be a little below 0.
    tiles["fill"] = tiles["fill"].clip(0, 1)
    return (
        ggplot(tiles, aes("x", "y"))
        # One image per panel: tiles drawn one by one leave hairlines between them in a PDF.
        + geom_raster(aes(fill="fill"), interpolation="nearest")
        + annotations(panels, corners, _map_note, note_at, ha="center")
        + scale_fill_cmap(
            cmap, limits=(0, 1), breaks=[0, 0.5, 1], labels=["0", "0.5", "1"], na_value=UNDEFINED
        )
        + scale_x_continuous(breaks=whole_breaks, expand=(0, 0))
        + scale_y_continuous(breaks=whole_breaks, expand=(0, 0))
        + labs(**titles)
        + layout(len(panels), columns, aspect=1)
        + theme(
            panel_grid=element_blank(),
            legend_key_width=70,
            legend_key_height=6,
            legend_title_position="left",
        )
    )


def failed_rows(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of a run that failed."""
    # In rows that belong to no run, `failed` may be empty.
    return rows["failed"].eq(True)


def annotations(
    panels: Mapping[str, pd.DataFrame],
    corners: pd.DataFrame,
    text: Callable[[pd.DataFrame], str],
    at: tuple[float, float],
    ha: str,
) -> list:
    """Plot layers that span each panel and write the `text` of its rows on it, if not empty.

    `at` is the place in the panel, from (0, 0) at the bottom left to (1, 1).
    """
    low, high = (corners.groupby("panel", observed=True)[["x", "y"]].agg(f) for f in ("min", "max"))
    notes = (low + np.array(at) * (high - low)).reset_index()
    notes = notes.assign(text=[text(panels[panel]) for panel in notes["panel"]])
    label = geom_label(
        notes[notes["text"] != ""],
        aes("x", "y", label="text"),
        inherit_aes=False,
        ha=ha,
        size=FONT_SIZE - 1.5,
        fill="white",
        label_size=0.3,
        label_padding=0.2,
    )
    return [geom_blank(corners, aes("x", "y"), inherit_aes=False), label]


def _map_note(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no data"
    if failed_rows(rows).any():
        return "failed"
    # For a mean over runs: how many of them are not in it.
    return rows["left_out"].iloc[0] if "left_out" in rows else ""


def corners_of(spans: Mapping[str, tuple[pd.Series, pd.Series]]) -> pd.DataFrame:
    """Two opposite corners of each panel, from the values that its X and Y axes must span."""
    corners = [
        {"panel": panel, "x": x, "y": y}
        for panel, (x_values, y_values) in spans.items()
        for x, y in zip(extent(x_values), extent(y_values), strict=True)
    ]
    return in_order(pd.DataFrame(corners), spans)
