"""How confident cut models are, and which predictions a cut changes, from the table alone."""

from collections.abc import Iterable

import pandas as pd
from plotnine import (
    aes,
    element_blank,
    geom_hline,
    geom_line,
    geom_point,
    geom_ribbon,
    ggplot,
    ggtitle,
    labs,
    scale_x_continuous,
    theme,
)

from strata.figures.panels import annotations, corners_of, stack
from strata.figures.style import (
    UNDEFINED,
    Labels,
    in_order,
    layout,
    select,
    shown_name,
    whole_breaks,
)
from strata.figures.truncation import (
    CONFIGURATIONS,
    configuration_scales,
    curve_note,
    seed_means,
)

# column -> title of its panel; columns that a type of task does not have are left out.
PANELS = {
    "nll": "Negative log-likelihood",
    "squared_error": "Squared error",
    "ece": "Calibration error",
    "flips": "Answers changed",
    "moved": "Mean change of the value",
}


def calibration_curves(calibration: pd.DataFrame, titles: Labels) -> ggplot:
    """One panel per number, over the depths of one model on one task; one colour per configuration.

    `calibration` is one pair's table from ``analysis.calibration.calibration_table``. Thick lines
    and the full model's point are means over the seeds whose fine-tuning did not fail, thin lines
    are single seeds, including failed ones. The grey area ends at the highest calibration error
    that perfectly calibrated predictions with these confidences would show by chance (95th
    percentile).
    """
    # As in the truncation curves, a configuration without a colour is only in the table.
    calibration = calibration[calibration["configuration"].isin(CONFIGURATIONS)]
    shown = [column for column in PANELS if calibration[column].notna().any()]
    panels = {
        PANELS[column]: calibration.assign(value=calibration[column]).dropna(subset="value")
        for column in shown
    }
    curves = stack(panels)
    of_runs = curves[curves["configuration"] != "baseline"]
    of_runs = of_runs.assign(run=of_runs["configuration"] + of_runs["seed"].astype(str))
    means, named = seed_means(of_runs), {*curves["configuration"], "full"}
    spans = {title: (rows["depth"].dropna(), rows["value"]) for title, rows in panels.items()}
    model, task = (shown_name(calibration, column, titles) for column in ("model", "task"))
    return (
        ggplot(of_runs, aes("depth", "value", color="configuration", linetype="configuration"))
        + geom_ribbon(
            _noise(calibration, panels),
            aes("depth", ymin="low", ymax="ece_noise_high"),
            inherit_aes=False,
            fill=UNDEFINED,
        )
        + geom_hline(
            select(curves, configuration="baseline"),
            aes(yintercept="value", color="configuration", linetype="configuration"),
            size=0.5,
            show_legend=False,
        )
        + geom_line(aes(group="run"), size=0.25, alpha=0.6, show_legend=False)
        + geom_line(means, size=0.6)
        + geom_point(_full_model(means), aes(shape="configuration"), size=1)
        + annotations(panels, corners_of(spans), curve_note, at=(0, 0.95), ha="left")
        + configuration_scales([name for name in CONFIGURATIONS if name in named], len(panels))
        + scale_x_continuous(breaks=whole_breaks, expand=(0, 0.4))
        + labs(x="Depth", y="")
        + ggtitle(f"{model} on {task}")
        + layout(len(panels), columns=len(panels), aspect=1)
        + theme(legend_title=element_blank(), axis_title_y=element_blank())
    )


def _full_model(means: pd.DataFrame) -> pd.DataFrame:
    """The full model's points: UNTUNED at the last depth."""
    untuned = select(means, configuration="untuned")
    return untuned[untuned["depth"] == untuned["depth"].max()].assign(configuration="full")


def _noise(calibration: pd.DataFrame, panels: Iterable[str]) -> pd.DataFrame:
    """The calibration error that chance alone may give, by depth, for its panel."""
    high = calibration.groupby("depth", as_index=False)[["ece_noise_high"]].max()
    return in_order(high.dropna().assign(low=0.0, panel=PANELS["ece"]), panels)
