"""Outlines of blocks on CKA maps, from the table of blocks."""

from collections.abc import Iterable, Mapping

import pandas as pd
from plotnine import aes, geom_rect

from strata.figures.style import in_order, select
from strata.study.settings import MapStyle

SAID = "Outlined where found: late block (solid), two blocks (dashed)."
DASHES = {"late": "solid", "two": "dashed"}


def outlines(
    blocks: Mapping[str, pd.DataFrame], panels: Iterable[str], style: MapStyle
) -> list[geom_rect]:
    """Squares around the blocks that were found: late blocks solid, two blocks dashed.

    Parameters
    ----------
    blocks : mapping of str to DataFrame
        Each panel's rows of ``block_tables.blocks_table``; each run's blocks are drawn.
    panels : iterable of str
        All panels of the figure, in their order.
    """
    found = [
        {"panel": panel, "kind": row["kind"], "low": begin - 0.5, "high": end + 0.5}
        for panel, rows in blocks.items()
        for _, row in select(rows, pooling=style.pooling, found=True).iterrows()
        for begin, end in _spans(row)
    ]
    squares = pd.DataFrame(found, columns=["panel", "kind", "low", "high"])
    place = aes(xmin="low", xmax="high", ymin="low", ymax="high")
    # Black on white stands out on every colour of a map.
    return [
        geom_rect(
            in_order(select(squares, kind=kind), panels),
            place,
            inherit_aes=False,
            fill="none",
            color=color,
            size=size,
            linetype=dashes if color == "black" else "solid",
        )
        for kind, dashes in DASHES.items()
        if (squares["kind"] == kind).any()
        for color, size in (("white", 1.1), ("black", 0.45))
    ]


def _spans(row: pd.Series) -> list[tuple[int, int]]:
    """First and last depth of each block of a row."""
    late = [(int(row["late_begin"]), int(row["layers"]))]
    if row["kind"] == "late":
        return late
    return [(int(row["early_begin"]), int(row["early_end"])), *late]
