"""The study's figures, each drawn from tidy tables alone.

Every figure function takes pandas DataFrames as read from the study's CSV files (columns that a
figure does not need may be there too) and returns a plotnine plot whose final size is set; `save`
writes it as PNG and PDF. `labels` maps the names of models, tasks and metrics to what a reader
should see; a name that it lacks is shown as it is.

Runs whose fine-tuning collapsed are drawn, never dropped in silence: their panel says so.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_blank,
    geom_hline,
    geom_label,
    geom_line,
    geom_point,
    geom_raster,
    ggplot,
    ggtitle,
    guide_legend,
    guides,
    labs,
    scale_color_manual,
    scale_fill_cmap,
    scale_linetype_manual,
    scale_shape_manual,
    scale_x_continuous,
    scale_y_continuous,
    theme,
)

from strata.drawing import (
    BLUE,
    COLUMN_PANELS,
    FONT_SIZE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    UNDEFINED,
    Labels,
    extent,
    in_order,
    layout,
    metric_title,
    panel_name,
    select,
    shown_name,
    side_by_side,
    whole_breaks,
)

# configuration -> (legend entry, colour, line type, point)
CONFIGURATIONS = {
    "untuned": ("Untuned", GREEN, "solid", "none"),
    "tuned": ("Tuned", BLUE, "solid", "none"),
    "tuned-orig": ("Tuned-Orig", ORANGE, "solid", "none"),
    "tuned-orig-converged": ("Tuned-Orig, converged", PURPLE, "dashed", "none"),
    "full": ("Full model", "black", "none", "D"),
    "baseline": ("Baseline", RED, "dotted", "none"),
}


def pair_maps(
    cka: pd.DataFrame,
    seeds: Sequence[int],
    estimator: str,
    labels: Labels,
    pooling: str = "cls",
) -> ggplot:
    """Maps of CKA between the states of one model on one task (Figure 1).

    `cka`: model, task, y_state, x_state, y_depth, x_depth, pooling, estimator, cka, failed, of
    exactly one model and task. The panels are ORIG-ORIG, FT-ORIG, FT-FT and, where `seeds` has a
    second seed, FT[first]-FT[second]; the first-named encoder is on Y.
    """
    first = _fine_tuned(seeds[0])
    pairs = {
        "ORIG–ORIG\nY pretrained, X pretrained": ("pretrained", "pretrained"),
        "FT–ORIG\nY fine-tuned, X pretrained": (first, "pretrained"),
        "FT–FT\nY fine-tuned, X fine-tuned": (first, first),
    }
    if len(seeds) > 1:
        title = "FT[{0}]–FT[{1}]\nY seed {0}, X seed {1}".format(*seeds)
        pairs[title] = (first, _fine_tuned(seeds[1]))
    table = select(cka, estimator=estimator, pooling=pooling)
    panels = {
        panel: select(table, y_state=y_state, x_state=x_state)
        for panel, (y_state, x_state) in pairs.items()
    }
    plot = _cka_maps(panels, 2, estimator, "Depth (encoder on Y)", "Depth (encoder on X)")
    return plot + ggtitle(f"{shown_name(cka, 'task', labels)}, {shown_name(cka, 'model', labels)}")


def map_grid(
    cka: pd.DataFrame,
    kind: str,
    seeds: Sequence[int],
    estimator: str,
    labels: Labels,
    models: Sequence[str],
    tasks: Sequence[str],
    pooling: str = "cls",
) -> ggplot:
    """Maps of one kind of CKA for every task and model (Figures 2, 5 and 6).

    `cka`: as for `pair_maps`, of any models and tasks. `kind` is `ft-ft` or `ft-orig`, of the first
    seed, or `ft1-ft2`, with the first seed on Y and the second on X. Panels come in the order of
    `tasks` and, within a task, of `models`.
    """
    first = _fine_tuned(seeds[0])
    if kind == "ft-ft":
        x_state, y_title, x_title = first, "Depth (fine-tuned)", "Depth (fine-tuned)"
    elif kind == "ft-orig":
        x_state, y_title, x_title = "pretrained", "Depth (fine-tuned)", "Depth (pretrained)"
    elif kind == "ft1-ft2":
        if len(seeds) < 2:
            raise ValueError("ft1-ft2 compares two seeds, and there is one")
        x_state = _fine_tuned(seeds[1])
        y_title, x_title = (f"Depth (fine-tuned, seed {seed})" for seed in seeds[:2])
    else:
        raise ValueError(f"no such kind of map: {kind}")
    table = select(cka, estimator=estimator, pooling=pooling, y_state=first, x_state=x_state)
    columns = side_by_side(len(models), len(tasks))
    return _cka_maps(_panels(table, labels, models, tasks), columns, estimator, y_title, x_title)


def model_pair_grid(
    cka_models: pd.DataFrame,
    seeds: Sequence[int],
    estimator: str,
    labels: Labels,
    models: Sequence[str],
    tasks: Sequence[str],
    pooling: str = "cls",
) -> ggplot:
    """Maps of CKA between two models fine-tuned on the same task (Figure 7).

    `cka_models`: task, y_model, x_model, y_state, x_state, y_depth, x_depth, pooling, estimator,
    cka, failed, with one block of rows for each unordered pair of models. One panel for each task
    and pair, of the first seed; the model that comes first in `models` is on Y.
    """
    if len(models) < 2:
        raise ValueError("a comparison across models needs two of them")
    state = _fine_tuned(seeds[0])
    table = select(cka_models, estimator=estimator, pooling=pooling, y_state=state, x_state=state)
    pairs = list(combinations(models, 2))
    panels = {
        f"{labels.get(task, task)}\n{labels.get(y, y)} – {labels.get(x, x)}": _model_pair(
            select(table, task=task), y, x
        )
        for task, (y, x) in product(tasks, pairs)
    }
    columns = side_by_side(len(pairs), len(tasks))
    return _cka_maps(panels, columns, estimator, "Depth (first model)", "Depth (second model)")


def truncation_curves(
    truncation: pd.DataFrame, labels: Labels, models: Sequence[str], tasks: Sequence[str]
) -> ggplot:
    """Performance against the depth that is kept, for every task and model (Figure 3).

    `truncation`: model, task, seed, configuration, depth, metric, value, failed, with an empty seed
    and depth for the baseline. Thick lines and the full model's point are means over the seeds
    whose fine-tuning did not fail; thin lines are single seeds, failed ones too. The models of a
    task share their Y axis.
    """
    wanted = truncation["model"].isin(models) & truncation["task"].isin(tasks)
    truncation = truncation[wanted & truncation["value"].notna()]
    panels = _panels(truncation, labels, models, tasks)
    scores = _stack(panels)
    named = set(scores["configuration"])
    # Without any scores, the legend names every configuration.
    present = [name for name in CONFIGURATIONS if name in named or not named]
    scores["run"] = scores["configuration"] + scores["seed"].astype(str)
    curves = scores[~scores["configuration"].isin(["full", "baseline"])]
    means = _seed_means(scores)
    spans = {
        panel_name(task, model, labels): (
            select(truncation, model=model)["depth"],
            select(truncation, task=task)["value"],
        )
        for task, model in product(tasks, models)
    }
    columns = side_by_side(len(models), len(tasks))
    return (
        ggplot(curves, aes("depth", "value", color="configuration", linetype="configuration"))
        + geom_hline(
            select(scores, configuration="baseline"),
            aes(yintercept="value", color="configuration", linetype="configuration"),
            size=0.5,
            show_legend=False,
        )
        + geom_line(aes(group="run"), size=0.25, alpha=0.6, show_legend=False)
        + geom_line(means[means["configuration"] != "full"], size=0.6)
        + geom_point(select(means, configuration="full"), aes(shape="configuration"), size=1)
        + _annotations(panels, _corners(spans), _curve_note, at=(0, 0.95), ha="left")
        + _configuration_scales(present, columns)
        # Less than a layer at each end, so that the ticks stay within the depths.
        + scale_x_continuous(breaks=whole_breaks, expand=(0, 0.95))
        + labs(x="Depth", y=metric_title(truncation, labels))
        + layout(len(panels), columns, aspect=0.8)
        + theme(legend_title=element_blank())
    )


def skip_triangles(
    skipping: pd.DataFrame,
    seeds: Sequence[int],
    labels: Labels,
    models: Sequence[str],
    tasks: Sequence[str],
) -> ggplot:
    """Performance kept when a span of layers is skipped, for every task and model (Figure 4).

    `skipping`: model, task, seed, first, last, value, full, baseline, failed. The fill is the share
    of the full model's gain over the baseline that is kept, clipped to 0..1, of the first seed; it
    is undefined where the full model gains nothing.
    """
    table = select(skipping, seed=seeds[0])
    gain = (table["full"] - table["baseline"]).where(table["full"] > table["baseline"])
    share = (table["value"] - table["baseline"]) / gain
    table = table.assign(x=table["last"], y=table["first"], fill=share)
    return _maps(
        _panels(table, labels, models, tasks),
        side_by_side(len(models), len(tasks)),
        cmap="cividis",
        titles={
            "x": "Last skipped layer",
            "y": "First skipped layer",
            "fill": "Gain over baseline kept",
        },
        # No span ends before it starts, so this corner is free.
        note_at=(0.27, 0.8),
    )


def _fine_tuned(seed: int) -> str:
    return f"full-seed{seed}"


def _panels(
    table: pd.DataFrame, labels: Labels, models: Sequence[str], tasks: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The rows of each panel, in the order of drawing; none where a model lacks a task."""
    return {
        panel_name(task, model, labels): select(table, task=task, model=model)
        for task, model in product(tasks, models)
    }


