"""A study's answers in words, for the end of a run."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path

import pandas as pd

from strata.analysis.claim_words import claim_sentences
from strata.analysis.frontier import NAMES
from strata.analysis.frontier_words import frontier_text
from strata.analysis.summary import CONFIGURATIONS, LOSES_MORE
from strata.analysis.words import points_of, rounded
from strata.study.run_records import RunMetrics


def final_words(
    outdir: str | Path, analyses: Collection[str], tolerance: float, records: Sequence[str] = ()
) -> Iterator[str]:
    """A study's answers in words, of those analyses that it has; then the runs that failed.

    Parameters
    ----------
    records : sequence of str, optional
        Patterns of the runs' run.json; the notes in them come before the answers.
    """
    summary, findings, claims, frontier = (
        Path(outdir) / f"{name}.csv" for name in ("summary", "agreement", "claims", "frontier")
    )
    if notes := run_notes(records):
        yield "\n".join(notes)
    if "claims" in analyses and claims.is_file():
        table = pd.read_csv(claims)
        about = "with fewer than five seeds verdicts are about these runs"
        if "these checkpoints" in set(table["about"]):
            about = "verdicts are about these checkpoints"
        yield "\n".join([*claim_sentences(table), f"\n(from {claims}; {about})"])
    if "agreement" in analyses and findings.is_file():
        yield "\n".join([*pd.read_csv(findings)["finding"], f"\n(from {findings})"])
    if "truncation" in analyses and summary.is_file():
        yield f"{summary_text(pd.read_csv(summary), tolerance)}\n\n(from {summary})"
    if "frontier" in analyses and frontier.is_file():
        yield f"{frontier_text(pd.read_csv(frontier, dtype=NAMES))}\n\n(from {frontier})"
    if failed := failed_text(records):
        yield failed


def places(outdir: str | Path) -> Iterator[str]:
    """Where the things lie that a reader opens first, of those that a study has."""
    outdir = Path(outdir)
    names = {"Explorer": "explorer.html", "Report": "report.html", "Figures": "figures"}
    there = {name: outdir / path for name, path in names.items() if (outdir / path).exists()}
    yield from (f"{name}: {path}" for name, path in there.items())
    yield f"Tables: {outdir}"
    if "Report" not in there:
        yield f"All figures on one page: the same command with --report {outdir / 'report.html'}"


def run_notes(records: Iterable[str]) -> list[str]:
    """What runs' records say that a reader must know, each once."""
    paths = [path for pattern in records for path in sorted(glob(pattern))]
    notes = [json.loads(Path(path).read_text(encoding="utf-8")).get("notes", []) for path in paths]
    return list(dict.fromkeys(note for of_run in notes for note in of_run))


def summary_text(table: pd.DataFrame, tolerance: float) -> str:
    """The summary in words, without layer sets (the frontier's) and failed runs."""
    table, lines = table[table["configuration"].isin(CONFIGURATIONS)], []
    for (model, task), rows in table.groupby(["model", "task"], sort=False):
        first = rows.iloc[0]
        if _text(first["seeds"]):
            lines.append(
                f"{model} on {task}: {first['metric']} {first['full']:.3f} "
                f"[{first['full_low']:.3f}, {first['full_high']:.3f}] with all "
                f"{first['layers']:.0f} layers (baseline {first['baseline']:.3f}, "
                f"n={first['n_examples']}, seeds {_text(first['seeds'])})"
            )
            lines += [line for _, row in rows.iterrows() for line in _sentences(row, tolerance)]
    return "\n".join(lines)


def failed_text(records: Iterable[str]) -> str:
    """The runs that failed, a line a model and task; "" if none did.

    Parameters
    ----------
    records : iterable of str
        Patterns of the runs' run.json; metrics.json lies in the same folder.
    """
    failed: dict[tuple[str, str], list[str]] = {}
    for path in (Path(path) for pattern in records for path in sorted(glob(pattern))):
        metrics = path.with_name("metrics.json")
        if metrics.is_file() and (run := RunMetrics.read(metrics)).failed:
            *_, pair, _variant, seed, _name = path.parts
            model, _, task = pair.partition("_")
            reason = f"the score does not beat the baseline of {run.baseline:.3f}"
            seeds = failed.setdefault((f"{model} on {task}", reason), [])
            seeds.append(seed.removeprefix("seed"))
    return "\n".join(
        f"{pair}: FAILED, seed {' '.join(seeds)}: {reason}; left out of the answer"
        for (pair, reason), seeds in failed.items()
    )


def _sentences(row: pd.Series, tolerance: float) -> Iterator[str]:
    name, points = row["configuration"].upper(), points_of(tolerance)
    yield f"  {name}, within {points} in these runs: {_within(row)}"
    yield f"  {name}, certified: {_certified(row, points)}"
    if row["undertrained"]:
        yield (
            f"  {name} at depth {row['layers']:.0f} beats the full model by "
            f"{_difference(row, 'top')}: the model was not trained to its end, and losses are "
            "judged against that head"
        )


def _within(row: pd.Series) -> str:
    if row["within_depth"] == row["layers"]:
        return "no smaller depth"
    return (
        f"depth {row['within_depth']:.0f} ({_difference(row, 'within')}; where other examples "
        f"chose the depth {_difference(row, 'crossfit')}); saves {_saving(row, 'within')}"
    )


def _certified(row: pd.Series, points: str) -> str:
    about = f"a claim about {row['claim']}"
    if row["certified_depth"] == row["layers"]:
        words = "no smaller depth"
    else:
        words = (
            f"depth {row['certified_depth']:.0f} ({100 * row['certified_difference']:+.1f} points, "
            f"at worst {100 * row['certified_bound']:+.1f}; {about}); "
            f"saves {_saving(row, 'certified')}"
        )
    if row["certified_depth"] == 1:
        return words
    depth = f"depth {row['certified_depth'] - 1:.0f}"
    if row["next_verdict"] == LOSES_MORE:
        return f"{words}; {depth} loses more ({_difference(row, 'next')})"
    if row["next_examples"] == float("inf"):
        return f"{words}; with a tolerance of 0, no number of examples certifies a depth"
    return (
        f"{words}; {depth} cannot be told ({_difference(row, 'next')}): if nothing is lost there, "
        f"showing it takes about {rounded(row['next_examples']):,} examples, and there are "
        f"{row['n_examples']:,.0f}"
    )


def _difference(row: pd.Series, name: str) -> str:
    value, low, high = (100 * row[f"{name}_{part}"] for part in ("difference", "low", "high"))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _saving(row: pd.Series, name: str) -> str:
    layers = f"{row['layers'] - row[f'{name}_depth']:.0f} of {row['layers']:.0f} layers"
    saved = row[f"{name}_parameters_saved"]
    if saved == 0:
        return f"{layers}, {_text(row['note'])}"
    whole = row["parameters"]
    return f"{layers}, {saved / 1e6:.1f}M of {whole / 1e6:.1f}M parameters ({saved / whole:.0%})"


def _text(value: str | float | None) -> str:
    return "" if pd.isna(value) else str(value).removesuffix(".0")
