"""The papers' claims by models and tasks, from their table alone."""

from collections.abc import Iterator
from textwrap import fill

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    element_text,
    geom_text,
    geom_tile,
    ggplot,
    labs,
    scale_color_identity,
    scale_fill_manual,
    scale_x_continuous,
    scale_y_continuous,
    theme,
    theme_bw,
)

from strata.analysis.claims import ABSENT, FAILS, HOLDS, UNTOLD, VERDICTS
from strata.figures.style import (
    BLUE,
    DPI,
    FONT,
    FONT_SIZE,
    ORANGE,
    TEXT_WIDTH,
    UNDEFINED,
    Labels,
)
from strata.study.settings import FigureStyle

COLOURS = {HOLDS: BLUE, FAILS: ORANGE, UNTOLD: UNDEFINED, ABSENT: "#FFFFFF"}
INK = {HOLDS: "white", FAILS: "black", UNTOLD: "black", ABSENT: "#7F7F7F"}
OVER = "All tasks"  # the column of the verdicts over tasks
ROW, CELL, NAMES = 0.15, 0.42, 1.75  # inches: of a claim's row, of a task's column, of titles
LETTERS = 21  # of the note below, in an inch


def claims_figure(table: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Claims down, tasks across, a part of the figure a model, or models that are compared.

    Parameters
    ----------
    table : ``claim_tables.claims_table``. Of claims of several parts the parts are drawn. Those
        of which the study has nothing for any model are named below.
    """
    parts = table[~table["whole"].astype(bool)]
    drawn = _placed(parts[parts["model"].notna()], style)
    columns = [*(style.titles.get(task, task) for task in style.tasks), OVER]
    places = {name: place for place, name in enumerate(columns)}
    drawn["x"] = drawn["column"].map(places)
    drawn["text"] = [cell_text(row) for _, row in drawn.iterrows()]
    drawn["ink"] = drawn["verdict"].map(INK)
    drawn["verdict"] = pd.Categorical(drawn["verdict"], list(VERDICTS))
    rows = drawn.drop_duplicates("y")
    heads = rows.groupby("panel", sort=False, as_index=False)["y"].max()
    last = len(columns) - 0.5
    width = min(TEXT_WIDTH, NAMES + CELL * len(columns))
    note = note_below(parts[parts["model"].isna()], int(LETTERS * width))
    lines = note.count("\n") + 1
    return (
        ggplot(drawn, aes("x", "y"))
        + geom_tile(aes(fill="verdict"), color="white", size=0.4, show_legend=True)
        + geom_text(aes(label="text", color="ink"), size=FONT_SIZE - 2)
        + geom_text(
            heads.assign(y=heads["y"] + 1, x=-0.45),
            aes(label="panel"),
            ha="left",
            size=FONT_SIZE,
            fontweight="bold",
        )
        + scale_fill_manual(COLOURS, limits=list(VERDICTS), drop=False)
        + scale_color_identity()
        + scale_x_continuous(
            breaks=list(places.values()), labels=columns, limits=(-0.5, last), expand=(0, 0)
        )
        + scale_y_continuous(breaks=list(rows["y"]), labels=list(rows["name"]), expand=(0, 0.6))
        + labs(x="", y="", fill="", caption=note)
        + theme_bw(base_size=FONT_SIZE, base_family=FONT)
        + theme(
            figure_size=(width, ROW * (rows["y"].max() + 2) + 0.9 + 0.11 * lines),
            dpi=DPI,
            plot_background=element_blank(),
            panel_border=element_blank(),
            panel_grid=element_blank(),
            axis_ticks=element_blank(),
            axis_text_x=element_text(size=FONT_SIZE - 1, angle=40, ha="right"),
            axis_text_y=element_text(size=FONT_SIZE - 1.5),
            legend_position="bottom",
            legend_text=element_text(size=FONT_SIZE - 1),
            legend_key_size=7,
            plot_caption=element_text(size=FONT_SIZE - 1.5, ha="left"),
        )
    )


def _placed(rows: pd.DataFrame, style: FigureStyle) -> pd.DataFrame:
    """The rows with their model's title, their claim's, their column's, and their height."""
    order = list(style.models)
    models = sorted(
        rows["model"].unique(), key=lambda m: order.index(m) if m in order else len(order)
    )
    names = rows["claim"] + rows["part"].fillna("") + "  " + rows["title"]
    rows = rows.assign(
        name=names,
        panel=[model_title(name, style.titles) for name in rows["model"]],
        column=[OVER if pd.isna(t) else style.titles.get(t, t) for t in rows["task"]],
    )
    heights: dict[tuple[str, str], int] = {}
    height = 0
    for model in models:
        height += 2  # its title
        for name in rows.loc[rows["model"] == model, "name"].drop_duplicates():
            heights[model, name] = height
            height += 1
    keys = zip(rows["model"], rows["name"], strict=True)
    return rows.assign(y=[height - heights[key] for key in keys])


def model_title(name: str, labels: Labels) -> str:
    """ "albert less roberta" with the models' titles."""
    return " ".join(labels.get(word, word) for word in name.split(" "))


def cell_text(row: pd.Series) -> str:
    """The value of a verdict, short: points, CKA, or tasks in which a claim holds."""
    if row["verdict"] == ABSENT:
        return "–"
    if pd.notna(row["tasks"]):
        return f"{row['tasks_hold']:.0f}/{row['tasks']:.0f}"
    if pd.isna(row["value"]):
        return "?"
    if row["unit"] == "points":
        return f"{100 * row['value']:z.1f}"
    return f"{row['value']:z.0f}" if row["unit"] == "depths" else f"{row['value']:z.2f}"


def note_below(rows: pd.DataFrame, letters: int) -> str:
    """The claims of which the study has nothing, with what it would take, in lines so long."""
    by_need = rows.groupby("what_it_takes", sort=False)
    sentences = list(_needs(by_need))
    if not sentences:
        return ""
    return fill(f"Not in this study: {'; '.join(sentences)}.", letters)


def _needs(by_need: object) -> Iterator[str]:
    for need, rows in by_need:  # type: ignore[attr-defined]
        yield f"{', '.join(rows['claim'] + rows['part'].fillna(''))} (takes {need})"
