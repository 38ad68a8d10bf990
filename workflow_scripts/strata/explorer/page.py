"""The explorer: one HTML file with the study's tables, charts and all that they need inside."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment
from markupsafe import Markup

from strata.analysis.summary_words import run_notes
from strata.explorer.answers import Runs, answers, claim_rows, failed_runs, warnings
from strata.explorer.assets import read_assets
from strata.explorer.chart import Chart
from strata.explorer.charts import charts
from strata.explorer.tables import chart_tables, pack
from strata.figures.truncation import CONFIGURATIONS

EMBED = "window.vegaEmbed = vegaEmbed;"  # what glue.js draws with
EXAMPLES = ("n_examples", ", {} examples", 0)
SCORES = [("value", "{}", 3), ("low", " [{}", 3), ("high", ", {}]", 3), EXAMPLES]
VERDICT = [
    ("verdict", "{}", None),
    ("difference", ": {} from the full model", 3),
    ("difference_low", " [{}", 3),
    ("difference_high", ", {}]", 3),
    EXAMPLES,
    ("seeds", ", seeds {}", None),
]
CHANGED = [("flips", "{}", 3), ("flips_se", " (standard error {})", 3), EXAMPLES]
NU = [
    ("nu", "{}", 3),
    ("nu_low", " [{}", 3),
    ("nu_high", ", {}]", 3),
    ("shuffled", "; of shuffled labels {}", 3),
    ("shuffled_sd", " (standard deviation {})", 3),
    ("n", ", {} rows", 0),
]
LATENCY = [
    ("latency_ms", "{} ms, median", 2),
    ("latency_ratio", ", {} times as fast", 2),
    ("device", " ({})", None),
]
# What stands above the charts of the chosen depth: title, table, which row, its column of depths,
# and columns with the words around their value and its digits.
READOUTS = [
    *(
        (words, "truncation", {"configuration": name}, "depth", SCORES)
        for name, (words, *_) in CONFIGURATIONS.items()
        if name not in ("full", "baseline")
    ),
    *(
        (f"Verdict, {words}", "verdicts", {"configuration": name}, "depth", VERDICT)
        for name, words in (("untuned", "Untuned"), ("tuned", "Tuned"))
    ),
    *(
        (
            f"Share of answers changed, {words}",
            "calibration",
            {"configuration": name},
            "depth",
            CHANGED,
        )
        for name, words in (("untuned", "Untuned"), ("tuned", "Tuned"))
    ),
    ("ν of the pretrained encoder", "variability", {}, "depth", NU),
    ("Parameters", "verdicts", {"configuration": "untuned"}, "depth", [("parameters", "{}", 0)]),
    ("Latency of one text", "speed", {}, "size", LATENCY),
]


@dataclass(frozen=True)
class Shown:
    """What the page shows of a study.

    Attributes
    ----------
    outdir : str
        The study's folder.
    pairs : sequence of tuple
        Model and task, in the study's order.
    titles : mapping
        Names of models and tasks -> what a reader sees.
    pooling, estimator : str
        Of the maps; the estimator is the one that is chosen first.
    tolerance : float
        What may be lost, a fraction.
    """

    outdir: str
    pairs: Sequence[tuple[str, str]]
    titles: Mapping[str, str]
    pooling: str
    estimator: str
    tolerance: float


def explorer_page(
    tables: Mapping[str, pd.DataFrame],
    runs: Runs,
    records: Sequence[str],
    shown: Shown,
) -> str:
    """The page's HTML.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The study's tables by name: those that charts read (see ``tables.chart_tables``), and of
        the words `summary`, `answers`, `findings` and `claims`; any may be missing.
    runs : mapping of tuple to RunMetrics
        By model, task and seed.
    records : sequence of str
        Paths of the runs' run.json, whose notes are warnings.
    """
    claims, absent = claim_rows(tables["claims"], shown.titles) if "claims" in tables else ([], "")
    assets = read_assets()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        assets.page
    )
    return template.render(
        outdir=shown.outdir,
        models=_titled({model: None for model, _ in shown.pairs}, shown),
        tasks=_titled({task: None for _, task in shown.pairs}, shown),
        answers=answers(tables, runs, shown.pairs, shown.titles, shown.tolerance),
        failed=failed_runs(runs),
        warnings=warnings(tables, run_notes(records)),
        claims=claims,
        absent=absent,
        about=_about(tables),
        css=Markup(assets.css),
        study=_as_data(_study(tables, runs, shown)),
        bundle=_bundle(),
        glue=_as_script(assets.glue),
    )


def answers_text(tables: Mapping[str, pd.DataFrame], runs: Runs, shown: Shown) -> str:
    """The answers in words alone: a paragraph for each model and task, a list for each analysis,
    and the runs that failed."""
    blocks = []
    for answer in answers(tables, runs, shown.pairs, shown.titles, shown.tolerance):
        nothing = "every run failed" if answer.all_failed else "no answer in words"
        blocks.append(f"{answer.title}: {answer.score or nothing}")
        for part in answer.parts:
            blocks += [part.title, "\n".join(f"- {line}" for line in part.lines)]
    if failed := failed_runs(runs):
        blocks += ["Failed runs", "\n".join(f"- {line}" for line in failed)]
    return "\n\n".join(blocks)


def _titled(names: Mapping[str, object], shown: Shown) -> list[str]:
    return [shown.titles.get(name, name) for name in names]


def _about(tables: Mapping[str, pd.DataFrame]) -> str:
    """What the verdicts are about."""
    if "claims" not in tables:
        return ""
    if "these checkpoints" in set(tables["claims"]["about"]):
        return "Verdicts over tasks; they are about these checkpoints."
    return "Verdicts over tasks; with fewer than five seeds they are about these runs."


def _study(
    tables: Mapping[str, pd.DataFrame],
    runs: Runs,
    shown: Shown,
) -> dict[str, Any]:
    """What the page's JavaScript reads."""
    drawn = chart_tables(tables, shown.pooling, shown.outdir)
    used = [chart for chart in charts() if _has_rows(chart, drawn)]
    named = ["title", "table", "where", "at", "values"]
    return {
        "titles": dict(shown.titles),
        "charts": [vars(chart) for chart in used],
        "readouts": [dict(zip(named, line, strict=True)) for line in READOUTS if line[1] in drawn],
        "pairs": [_pair(model, task, drawn, runs, shown) for model, task in shown.pairs],
    }


