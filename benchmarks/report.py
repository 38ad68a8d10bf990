"""What was measured, as text, tables and figures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from plotnine import (
    aes,
    element_blank,
    facet_wrap,
    geom_line,
    geom_point,
    geom_segment,
    geom_text,
    geom_vline,
    ggplot,
    labs,
    scale_color_manual,
    scale_linetype_manual,
    scale_x_log10,
    scale_y_log10,
    theme,
    theme_bw,
)

from strata.figures.style import BLUE, FONT, FONT_SIZE, ORANGE, TEXT_WIDTH, save

COLUMNS = ["contestant", "seconds", "ratio", "goal", "memory", "error", "GFLOP/s", "notes"]


def as_text(table: pd.DataFrame) -> str:
    """A work's rows, for the terminal."""
    head = f"\n{table['work'].iloc[0]}, {table['size'].iloc[0]}"
    return head + "\n" + pd.DataFrame(map(_cells, _records(table))).to_string(index=False)


def _records(table: pd.DataFrame) -> list[dict]:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _cells(row: dict) -> dict[str, str]:
    own = row["contestant"] == "strata"
    ratio = "" if own else f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
    goal = row["goal"]
    rate = row["gflops"]
    values = (
        row["contestant"],
        f"{row['median_s']:.3g}",
        ratio,
        "" if goal is None else f"{goal:.2f}{' ✓' if row['ratio'] >= goal else ' missed'}",
        f"{row['extra_mb']:,.0f} MB",
        "" if row["error"] is None else f"{row['error']:.0e}",
        "" if rate is None else f"{rate:,.0f} ({row['share']:.0%})",
        row["note"],
    )
    return dict(zip(COLUMNS, values, strict=True))


