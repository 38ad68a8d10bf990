"""The figure of what the similarity of depths consists of, from its table alone."""

from itertools import product
from math import ceil

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    element_text,
    facet_grid,
    geom_blank,
    geom_hline,
    geom_line,
    geom_linerange,
    geom_point,
    ggplot,
    ggtitle,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_linetype_manual,
    scale_shape_manual,
    scale_x_continuous,
    scale_y_continuous,
    theme,
)
from plotnine.composition import Compose

from strata.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    TEXT_WIDTH,
    Labels,
    layout,
    shown_name,
    whole_breaks,
)
from strata.study.states import State

# measure -> (legend entry, colour, line type, point)
OF_ONE = {
    "pc1_share": ("PC1: share of the variance", BLUE, "solid", "o"),
    "pc1_label": ("PC1: correlation with the label", RED, "dashed", "^"),
    "step": ("Step", "black", "solid", "D"),
}
OF_TWO = {
    "cka": ("Debiased CKA", "black", "solid", "o"),
    "cka_without_pc1": ("without PC1", BLUE, "solid", "^"),
    "cka_within_classes": ("within classes", GREEN, "solid", "s"),
    "cka_without_largest": ("without the 5 % largest", ORANGE, "dashed", "D"),
    "neighbours": ("10 nearest neighbours", PURPLE, "dashdot", "v"),
    "procrustes": ("Procrustes", RED, "dashdot", "x"),
}
FIRST, STEP = "First\ncomponent", "Relative\nstep"
BELOW, LAST = "With the\ndepth below", "With the\nlast depth"
MOST_STATES = 4  # with more, panels are too narrow to read
FEW_DEPTHS = 12
ERRORS = 1.96  # standard errors on either side
PANEL_WIDTH, ASPECT = 2.1, 0.62


def controls_by_depth(controls: pd.DataFrame, pooling: str, labels: Labels) -> Compose:
    """One column per state; rows: first component, step, similarity of depths by each measure.

    With more than four states, the first four are drawn: the pretrained and three seeds.

    Parameters
    ----------
    controls : DataFrame
        Columns model, task, state, pooling, depth, other_depth, measure, value, se, chance, failed,
        n_examples, for one model and task (``analysis.control_tables``).
    """
    table = controls[controls["pooling"] == pooling]
    states = list(dict.fromkeys(table["state"]))[:MOST_STATES]
    table = table[table["state"].isin(states)]
    failed = set(table.loc[table["failed"].eq(True), "state"])
    names = {state: _state_name(state, state in failed) for state in states}
    table = table.assign(column=pd.Categorical(table["state"].map(names), list(names.values())))
    title = f"{shown_name(table, 'task', labels)}, {shown_name(table, 'model', labels)}"
    examples = f" ({table['n_examples'].iloc[0]:,} examples)"
    both = _of_one(table, title + examples) / _of_two(table)
    width = min(TEXT_WIDTH, COLUMN_WIDTH + (len(states) - 1) * PANEL_WIDTH)
    height = 4 * ASPECT * (width - 0.5) / len(states) + 1.4
    return both & theme(figure_size=(width, height))


def _state_name(text: str, failed: bool) -> str:
    seed = State.parse(text).seed
    name = "Pretrained" if seed is None else f"Fine-tuned, seed {seed}"
    return f"{name} (failed)" if failed else name


def _of_one(table: pd.DataFrame, title: str) -> ggplot:
    shown = table[table["measure"].isin(OF_ONE)]
    row = shown["measure"].map(lambda measure: STEP if measure == "step" else FIRST)
    shown = shown.assign(row=pd.Categorical(row, [FIRST, STEP]), x=shown["depth"])
    entries = [name for name in OF_ONE if name != "step"]
    return (
        _lines(shown, _corners(table, [FIRST, STEP]), OF_ONE, entries)
        + scale_y_continuous(limits=(0, None), breaks=[0, 0.5, 1, 1.5, 2])
        + labs(x="", y="")
        + ggtitle(title)
    )


