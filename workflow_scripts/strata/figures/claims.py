"""The papers' claims by models and tasks, from their table alone."""

from collections.abc import Sequence
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
OVER, BETWEEN = "All tasks", "Between models"
ROW, CELL, NAMES = (
    0.135,
    0.4,
    1.75,
)  # inches: height of a claim's row, width of a task's column, width of titles
HEAD = 5  # rows above each part of the figure, for its title and the names of its columns
LETTERS = 20  # of the note below, per inch


def claims_figure(table: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Claims down and tasks across, by model; the last part compares models.

    Parameters
    ----------
    table : DataFrame
        The table from ``claim_tables.claims_table``. Of claims with several parts, the parts are
        drawn. Claims that are not in the study, for one model or for all, are named below the
        figure.
    """
    parts = table[~table["whole"].astype(bool)]
    told = parts.groupby(["claim", "part", "model"], dropna=False)["verdict"].transform(
        lambda verdicts: (verdicts != ABSENT).any()
    )
    columns = [*style.tasks, OVER]
    drawn = _placed(parts[told], style)
    drawn["x"] = drawn["task"].fillna(OVER).map(columns.index)
    drawn["text"] = [cell_text(row) for _, row in drawn.iterrows()]
    drawn["ink"] = drawn["verdict"].map(INK)
    drawn["verdict"] = pd.Categorical(drawn["verdict"], list(VERDICTS))
    rows = drawn.drop_duplicates("y")
    top = rows["y"].max() if len(rows) else 0
    width = min(TEXT_WIDTH, NAMES + CELL * len(columns) + 0.35)
    note = note_below(parts[~told], style.titles, int(LETTERS * width))
    height = ROW * (top + HEAD) + 0.5 + 0.1 * (note.count("\n") + 1)
    return (
        ggplot(drawn, aes("x", "y"))
        + geom_tile(aes(fill="verdict"), color="white", size=0.4, show_legend=True)
        + geom_text(aes(label="text", color="ink"), size=FONT_SIZE - 2)
        + _heads(rows, [style.titles.get(name, name) for name in columns])
        + scale_fill_manual(
            COLOURS, limits=list(VERDICTS), labels=[*VERDICTS[:-1], f"{ABSENT} (–)"], drop=False
        )
        + scale_color_identity()
        + scale_x_continuous(limits=(-0.5, len(columns) + 0.2), expand=(0, 0))
        + scale_y_continuous(
            breaks=list(rows["y"]),
            labels=list(rows["name"]),
            limits=(0.4, top + HEAD),
            expand=(0, 0),
        )
        + labs(x="", y="", fill="", caption=note)
        + theme_bw(base_size=FONT_SIZE, base_family=FONT)
        + theme(
            figure_size=(width, height),
            dpi=DPI,
            plot_background=element_blank(),
            panel_border=element_blank(),
            panel_grid=element_blank(),
            axis_ticks=element_blank(),
            axis_text_x=element_blank(),
            axis_text_y=element_text(size=FONT_SIZE - 1.5),
            legend_position="bottom",
            legend_text=element_text(size=FONT_SIZE - 1),
            legend_key_size=7,
            plot_caption=element_text(size=FONT_SIZE - 1.5, ha="left"),
            plot_caption_position="plot",
        )
    )


def _heads(rows: pd.DataFrame, columns: Sequence[str]) -> list:
    """Each part's slanted column names and, above them, its title."""
    tops = rows.groupby("panel", sort=False, as_index=False)["y"].max()
    names = tops.merge(pd.DataFrame({"column": columns, "x": range(len(columns))}), how="cross")
    title = {"ha": "left", "va": "bottom", "size": FONT_SIZE, "fontweight": "bold"}
    aslant = {"ha": "left", "va": "bottom", "size": FONT_SIZE - 1.5, "angle": 35}
    return [
        geom_text(aes(-0.5, "y", label="panel"), tops.assign(y=tops["y"] + 3.2), **title),
        geom_text(
            aes("x", "y", label="column"),
            names.assign(y=names["y"] + 0.7, x=names["x"] - 0.2),
            **aslant,
        ),
    ]


def _placed(rows: pd.DataFrame, style: FigureStyle) -> pd.DataFrame:
    """The rows with their part of the figure, their claim's title, and their height."""
    single = rows["model"].isin(style.models)
    keys = rows["claim"] + rows["part"].fillna("")
    titles = rows["model"].map(lambda name: model_title(name, style.titles))
    names = keys + "  " + rows["title"]
    rows = rows.assign(
        panel=titles.where(single, BETWEEN), name=names.where(single, names + ", " + titles)
    )
    panels = [model_title(model, style.titles) for model in style.models]
    lines = rows[["panel", "name"]].drop_duplicates()
    heights, height = {}, 0
    for panel in [*panels, BETWEEN]:
        own = lines.loc[lines["panel"] == panel, "name"]
        height += HEAD * bool(len(own))
        for name in own:
            heights[panel, name] = height
            height += 1
    places = zip(rows["panel"], rows["name"], strict=True)
    return rows.assign(y=[height - heights[place] for place in places])


def model_title(name: str, labels: Labels) -> str:
    """A name like "albert less roberta", with the models' titles."""
    return " ".join(labels.get(word, word) for word in name.split(" "))


def cell_text(row: pd.Series) -> str:
    """A verdict's value as short text: points, CKA, or in how many tasks a claim holds."""
    if row["verdict"] == ABSENT:
        return "–"
    if pd.notna(row["tasks"]):
        return f"{row['tasks_hold']:.0f}/{row['tasks']:.0f}"
    if pd.isna(row["value"]):
        return "?"
    if row["unit"] == "points":
        return f"{100 * row['value']:z.1f}"
    return f"{row['value']:z.0f}" if row["unit"] == "depths" else f"{row['value']:z.2f}"


def note_below(rows: pd.DataFrame, labels: Labels, letters: int) -> str:
    """Claims not in the study, by what they would need, in lines of `letters` characters."""
    rows = rows.assign(key=rows["claim"] + rows["part"].fillna(""))
    sentences = []
    for (need, models), own in (
        rows.groupby(["what_it_takes", "key"], sort=False)["model"]
        .agg(lambda names: ", ".join(model_title(n, labels) for n in names.dropna().unique()))
        .reset_index()
        .groupby(["what_it_takes", "model"], sort=False)
    ):
        whose = f" of {models}" if models else ""
        sentences.append(f"{', '.join(own['key'])}{whose} (takes {need})")
    return fill(f"Not in this study: {'; '.join(sentences)}.", letters) if sentences else ""