def _model_pair(table: pd.DataFrame, y_model: str, x_model: str) -> pd.DataFrame:
    """The rows of an unordered pair, turned so that `y_model` is on Y."""
    turned = select(table, y_model=x_model, x_model=y_model)
    turned = turned.rename(columns={"y_depth": "x_depth", "x_depth": "y_depth"})
    return pd.concat([select(table, y_model=y_model, x_model=x_model), turned])


def _stack(panels: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat([rows.assign(panel=panel) for panel, rows in panels.items()])
    return in_order(rows, panels)


def _cka_maps(
    panels: Mapping[str, pd.DataFrame], columns: int, estimator: str, y_title: str, x_title: str
) -> ggplot:
    panels = {
        panel: rows.assign(x=rows["x_depth"], y=rows["y_depth"], fill=rows["cka"])
        for panel, rows in panels.items()
    }
    titles = {"x": x_title, "y": y_title, "fill": f"CKA ({estimator})"}
    return _maps(panels, columns, cmap="viridis", titles=titles, note_at=(0.5, 0.5))


def _maps(
    panels: Mapping[str, pd.DataFrame],
    columns: int,
    cmap: str,
    titles: Mapping[str, str],
    note_at: tuple[float, float],
) -> ggplot:
    corners = _corners({panel: (rows["x"], rows["y"]) for panel, rows in panels.items()})
    tiles = _stack(panels)
    # Beyond the ends of the scale is not undefined: debiased CKA may be a little below 0.
    tiles["fill"] = tiles["fill"].clip(0, 1)
    return (
        ggplot(tiles, aes("x", "y"))
        # One image a panel: tiles drawn one by one leave hairlines between them in a PDF.
        + geom_raster(aes(fill="fill"), interpolation="nearest")
        + _annotations(panels, corners, _map_note, note_at, ha="center")
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


def _failed(rows: pd.DataFrame) -> pd.Series:
    # Beside rows that belong to no run, `failed` may be empty.
    return rows["failed"].eq(True)


def _annotations(
    panels: Mapping[str, pd.DataFrame],
    corners: pd.DataFrame,
    text: Callable[[pd.DataFrame], str],
    at: tuple[float, float],
    ha: str,
) -> list:
    """Layers that span each panel and write the `text` of its rows on it, unless that is empty.

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
    return "failed" if _failed(rows).any() else ""


def _curve_note(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no data"
    seeds = rows["seed"].dropna().unique()
    failed = sorted(rows.loc[_failed(rows), "seed"].dropna().unique())
    if len(failed) == len(seeds):
        return "failed"
    return f"failed: seed {', '.join(f'{seed:.0f}' for seed in failed)}" if failed else ""


def _seed_means(scores: pd.DataFrame) -> pd.DataFrame:
    runs = scores[scores["seed"].notna() & ~_failed(scores)]
    keys = ["panel", "configuration", "depth"]
    return runs.groupby(keys, observed=True, as_index=False)["value"].mean()


def _corners(spans: Mapping[str, tuple[pd.Series, pd.Series]]) -> pd.DataFrame:
    """Two opposite corners of each panel, from the values that its X and its Y axis are to span."""
    corners = [
        {"panel": panel, "x": x, "y": y}
        for panel, (x_values, y_values) in spans.items()
        for x, y in zip(extent(x_values), extent(y_values), strict=True)
    ]
    return in_order(pd.DataFrame(corners), spans)


def _configuration_scales(present: Sequence[str], columns: int) -> list:
    """Colour, line type and point of the configurations, in one legend."""
    entries, colors, lines, points = zip(*(CONFIGURATIONS[name] for name in present), strict=True)
    rows = 1 if columns > COLUMN_PANELS else 2
    kinds = {
        "color": (scale_color_manual, colors),
        "linetype": (scale_linetype_manual, lines),
        "shape": (scale_shape_manual, points),
    }
    return [
        scale(values, breaks=present, labels=entries, limits=present)
        for scale, values in kinds.values()
    ] + [guides(**{kind: guide_legend(nrow=rows, byrow=True) for kind in kinds})]
