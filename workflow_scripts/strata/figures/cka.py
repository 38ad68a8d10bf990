"""CKA maps: Figures 1, 2, 5, 6 and 7 (Phang et al. 2021), from their tables alone.

The tables' notes are printed below a figure. `style.shown` is the "first" seed or the "mean" over
the seeds that did not fail; a panel says how many failed. With `blocks` (``blocks_table`` of the
same pairs) the blocks found in what a map shows are outlined, see ``outlines``.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from textwrap import wrap

import pandas as pd
from plotnine import element_text, ggplot, labs, theme

from strata.figures.outlines import SAID, outlines
from strata.figures.panels import failed_rows, maps, panels_of
from strata.figures.style import FONT_SIZE, select, shown_name, side_by_side
from strata.study.settings import MapStyle
from strata.study.states import PRETRAINED, State

PLACE = ["y_depth", "x_depth"]
# Panels of Figure 1.
ORIG = "ORIG–ORIG\nY pretrained, X pretrained"
CHANGED = "FT–ORIG\nY fine-tuned, X pretrained"
OWN = "FT–FT\nY fine-tuned, X fine-tuned"
CHARACTERS = 19  # of small text per inch


def pair_maps(cka: pd.DataFrame, style: MapStyle, blocks: pd.DataFrame | None = None) -> ggplot:
    """Maps of CKA between the states of one model on one task (Figure 1).

    `cka` has the columns model, task, y_state, x_state, y_depth, x_depth, pooling, estimator, cka,
    failed, note, for exactly one model and task. The panels are ORIG-ORIG and FT-ORIG (if the table
    has the pretrained encoder), FT-FT and, if the style has a second seed, FT[first]-FT[second];
    the first-named encoder is on Y.
    """
    table, titles, original = _drawn(cka, style), style.titles, str(PRETRAINED)
    panels = {OWN: _of_kind(table, "ft-ft", style)}
    if original in set(table["x_state"]):
        orig = select(table, y_state=original, x_state=original)
        panels = {ORIG: orig, CHANGED: _of_kind(table, "ft-orig", style)} | panels
    if len(style.seeds) > 1:
        title = "FT[{0}]–FT[{1}]\nY seed {0}, X seed {1}".format(*style.seeds)
        panels[title] = _of_kind(table, "ft1-ft2", style)
    said = [SAID] * (blocks is not None)
    columns = min(2, len(panels))
    plot = _cka_maps(panels, columns, style, "Depth (encoder on Y)", "Depth (encoder on X)", said)
    if blocks is not None:
        places = {ORIG: select(blocks, state=original), OWN: _of_shown_seeds(blocks, style)}
        there = {panel: rows for panel, rows in places.items() if panel in panels}
        plot += outlines(there, panels, style)
    names = f"{shown_name(cka, 'task', titles)}, {shown_name(cka, 'model', titles)}"
    return plot + labs(title=f"{names} (FT: {_shown(style)})")


def map_grid(
    cka: pd.DataFrame, kind: str, style: MapStyle, blocks: pd.DataFrame | None = None
) -> ggplot:
    """Maps of one kind of CKA for every task and model (Figures 2, 5 and 6).

    `cka` is as for `pair_maps`, for any models and tasks. `kind` is `ft-ft`, `ft-orig`, or
    `ft1-ft2` with the first seed on Y and the second on X. Panels are in the order of the style's
    tasks and, within a task, of its models.
    """
    if kind == "ft1-ft2":
        if len(style.seeds) < 2:
            raise ValueError("ft1-ft2 compares two seeds, but there is only one")
        y_title, x_title = (f"Depth (fine-tuned, seed {seed})" for seed in style.seeds[:2])
    elif kind in ("ft-ft", "ft-orig"):
        y_title = f"Depth (fine-tuned, {_shown(style)})"
        x_title = y_title if kind == "ft-ft" else "Depth (pretrained)"
    else:
        raise ValueError(f"no such kind of map: {kind}")
    table = _drawn(cka, style)
    panels = {panel: _of_kind(rows, kind, style) for panel, rows in panels_of(table, style).items()}
    columns = side_by_side(len(style.models), len(style.tasks))
    if blocks is None or kind != "ft-ft":
        return _cka_maps(panels, columns, style, y_title, x_title)
    plot = _cka_maps(panels, columns, style, y_title, x_title, [SAID])
    return plot + outlines(panels_of(_of_shown_seeds(blocks, style), style), panels, style)


def model_pair_grid(cka_models: pd.DataFrame, style: MapStyle) -> ggplot:
    """Maps of CKA between two models fine-tuned on the same task (Figure 7).

    `cka_models` has the columns task, seed, y_model, x_model, y_state, x_state, y_depth, x_depth,
    pooling, estimator, cka, failed, note, with each unordered pair of models once. There is one
    panel for each task and pair; both models have the same seed, and the one that comes first in
    the style is on Y.
    """
    if len(style.models) < 2:
        raise ValueError("a comparison across models needs two models")
    table, titles = _drawn(cka_models, style), style.titles
    pairs = list(combinations(style.models, 2))
    panels = {
        f"{titles.get(task, task)}\n{titles.get(y, y)} – {titles.get(x, x)}": _of_kind(
            _model_pair(select(table, task=task), y, x), "ft-ft", style
        )
        for task, (y, x) in product(style.tasks, pairs)
    }
    columns = side_by_side(len(pairs), len(style.tasks))
    shown = _shown(style)
    return _cka_maps(
        panels, columns, style, f"Depth (first model, {shown})", f"Depth (second model, {shown})"
    )


def _drawn(cka: pd.DataFrame, style: MapStyle) -> pd.DataFrame:
    return select(cka, estimator=style.estimator, pooling=style.pooling)


def _averaged(style: MapStyle) -> bool:
    return style.shown == "mean" and len(style.seeds) > 1


def _shown(style: MapStyle) -> str:
    """The runs that a map of fine-tuned encoders shows, in words."""
    if _averaged(style):
        return "mean of the seeds" if style.uneven else f"mean of {len(style.seeds)} seeds"
    return f"seed {style.seeds[0]}"


def _of_kind(table: pd.DataFrame, kind: str, style: MapStyle) -> pd.DataFrame:
    """The rows of one map, averaged over seeds if there are several."""
    states = [str(State.of_seed(seed)) for seed in style.seeds]
    if kind == "ft1-ft2":
        return select(table, y_state=states[0], x_state=states[1])
    kept = states if _averaged(style) else states[:1]
    maps_of_seeds = [
        select(table, y_state=state, x_state=state if kind == "ft-ft" else str(PRETRAINED))
        for state in kept
    ]
    return _mean_map(maps_of_seeds) if _averaged(style) else maps_of_seeds[0]


def _mean_map(maps_of_seeds: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of the maps of runs that did not fail, or of all maps if none is left."""
    present = [rows for rows in maps_of_seeds if len(rows)]
    good = [rows for rows in present if not failed_rows(rows).any()]
    if not present:
        return maps_of_seeds[0]
    rows = pd.concat(good or present)
    # If a depth has no variance in one seed, it has no mean over seeds.
    mean = rows.groupby(PLACE)["cka"].agg(lambda values: values.mean(skipna=False))
    first = rows.drop_duplicates(PLACE).drop(columns="cka")
    out = first.merge(mean.reset_index(), on=PLACE)
    if good and len(good) < len(present):
        out["left_out"] = f"{len(present) - len(good)} of {len(present)} failed"
    return out


