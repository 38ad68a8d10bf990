"""Skip triangles: Figure 4 (Phang et al. 2021), from its table alone."""

import pandas as pd
from plotnine import ggplot

from strata.figures.panels import maps, panels_of
from strata.figures.style import select, side_by_side
from strata.study.settings import FigureStyle


def skip_triangles(skipping: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Performance kept when a span of layers is skipped, for every task and model (Figure 4).

    `skipping` has the columns model, task, seed, first, last, value, full, baseline, failed. The
    fill is the share of the full model's gain over the baseline that is kept, clipped to 0..1, for
    the first seed; it is undefined if the full model gains nothing.
    """
    table = select(skipping, seed=style.seeds[0])
    gain = (table["full"] - table["baseline"]).where(table["full"] > table["baseline"])
    share = (table["value"] - table["baseline"]) / gain
    table = table.assign(x=table["last"], y=table["first"], fill=share)
    return maps(
        panels_of(table, style),
        side_by_side(len(style.models), len(style.tasks)),
        cmap="cividis",
        titles={
            "x": "Last skipped layer",
            "y": "First skipped layer",
            "fill": "Gain over baseline kept",
        },
        # No span ends before it starts, so this corner is free.
        note_at=(0.27, 0.8),
    )
