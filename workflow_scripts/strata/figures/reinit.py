"""Figures of partial reinitialisation (Tamkin et al. 2020), from its tables alone.

As in ``strata.figures.panels``, each function takes the study's tables and returns a plot with its
size set. Lines are means over seeds; bands and bars go from the lowest seed to the highest.
"""

from collections.abc import Callable
from itertools import product

import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from plotnine import (
    aes,
    element_blank,
    element_text,
    geom_errorbar,
    geom_hline,
    geom_jitter,
    geom_line,
    geom_point,
    geom_ribbon,
    geom_violin,
    ggplot,
    guide_legend,
    guides,
    labs,
    position_dodge,
    scale_color_manual,
    scale_fill_manual,
    scale_linetype_manual,
    scale_shape_manual,
    scale_x_continuous,
    theme,
)

from strata.figures.style import (
    BLUE,
    ORANGE,
    RED,
    in_order,
    layout,
    metric_title,
    panel_name,
    side_by_side,
    whole_breaks,
)
from strata.study.settings import FigureStyle
from strata.study.variants import Variant

LINES = {
    "reinitialised": ("New layers, trained", "solid"),
    "kept-norms": ("Layer norms kept", "dashed"),
    "faster": ("New layers at {} times the rate", "dashed"),
    "probed": ("Frozen, head trained", "dotted"),
}
POINTS = {
    "reinit": ("The block is new", BLUE),
    "keep": ("All but the block is new", ORANGE),
    "full": ("No layer is new", "black"),
    "embeddings": ("Every layer is new", "#7F7F7F"),
}