def _of_shown_seeds(blocks: pd.DataFrame, style: MapStyle) -> pd.DataFrame:
    """The blocks of the runs that a map shows and that did not fail."""
    seeds = style.seeds if _averaged(style) else style.seeds[:1]
    return blocks[blocks["seed"].isin(seeds) & ~failed_rows(blocks)]


def _model_pair(table: pd.DataFrame, y_model: str, x_model: str) -> pd.DataFrame:
    """The rows of an unordered pair, arranged so that `y_model` is on Y."""
    turned = select(table, y_model=x_model, x_model=y_model)
    turned = turned.rename(columns={"y_depth": "x_depth", "x_depth": "y_depth"})
    return pd.concat([select(table, y_model=y_model, x_model=x_model), turned])


def _cka_maps(
    panels: Mapping[str, pd.DataFrame],
    columns: int,
    style: MapStyle,
    y_title: str,
    x_title: str,
    said: Sequence[str] = (),
) -> ggplot:
    """Maps with, below them, the text `said` and the notes of their rows."""
    panels = {
        panel: rows.assign(x=rows["x_depth"], y=rows["y_depth"], fill=rows["cka"])
        for panel, rows in panels.items()
    }
    titles = {"x": x_title, "y": y_title, "fill": f"CKA ({style.estimator}, {style.pooling})"}
    plot = maps(panels, columns, cmap="viridis", titles=titles, note_at=(0.5, 0.5))
    width, height = plot.theme.getp("figure_size")
    lines = [
        line
        for note in (*said, *_notes(pd.concat(panels.values()), style))
        for line in wrap(note, int(CHARACTERS * width))
    ]
    if not lines:
        return plot
    small = element_text(size=FONT_SIZE - 1, ha="left", margin={"t": 3, "units": "pt"})
    size = width, height + 0.1 * len(lines)
    return plot + labs(caption="\n".join(lines)) + theme(plot_caption=small, figure_size=size)


def _notes(rows: pd.DataFrame, style: MapStyle) -> Iterator[str]:
    """The notes of the drawn rows, with the tasks that they are about."""
    noted = rows.dropna(subset="note").query("note != ''")
    for note, those in noted.groupby("note", sort=False):
        tasks = [task for task in style.tasks if task in set(those["task"])]
        yield f"{', '.join(style.titles.get(task, task) for task in tasks)}: {note}."
