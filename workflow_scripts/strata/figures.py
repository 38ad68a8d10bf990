"""The study's figures, each drawn from tidy tables alone.

Every figure function takes pandas DataFrames as read from the study's CSV files (columns that a
figure does not need may be there too) and returns a plotnine plot whose final size is set; `save`
writes it as PNG and PDF. `labels` maps the names of models, tasks and metrics to what a reader
should see; a name that it lacks is shown as it is.

Runs whose fine-tuning collapsed are drawn, never dropped in silence: their panel says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    element_line,
    element_rect,
    element_text,
    facet_wrap,
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
    theme_bw,
)

COLUMN_WIDTH = 3.3
TEXT_WIDTH = 7.0
# Panels side by side that stay readable in a paper's column and across its text.
COLUMN_PANELS = 3
TEXT_PANELS = 6
# More rows of panels than this do not fit on a page.
MAX_ROWS = 6

DPI = 300
TIGHT = {"dpi": DPI, "bbox_inches": "tight", "pad_inches": 0.02, "verbose": False}
FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same figure
FONT_SIZE = 7

# Lighter than the grey in the middle of cividis.
UNDEFINED = "#D9D9D9"

# Okabe and Ito's colours.
GREEN, BLUE, ORANGE, PURPLE, RED = "#009E73", "#0072B2", "#E69F00", "#CC79A7", "#D55E00"

# configuration -> (legend entry, colour, line type, point)
CONFIGURATIONS = {
    "untuned": ("Untuned", GREEN, "solid", "none"),
    "tuned": ("Tuned", BLUE, "solid", "none"),
    "tuned-orig": ("Tuned-Orig", ORANGE, "solid", "none"),
    "tuned-orig-converged": ("Tuned-Orig, converged", PURPLE, "dashed", "none"),
    "full": ("Full model", "black", "none", "D"),
    "baseline": ("Baseline", RED, "dotted", "none"),
}

Labels = Mapping[str, str]


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
    table = _select(cka, estimator=estimator, pooling=pooling)
    panels = {
        panel: _select(table, y_state=y_state, x_state=x_state)
        for panel, (y_state, x_state) in pairs.items()
    }
    plot = _cka_maps(panels, 2, estimator, "Depth (encoder on Y)", "Depth (encoder on X)")
    return plot + ggtitle(f"{_name(cka, 'task', labels)}, {_name(cka, 'model', labels)}")


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
    table = _select(cka, estimator=estimator, pooling=pooling, y_state=first, x_state=x_state)
    columns = _columns(len(models), len(tasks))
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
    table = _select(cka_models, estimator=estimator, pooling=pooling, y_state=state, x_state=state)
    pairs = list(combinations(models, 2))
    panels = {
        f"{labels.get(task, task)}\n{labels.get(y, y)} – {labels.get(x, x)}": _model_pair(
            _select(table, task=task), y, x
        )
        for task, (y, x) in product(tasks, pairs)
    }
    columns = _columns(len(pairs), len(tasks))
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
        _panel(task, model, labels): (
            _select(truncation, model=model)["depth"],
            _select(truncation, task=task)["value"],
        )
        for task, model in product(tasks, models)
    }
    columns = _columns(len(models), len(tasks))
    return (
        ggplot(curves, aes("depth", "value", color="configuration", linetype="configuration"))
        + geom_hline(
            _select(scores, configuration="baseline"),
            aes(yintercept="value", color="configuration", linetype="configuration"),
            size=0.5,
            show_legend=False,
        )
        + geom_line(aes(group="run"), size=0.25, alpha=0.6, show_legend=False)
        + geom_line(means[means["configuration"] != "full"], size=0.6)
        + geom_point(_select(means, configuration="full"), aes(shape="configuration"), size=1)
        + _annotations(panels, _corners(spans), _curve_note, at=(0, 0.95), ha="left")
        + _configuration_scales(present, columns)
        # Less than a layer at each end, so that the ticks stay within the depths.
        + scale_x_continuous(breaks=_whole_breaks, expand=(0, 0.95))
        + labs(x="Depth", y=_metric_title(truncation, labels))
        + _layout(len(panels), columns, aspect=0.8)
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
    table = _select(skipping, seed=seeds[0])
    gain = (table["full"] - table["baseline"]).where(table["full"] > table["baseline"])
    share = (table["value"] - table["baseline"]) / gain
    table = table.assign(x=table["last"], y=table["first"], fill=share)
    return _maps(
        _panels(table, labels, models, tasks),
        _columns(len(models), len(tasks)),
        cmap="cividis",
        titles={
            "x": "Last skipped layer",
            "y": "First skipped layer",
            "fill": "Gain over baseline kept",
        },
        # No span ends before it starts, so this corner is free.
        note_at=(0.27, 0.8),
    )


def save(plot: ggplot, png_path: str | Path, pdf_path: str | Path) -> None:
    """Write `plot` to `png_path`, at 300 dpi, and to `pdf_path`, with its fonts embedded."""
    # Type 42 keeps text as text, hinting would draw some words bolder than others, and without
    # dates the same plot gives the same bytes.
    with matplotlib.rc_context({"pdf.fonttype": 42, "text.hinting": "none"}):
        plot.save(png_path, format="png", **TIGHT)
        plot.save(pdf_path, format="pdf", metadata={"CreationDate": None}, **TIGHT)


def _fine_tuned(seed: int) -> str:
    return f"full-seed{seed}"


def _select(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def _name(table: pd.DataFrame, column: str, labels: Labels) -> str:
    (name,) = table[column].unique()
    return labels.get(name, name)


def _panel(task: str, model: str, labels: Labels) -> str:
    return f"{labels.get(task, task)}\n{labels.get(model, model)}"


def _panels(
    table: pd.DataFrame, labels: Labels, models: Sequence[str], tasks: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """The rows of each panel, in the order of drawing; none where a model lacks a task."""
    return {
        _panel(task, model, labels): _select(table, task=task, model=model)
        for task, model in product(tasks, models)
    }


def _model_pair(table: pd.DataFrame, y_model: str, x_model: str) -> pd.DataFrame:
    """The rows of an unordered pair, turned so that `y_model` is on Y."""
    turned = _select(table, y_model=x_model, x_model=y_model)
    turned = turned.rename(columns={"y_depth": "x_depth", "x_depth": "y_depth"})
    return pd.concat([_select(table, y_model=y_model, x_model=x_model), turned])


def _stack(panels: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat([rows.assign(panel=panel) for panel, rows in panels.items()])
    return _in_order(rows, panels)


def _in_order(table: pd.DataFrame, panels: Iterable[str]) -> pd.DataFrame:
    """`table` with a `panel` that keeps the panels' order.

    plotnine goes by that order only where every layer's table has it.
    """
    return table.assign(panel=pd.Categorical(table["panel"], list(panels)))


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
        + scale_x_continuous(breaks=_whole_breaks, expand=(0, 0))
        + scale_y_continuous(breaks=_whole_breaks, expand=(0, 0))
        + labs(**titles)
        + _layout(len(panels), columns, aspect=1)
        + theme(
            panel_grid=element_blank(),
            legend_key_width=70,
            legend_key_height=6,
            legend_title_position="left",
        )
    )


def _whole_breaks(limits: tuple[float, float]) -> list[int]:
    """All whole numbers within the limits, or the first, the last and about two in between."""
    first, last = int(np.ceil(limits[0])), int(np.floor(limits[1]))
    if last - first < 8:
        return list(range(first, last + 1))
    step = max(1, -(-last // 3))
    between = [depth for depth in range(step, last, step) if first < depth <= last - step / 2]
    return sorted({first, *between, last})


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
        for x, y in zip(_extent(x_values), _extent(y_values), strict=True)
    ]
    return _in_order(pd.DataFrame(corners), spans)


def _extent(values: pd.Series) -> tuple[float, float]:
    # Without values, a span between two whole numbers, which gets no ticks.
    return (values.min(), values.max()) if values.notna().any() else (0.4, 0.6)


def _metric_title(truncation: pd.DataFrame, labels: Labels) -> str:
    metrics = truncation["metric"].unique()
    return labels.get(metrics[0], metrics[0]) if len(metrics) == 1 else "Task performance"


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


def _columns(blocks: int, tasks: int) -> int:
    """Panels side by side: all `blocks` of a task, and several tasks where a page needs it."""
    for width in (COLUMN_PANELS, TEXT_PANELS):
        together = min(tasks, max(1, width // blocks))
        if -(-tasks // together) <= MAX_ROWS:
            break
    return blocks * together


def _layout(panels: int, columns: int, aspect: float) -> list:
    """Facets, theme and final size of a figure of so many panels."""
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
            legend_ticks=element_blank(),
            legend_text=element_text(size=small),
            legend_title=element_text(size=small + 0.5),
            legend_key=element_blank(),
        ),
    ]