def preserved_curves(tables: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Score over the number of layers preserved, one colour per number of training examples.

    `tables` has the columns model, task, series, position, size, seed, metric, value, baseline,
    from the parts `progressive` and `probing`, from `kept-norms`, or (with variant) from
    `faster-layers`.
    """
    table = _panelled(tables, style)
    sizes = sorted(table["size"].unique(), key=_size_order)
    table["size"] = pd.Categorical(table["size"], sizes)
    band = _band(table, ["panel", "series", "size", "position"])
    series = [name for name in LINES if (table["series"] == name).any()]
    shades = [
        to_hex(colormaps["viridis"](0.85 * i / max(1, len(sizes) - 1))) for i in range(len(sizes))
    ]
    colours = dict(zip(sizes, reversed(shades), strict=True))
    names = [_size_name(size) for size in sizes]
    columns = side_by_side(table["model"].nunique(), table["task"].nunique())
    return (
        ggplot(band, aes("position", "value", color="size"))
        + _baseline(table)
        + geom_ribbon(
            aes(ymin="low", ymax="high", fill="size", group="line"), alpha=0.2, color="none"
        )
        + geom_line(aes(linetype="series", group="line"), size=0.6)
        + geom_point(aes(group="line"), size=0.6, show_legend=False)
        + scale_color_manual(colours, breaks=sizes, labels=names, name="Training examples")
        + scale_fill_manual(colours, breaks=sizes, labels=names, name="Training examples")
        + scale_linetype_manual(
            {name: LINES[name][1] for name in series},
            breaks=series,
            labels=[LINES[name][0].format(_factors(table)) for name in series],
            name=" ",
        )
        + scale_x_continuous(breaks=whole_breaks, expand=(0.03, 0))
        + labs(x="Pretrained layers preserved", y=metric_title(table, style.titles))
        + layout(_count(table), columns, aspect=0.8)
        + theme(legend_box="vertical", legend_spacing=0)
    )


def localized_scores(tables: pd.DataFrame, style: FigureStyle) -> ggplot:
    """Score with each block of layers new, and with all layers except that block new.

    `tables` has the columns model, task, series, position (the block's first layer), seed, metric,
    value, baseline, variant, from the part `localized`.
    """
    table = _panelled(tables, style)
    placed = table[table["position"].notna()].copy()
    spans = [Variant.parse(variant).span for variant in placed["variant"]]
    names_in_order = [_span_name(span) for span in sorted(set(spans), key=lambda s: (s[0], s[-1]))]
    placed["span"] = pd.Categorical([_span_name(span) for span in spans], names_in_order)
    band = _band(placed, ["panel", "series", "span"])
    lines = _band(table[table["position"].isna()], ["panel", "series"])
    names = [name for name in POINTS if (table["series"] == name).any()]
    dodge = position_dodge(width=0.4)
    columns = side_by_side(table["model"].nunique(), table["task"].nunique())
    return (
        ggplot(band, aes("span", "value", color="series"))
        + _baseline(table)
        + geom_hline(lines, aes(yintercept="value", color="series"), size=0.5, show_legend=False)
        + geom_errorbar(aes(ymin="low", ymax="high"), width=0.2, size=0.4, position=dodge)
        + geom_point(size=1.2, position=dodge)
        + scale_color_manual(
            {name: POINTS[name][1] for name in names},
            breaks=names,
            limits=names,
            labels=[POINTS[name][0] for name in names],
        )
        + labs(x="Block of layers", y=metric_title(table, style.titles))
        + layout(_count(table), columns, aspect=0.8)
        + guides(color=guide_legend(nrow=2, byrow=True))
        # More than a few blocks do not fit side by side.
        + theme(legend_title=element_blank(), axis_text_x=element_text(angle=45, ha="right"))
    )


def permutation_violins(tables: pd.DataFrame, style: FigureStyle) -> ggplot:
    """How scores spread over orders of the layers, compared with the layers in order.

    `tables` has the columns model, task, series, position (the permutation), seed, metric, value,
    baseline, from the part `permutation`. A point is a permutation, the mean over its seeds.
    """
    table = _panelled(tables, style)
    means = _band(table, ["panel", "series", "position"])
    means["at"] = 0.0
    permuted, full = (means[means["series"] == name] for name in ("permuted", "full"))
    columns = side_by_side(table["model"].nunique(), table["task"].nunique())
    shown = {"permuted": ("Permuted layers", BLUE, "o"), "full": ("Layers in order", "black", "D")}
    names = list(shown)
    return (
        ggplot(permuted, aes("at", "value"))
        + _baseline(table)
        + geom_violin(aes(group="panel"), fill=BLUE, alpha=0.2, color="none", width=1.2)
        + geom_jitter(
            aes(color="series", shape="series"), width=0.12, height=0, size=0.9, random_state=0
        )
        + geom_point(full, aes(color="series", shape="series"), size=1.4)
        + scale_color_manual(
            {n: shown[n][1] for n in names},
            breaks=names,
            limits=names,
            labels=[shown[n][0] for n in names],
        )
        + scale_shape_manual(
            {n: shown[n][2] for n in names},
            breaks=names,
            limits=names,
            labels=[shown[n][0] for n in names],
        )
        + scale_x_continuous(limits=(-0.8, 0.8), breaks=[])
        + labs(x="", y=metric_title(table, style.titles))
        + layout(_count(table), columns, aspect=0.8)
        + theme(legend_title=element_blank())
    )


def _panelled(tables: pd.DataFrame, style: FigureStyle) -> pd.DataFrame:
    models, tasks = style.models, style.tasks
    names = {(t, m): panel_name(t, m, style.titles) for t, m in product(tasks, models)}
    there = tables[tables["model"].isin(models) & tables["task"].isin(tasks)].copy()
    there["panel"] = [names[key] for key in zip(there["task"], there["model"], strict=True)]
    there["size"] = there["size"].astype(str)
    used = set(there["panel"])
    return in_order(there, [name for name in names.values() if name in used])


def _band(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean, lowest and highest value over seeds, and a `line` for each series and size."""
    groups = table.groupby(keys, observed=True, dropna=False, sort=False)["value"]
    band = groups.agg(value="mean", low="min", high="max").reset_index()
    line = band[[key for key in ("series", "size") if key in keys]].astype(str)
    return band.assign(line=line.agg(" ".join, axis=1) if len(line.columns) else "")


def _baseline(table: pd.DataFrame) -> geom_hline:
    one = table.drop_duplicates("panel")[["panel", "baseline"]]
    return geom_hline(
        one, aes(yintercept="baseline"), color=RED, linetype="dotted", size=0.5, show_legend=False
    )


def _count(table: pd.DataFrame) -> int:
    return table["panel"].nunique()


def _span_name(span: range) -> str:
    first, last = span[0], span[-1]
    return str(first) if first == last else f"{first}–{last}"


def _factors(table: pd.DataFrame) -> str:
    """How many times the rate the faster layers are trained with."""
    variants = table.loc[table["series"] == "faster", "variant"].unique()
    return ", ".join(map(str, sorted({Variant.parse(v).faster for v in variants} - {1})))


def _size_order(size: str) -> float:
    return float("inf") if size == "all" else float(size)


def _size_name(size: str) -> str:
    return "all" if size == "all" else f"{int(size):,}"


FIGURES: dict[str, Callable[[pd.DataFrame, FigureStyle], ggplot]] = {
    "progressive": preserved_curves,
    "kept-norms": preserved_curves,
    "faster-layers": preserved_curves,
    "localized": localized_scores,
    "permutation": permutation_violins,
}