def markdown(table: pd.DataFrame) -> str:
    """The results as one table."""
    lines = ["| work | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in _records(table):
        own = row["contestant"] == "strata"
        work = f"**{row['work']}**, {row['size']}" if own else ""
        lines.append(f"| {work} | " + " | ".join(_cells(row).values()) + " |")
    return "\n".join(lines) + "\n"


def dag_markdown(spent: pd.DataFrame) -> str:
    lines = ["| the graph | seconds | share of the wall time | goal |", "|---|---|---|---|"]
    for row in _records(spent):
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        lines.append(f"| {row['what']} | {row['seconds']:.1f} | {share} | {row['goal']} |")
    return "\n".join(lines) + "\n"


def write(
    out: Path,
    machine: str,
    results: pd.DataFrame | None,
    grown: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    spent: pd.DataFrame | None = None,
) -> None:
    """Write what was measured: CSV files, table.md and figures.

    Parameters
    ----------
    grown : tuple of DataFrame
        Seconds and memory, see ``growth``.
    """
    text = [f"Measured on {machine}.\n"]
    if results is not None:
        results.assign(machine=machine).to_csv(out / "results.csv", index=False)
        text.append(markdown(results))
        draw_ratios(results, out / "ratios")
    if spent is not None:
        spent.to_csv(out / "dag.csv", index=False)
        text.append(dag_markdown(spent))
    if grown is not None:
        for name, draw, own in zip(
            ("growth", "memory"), (draw_growth, draw_memory), grown, strict=True
        ):
            own.to_csv(out / f"{name}.csv", index=False)
            draw(own, out / name)
    (out / "table.md").write_text("\n".join(text), encoding="utf-8")


def _short(values: list[float]) -> list[str]:
    """4000 as 4k."""
    rounded = [round(value) for value in values]
    return [f"{v // 1000}k" if v % 1000 == 0 else str(v) for v in rounded]


def _doublings(values: pd.Series) -> Callable[[tuple[float, float]], list[float]]:
    """Breaks at a panel's smallest value, twice that, and so on."""

    def breaks(limits: tuple[float, float]) -> list[float]:
        low, high = limits
        first = values[values >= low].min()
        return [first * 2**i for i in range(int(np.log2(high / first)) + 1)]

    return breaks


def _theme(height: float) -> list:
    return [
        theme_bw(base_size=FONT_SIZE, base_family=FONT),
        theme(
            figure_size=(TEXT_WIDTH, height),
            legend_position="bottom",
            legend_title=element_blank(),
        ),
    ]


def draw_ratios(results: pd.DataFrame, path: Path) -> None:
    """Time relative to Strata's: one point per contestant, its range, and its goal."""
    rivals = results[results["contestant"] != "strata"].copy()
    names = rivals["work"] + "\n" + rivals["size"]
    rivals["panel"] = pd.Categorical(names, names.unique())
    rivals["label"] = rivals["ratio"].map("  {:.3g}×".format)
    rivals["right"] = rivals[["ratio_high", "goal"]].max(axis=1)
    plot = (
        ggplot(rivals, aes("ratio", "contestant"))
        + facet_wrap("panel", ncol=3, scales="free_y")
        + geom_vline(xintercept=1, color=BLUE, linetype="dotted")
        + geom_segment(aes("ratio_low", xend="ratio_high", yend="contestant"), color=BLUE)
        + geom_point(aes(color="'measured'"))
        + geom_point(aes("goal", color="'goal'"), rivals.dropna(subset=["goal"]), shape="|", size=4)
        + geom_text(aes("right", label="label"), size=FONT_SIZE - 1, ha="left")
        + scale_x_log10(expand=(0.08, 0, 0.3, 0))
        + scale_color_manual({"measured": BLUE, "goal": ORANGE})
        + labs(x="time over Strata's (1 is as fast; more is slower)", y="")
        + _theme(0.5 + 1.1 * -(-rivals["panel"].nunique() // 3))
    )
    save(plot, path.with_suffix(".png"), path.with_suffix(".pdf"))
    path.with_suffix(".pdf").unlink()


def draw_growth(grown: pd.DataFrame, path: Path) -> None:
    """Seconds and the theoretical slope, one panel for each cost and each of n, d and L."""
    grown = grown.assign(panel=grown["cost"] + "\n" + grown["varied"])
    last = grown.groupby("panel")[["value", "seconds"]].transform("last")
    slope = last["seconds"] * (grown["value"] / last["value"]) ** grown["exponent"]
    measured, theory = "measured", "slope in theory"
    long = pd.concat([grown.assign(series=measured), grown.assign(series=theory, seconds=slope)])
    long["panel"] = pd.Categorical(long["panel"], grown["panel"].unique())
    plot = (
        ggplot(long, aes("value", "seconds", color="series", linetype="series"))
        + facet_wrap("panel", ncol=6, scales="free")
        + geom_line()
        + geom_point(long[long["series"] == measured], size=1)
        + scale_x_log10(breaks=_doublings(grown["value"]), labels=_short)
        + scale_y_log10()
        + scale_color_manual({measured: BLUE, theory: ORANGE})
        + scale_linetype_manual({measured: "solid", theory: "dashed"})
        + labs(x="", y="seconds")
        + _theme(5.6)
    )
    save(plot, path.with_suffix(".png"), path.with_suffix(".pdf"))
    path.with_suffix(".pdf").unlink()


def draw_memory(memory: pd.DataFrame, path: Path) -> None:
    """Peak memory over n, the size of the data, and the bound that was set."""
    named = {"peak_mb": "peak memory", "data_mb": "the data", "bound_mb": "bound"}
    long = memory.melt(["cost", "n"], list(named), "series", "mb").dropna()
    long["series"] = pd.Categorical(long["series"].replace(named), named.values())
    colors = dict(zip(named.values(), (BLUE, "grey", ORANGE), strict=True))
    plot = (
        ggplot(long, aes("n", "mb", color="series", linetype="series"))
        + facet_wrap("cost", ncol=3, scales="free")
        + geom_line()
        + geom_point(long[long["series"] == "peak memory"], size=1)
        + scale_x_log10(breaks=_doublings(memory["n"]), labels=_short)
        + scale_y_log10()
        + scale_color_manual(colors)
        + scale_linetype_manual(dict(zip(colors, ("solid", "dotted", "dashed"), strict=True)))
        + labs(x="n (examples)", y="MB")
        + _theme(2.4)
    )
    save(plot, path.with_suffix(".png"), path.with_suffix(".pdf"))
    path.with_suffix(".pdf").unlink()