def _has_rows(chart: Chart, drawn: Mapping[str, pd.DataFrame]) -> bool:
    if chart.rows not in drawn:
        return False
    table = drawn[chart.rows]
    if chart.needs and not table[chart.needs].notna().any():
        return False
    return all((table[column] == value).any() for column, value in chart.where.items())


def _pair(
    model: str,
    task: str,
    drawn: Mapping[str, pd.DataFrame],
    runs: Runs,
    shown: Shown,
) -> dict[str, Any]:
    own = {
        name: table[(table["model"] == model) & (table["task"] == task)].drop(
            columns=["model", "task"]
        )
        for name, table in drawn.items()
    }
    depths = [
        int(own[name][column].max())
        for name, column in (("cka", "x_depth"), ("truncation", "depth"), ("skipping", "last"),
                             ("frontier", "size"), ("variability", "depth"), ("controls", "at"))
        if name in own and len(own[name])
    ]  # fmt: skip
    other = "debiased" if shown.estimator == "biased" else "biased"
    return {
        "model": model,
        "task": task,
        "seeds": [seed for *of, seed in runs if of == [model, task]] or [0],
        "failed": [seed for (*of, seed), run in runs.items() if of == [model, task] and run.failed],
        "estimators": [shown.estimator, other],
        "layers": max(depths, default=1),
        "tables": {name: pack(table) for name, table in own.items() if len(table)},
    }


@cache
def _bundle() -> Markup:
    """Vega, Vega-Lite and what puts their charts into a page."""
    return _as_script(vl_convert.javascript_bundle(EMBED))


def _as_data(value: Any) -> Markup:
    """JSON in which nothing is a tag to a browser."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _as_script(text: str) -> Markup:
    """JavaScript in which nothing ends the element that it stands in."""
    return Markup(re.sub("</(script)", r"<\\/\1", text, flags=re.IGNORECASE))