def _of_two(table: pd.DataFrame) -> ggplot:
    pairs = table[table["measure"].isin(OF_TWO)]
    last = pairs["other_depth"].max()
    below = pairs[_follows(pairs)]
    parts = {
        BELOW: below.assign(x=below["other_depth"]),
        LAST: pairs[pairs["other_depth"] == last].assign(x=lambda rows: rows["depth"]),
    }
    shown = pd.concat([rows.assign(row=row) for row, rows in parts.items()])
    shown = shown.assign(row=pd.Categorical(shown["row"], list(parts)))
    corners = _corners(table, list(parts))
    by_chance = shown[shown["measure"].isin(["neighbours", "procrustes"]) & shown["chance"].notna()]
    return (
        _lines(shown, corners, OF_TWO, list(OF_TWO))
        + geom_line(
            _joined(by_chance), aes(y="chance"), linetype="dotted", size=0.35, show_legend=False
        )
        + scale_y_continuous(breaks=[0, 0.5, 1], labels=["0", "0.5", "1"])
        + labs(x="Depth", y="")
    )


def _follows(pairs: pd.DataFrame) -> pd.Series:
    """Whether a row compares a depth with the next existing one."""
    return pairs["other_depth"] == pairs["depth"] + 1


def _corners(table: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The range that every panel spans, even without values: all depths, and from 0 to 1."""
    columns = table["column"].cat.categories
    ends = zip((table["depth"].min(), table["depth"].max()), (0, 1), strict=True)
    corners = pd.DataFrame(product(rows, columns, ends), columns=["row", "column", "end"])
    return corners.assign(
        row=pd.Categorical(corners["row"], rows),
        column=pd.Categorical(corners["column"], columns),
        x=corners["end"].str[0],
        value=corners["end"].str[1],
    )


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of lines with at least two points."""
    keys = ["row", "column", "measure"]
    return rows[rows.groupby(keys, observed=True)["x"].transform("size") > 1]


def _lines(
    shown: pd.DataFrame, corners: pd.DataFrame, kinds: dict[str, tuple], entries: list[str]
) -> ggplot:
    names, colours, lines, points = zip(*kinds.values(), strict=True)
    shown = shown.assign(low=shown["value"] - ERRORS * shown["se"])
    shown = shown.assign(high=shown["value"] + ERRORS * shown["se"])
    defined = shown[shown["value"].notna()]
    legend = dict(zip(kinds, names, strict=True))
    # A single state's figure is one column wide and fits three entries in a row.
    narrow = len(shown["column"].cat.categories) == 1
    rows = ceil(len(entries) / 3) if narrow else 1
    scales = {
        "color": (scale_color_manual, colours),
        "linetype": (scale_linetype_manual, lines),
        "shape": (scale_shape_manual, points),
    }
    return (
        ggplot(shown, aes("x", "value", color="measure", linetype="measure", shape="measure"))
        + geom_hline(yintercept=[0, 1], color="#BFBFBF", size=0.3)
        + geom_blank(corners, aes("x", "value"), inherit_aes=False)
        + geom_linerange(
            shown[shown["low"].notna()],
            aes(ymin="low", ymax="high"),
            size=0.35,
            linetype="solid",
            show_legend=False,
        )
        + geom_line(_joined(defined), size=0.5)
        + geom_point(defined, size=1.1 if shown["x"].nunique() <= FEW_DEPTHS else 0.5)
        + facet_grid("row", "column", scales="free_y")
        + scale_x_continuous(breaks=whole_breaks, expand=(0.04, 0))
        + [
            scale(
                dict(zip(kinds, values, strict=True)),
                breaks=entries,
                labels=[legend[name] for name in entries],
            )
            for scale, values in scales.values()
        ]
        + layout(1, 1, aspect=ASPECT)[1:]
        + guides(**{kind: guide_legend(nrow=rows, byrow=True) for kind in scales})
        + theme(legend_title=element_blank(), strip_text_y=element_text(rotation=-90))
    )
