"""How every figure of a study looks: sizes, colours, theme, axes; and how it is saved."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot
from plotnine import (
    element_blank,
    element_line,
    element_rect,
    element_text,
    facet_wrap,
    ggplot,
    theme,
    theme_bw,
)
from plotnine.composition import Compose

COLUMN_WIDTH = 3.3
TEXT_WIDTH = 7.0
# How many panels side by side stay readable in a paper's column and in its full width.
COLUMN_PANELS = 3
TEXT_PANELS = 6
# More rows of panels than this do not fit on a page.
MAX_ROWS = 6
DPI = 300
TIGHT = {"dpi": DPI, "bbox_inches": "tight", "pad_inches": 0.02}
FONT = "DejaVu Sans"  # part of matplotlib, so every machine draws the same figure
FONT_SIZE = 7
# Lighter than the grey in the middle of cividis.
UNDEFINED = "#D9D9D9"
# Colours of Okabe and Ito.
GREEN, BLUE, ORANGE, PURPLE, RED = "#009E73", "#0072B2", "#E69F00", "#CC79A7", "#D55E00"
SKY = "#56B4E9"
BROWN = "#8B5A2B"  # not one of theirs
Labels = Mapping[str, str]


def save(plot: ggplot | Compose, png_path: str | Path, pdf_path: str | Path) -> None:
    """Write `plot` to `png_path`, at 300 dpi, and to `pdf_path`, with its fonts embedded."""
    # Type 42 keeps text as text; hinting would draw some words bolder than others; without dates
    # the same plot gives the same bytes.
    with matplotlib.rc_context({"pdf.fonttype": 42, "text.hinting": "none"}):
        if isinstance(plot, Compose):  # its own save takes no margins
            write = plot.draw().savefig
        else:
            write = partial(plot.save, verbose=False)
        write(png_path, format="png", **TIGHT)
        write(pdf_path, format="pdf", metadata={"CreationDate": None}, **TIGHT)
    pyplot.close("all")


def layout(panels: int, columns: int, aspect: float) -> list:
    """Facets, theme and final size of a figure with this number of panels."""
    width = COLUMN_WIDTH if columns <= COLUMN_PANELS else TEXT_WIDTH
    rows = -(-panels // columns)
    panel_width = (width - 0.2) / columns - 0.2
    height = rows * (aspect * panel_width + 0.36) + 0.78
    small = FONT_SIZE - 1
    return [
        facet_wrap("panel", ncol=columns, scales="free"),
        theme_bw(base_size=FONT_SIZE, base_family=FONT),
        theme(
            figure_size=(width, height),
            dpi=DPI,
            aspect_ratio=aspect,
            plot_background=element_blank(),
            plot_margin=0.005,
            plot_title=element_text(size=FONT_SIZE + 1),
            panel_border=element_rect(color="#7F7F7F", size=0.4, fill="none"),
            panel_grid_minor=element_blank(),
            panel_grid_major=element_line(size=0.3),
            panel_spacing=0.06 / width,
            axis_ticks=element_line(size=0.4),
            axis_ticks_minor=element_blank(),
            axis_title_x=element_text(margin={"t": 3, "units": "pt"}),
            axis_title_y=element_text(margin={"r": 3, "units": "pt"}),
            axis_text=element_text(size=small - 0.5),
            strip_background=element_blank(),
            strip_text=element_text(size=small, margin={"t": 1, "b": 1.5, "units": "pt"}),
            legend_position="bottom",
            legend_box_spacing=0.04 / width,
            legend_spacing=2,
            legend_ticks=element_blank(),
            legend_text=element_text(size=small),
            legend_title=element_text(size=small + 0.5),
            legend_key=element_blank(),
        ),
    ]


def side_by_side(panels: int, tasks: int) -> int:
    """Panels side by side: all `panels` of a task, and several tasks if a page needs it."""
    for width in (COLUMN_PANELS, TEXT_PANELS):
        together = min(tasks, max(1, width // panels))
        if -(-tasks // together) <= MAX_ROWS:
            break
    return panels * together


def select(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows in which columns have these values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def shown_name(table: pd.DataFrame, column: str, labels: Labels) -> str:
    """The displayed name of a column's single value."""
    (name,) = table[column].unique()
    return labels.get(name, name)


def panel_name(task: str, model: str, labels: Labels) -> str:
    """The title of a task and model's panel, in two lines."""
    return f"{labels.get(task, task)}\n{labels.get(model, model)}"


def in_order(table: pd.DataFrame, panels: Iterable[str]) -> pd.DataFrame:
    """`table` with a `panel` that keeps the panels' order.

    plotnine uses that order only if every layer's table has it.
    """
    return table.assign(panel=pd.Categorical(table["panel"], list(panels)))


def whole_breaks(limits: tuple[float, float]) -> list[int]:
    """All whole numbers within the limits, or the first, the last and about two in between."""
    first, last = int(np.ceil(limits[0])), int(np.floor(limits[1]))
    if last - first < 8:
        return list(range(first, last + 1))
    step = max(1, -(-last // 3))
    between = [depth for depth in range(step, last, step) if first < depth <= last - step / 2]
    return sorted({first, *between, last})


def extent(values: pd.Series) -> tuple[float, float]:
    """The lowest and the highest value."""
    # Without values, a span between two whole numbers, so that there are no ticks.
    return (values.min(), values.max()) if values.notna().any() else (0.4, 0.6)


def metric_title(table: pd.DataFrame, labels: Labels) -> str:
    """The title of an axis of scores: the metric's, if all rows have the same metric."""
    metrics = table["metric"].unique()
    return labels.get(metrics[0], metrics[0]) if len(metrics) == 1 else "Task performance"
