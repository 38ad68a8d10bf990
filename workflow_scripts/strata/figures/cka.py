"""CKA maps: Figures 1, 2, 5, 6 and 7 (Phang et al. 2021), from their tables alone."""

from collections.abc import Mapping
from itertools import combinations, product

import pandas as pd
from plotnine import ggplot, ggtitle

from strata.figures.panels import maps, panels_of
from strata.figures.style import select, shown_name, side_by_side
from strata.study.settings import MapStyle
from strata.study.states import PRETRAINED, State


def pair_maps(cka: pd.DataFrame, style: MapStyle) -> ggplot:
    """Maps of CKA between the states of one model on one task (Figure 1).

    `cka`: model, task, y_state, x_state, y_depth, x_depth, pooling, estimator, cka, failed, of
    exactly one model and task. The panels are ORIG-ORIG, FT-ORIG, FT-FT and, where the style has a
    second seed, FT[first]-FT[second]; the first-named encoder is on Y.
    """
    seeds, titles = style.seeds, style.titles
    first, original = str(State.of_seed(seeds[0])), str(PRETRAINED)
    pairs = {
        "ORIG–ORIG\nY pretrained, X pretrained": (original, original),
        "FT–ORIG\nY fine-tuned, X pretrained": (first, original),
        "FT–FT\nY fine-tuned, X fine-tuned": (first, first),
    }
    if len(seeds) > 1:
        title = "FT[{0}]–FT[{1}]\nY seed {0}, X seed {1}".format(*seeds)
        pairs[title] = (first, str(State.of_seed(seeds[1])))
    table = _drawn(cka, style)
    panels = {
        panel: select(table, y_state=y_state, x_state=x_state)
        for panel, (y_state, x_state) in pairs.items()
    }
    plot = _cka_maps(panels, 2, style, "Depth (encoder on Y)", "Depth (encoder on X)")
    return plot + ggtitle(f"{shown_name(cka, 'task', titles)}, {shown_name(cka, 'model', titles)}")


def map_grid(cka: pd.DataFrame, kind: str, style: MapStyle) -> ggplot:
    """Maps of one kind of CKA for every task and model (Figures 2, 5 and 6).

    `cka`: as for `pair_maps`, of any models and tasks. `kind` is `ft-ft` or `ft-orig`, of the first
    seed, or `ft1-ft2`, with the first seed on Y and the second on X. Panels come in the order of
    the style's tasks and, within a task, of its models.
    """
    seeds = style.seeds
    first = str(State.of_seed(seeds[0]))
    if kind == "ft-ft":
        x_state, y_title, x_title = first, "Depth (fine-tuned)", "Depth (fine-tuned)"
    elif kind == "ft-orig":
        x_state, y_title, x_title = str(PRETRAINED), "Depth (fine-tuned)", "Depth (pretrained)"
    elif kind == "ft1-ft2":
        if len(seeds) < 2:
            raise ValueError("ft1-ft2 compares two seeds, and there is one")
        x_state = str(State.of_seed(seeds[1]))
        y_title, x_title = (f"Depth (fine-tuned, seed {seed})" for seed in seeds[:2])
    else:
        raise ValueError(f"no such kind of map: {kind}")
    table = select(_drawn(cka, style), y_state=first, x_state=x_state)
    columns = side_by_side(len(style.models), len(style.tasks))
    return _cka_maps(panels_of(table, style), columns, style, y_title, x_title)


def model_pair_grid(cka_models: pd.DataFrame, style: MapStyle) -> ggplot:
    """Maps of CKA between two models fine-tuned on the same task (Figure 7).

    `cka_models`: task, y_model, x_model, y_state, x_state, y_depth, x_depth, pooling, estimator,
    cka, failed, each unordered pair of models once. One panel for each task
    and pair, of the first seed; the model that comes first in the style is on Y.
    """
    if len(style.models) < 2:
        raise ValueError("a comparison across models needs two of them")
    state, titles = str(State.of_seed(style.seeds[0])), style.titles
    table = select(_drawn(cka_models, style), y_state=state, x_state=state)
    pairs = list(combinations(style.models, 2))
    panels = {
        f"{titles.get(task, task)}\n{titles.get(y, y)} – {titles.get(x, x)}": _model_pair(
            select(table, task=task), y, x
        )
        for task, (y, x) in product(style.tasks, pairs)
    }
    columns = side_by_side(len(pairs), len(style.tasks))
    return _cka_maps(panels, columns, style, "Depth (first model)", "Depth (second model)")


def _drawn(cka: pd.DataFrame, style: MapStyle) -> pd.DataFrame:
    return select(cka, estimator=style.estimator, pooling=style.pooling)


def _model_pair(table: pd.DataFrame, y_model: str, x_model: str) -> pd.DataFrame:
    """The rows of an unordered pair, turned so that `y_model` is on Y."""
    turned = select(table, y_model=x_model, x_model=y_model)
    turned = turned.rename(columns={"y_depth": "x_depth", "x_depth": "y_depth"})
    return pd.concat([select(table, y_model=y_model, x_model=x_model), turned])


def _cka_maps(
    panels: Mapping[str, pd.DataFrame], columns: int, style: MapStyle, y_title: str, x_title: str
) -> ggplot:
    panels = {
        panel: rows.assign(x=rows["x_depth"], y=rows["y_depth"], fill=rows["cka"])
        for panel, rows in panels.items()
    }
    titles = {"x": x_title, "y": y_title, "fill": f"CKA ({style.estimator})"}
    return maps(panels, columns, cmap="viridis", titles=titles, note_at=(0.5, 0.5))
