"""What the page says before its charts: answers in words, claims, failed runs, warnings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from strata.analysis.claims import ABSENT, FAILS, HOLDS, UNTOLD
from strata.analysis.frontier_words import frontier_text
from strata.analysis.summary_words import summary_text
from strata.study.run_records import RunMetrics

KINDS = {HOLDS: "holds", FAILS: "fails", UNTOLD: "untold", ABSENT: "absent"}
Tables = Mapping[str, pd.DataFrame]
Runs = Mapping[tuple[str, str, int], RunMetrics]  # by model, task and seed


@dataclass(frozen=True)
class Part:
    """Sentences of one kind about a model and task."""

    title: str
    lines: list[str]


@dataclass(frozen=True)
class Answer:
    """All that is said in words of a model and task."""

    title: str
    score: str
    parts: list[Part]
    all_failed: bool


def answers(
    tables: Tables,
    runs: Runs,
    pairs: Sequence[tuple[str, str]],
    titles: Mapping[str, str],
    tolerance: float,
) -> list[Answer]:
    """The sentences that a run ends with, by model and task.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Those of `summary`, `answers` (the frontier's) and `findings` (of agreement) that there are.
    pairs : sequence of tuple
        Model and task, in the study's order.
    tolerance : float
        What may be lost, a fraction.
    """
    said = []
    for model, task in pairs:
        own = [run.failed for (*of, _), run in runs.items() if (model, task) == tuple(of)]
        title = f"{titles.get(model, model)} on {titles.get(task, task)}"
        score, parts = _said(tables, model, task, tolerance)
        said.append(Answer(title, score, parts, all_failed=bool(own) and all(own)))
    return said


def _said(tables: Tables, model: str, task: str, tolerance: float) -> tuple[str, list[Part]]:
    """The score of the full model, and the sentences of each analysis that has some."""
    own = {name: _of(table, model, task) for name, table in tables.items()}
    score, parts = "", []
    if len(rows := own.get("summary", pd.DataFrame())):
        first, *rest = summary_text(rows, tolerance).splitlines() or [""]
        score = first.partition(": ")[2] or first
        parts.append(Part("How far it can be cut from the top", [line.strip() for line in rest]))
    if len(rows := own.get("answers", pd.DataFrame())):
        first, *rest = frontier_text(rows).splitlines()
        about = first.partition(": ")[2]
        title = f"Which layers to keep: {about}"
        parts.append(Part(title, [line.strip() for line in rest]))
    if len(rows := own.get("findings", pd.DataFrame())):
        parts.append(Part("What the methods say together", rows["finding"].tolist()))
    return score, [part for part in parts if part.lines]


def _of(table: pd.DataFrame, model: str, task: str) -> pd.DataFrame:
    return table[(table["model"] == model) & (table["task"] == task)]


@dataclass(frozen=True)
class Claim:
    """A claim's verdict for a model, over the tasks."""

    name: str
    statement: str
    paper: str
    place: str
    model: str
    verdict: str
    kind: str
    detail: str


def claim_rows(table: pd.DataFrame, titles: Mapping[str, str]) -> tuple[list[Claim], str]:
    """Verdicts over tasks, part by part, and a sentence on those that the study cannot speak of.

    Parameters
    ----------
    table : DataFrame
        As ``claim_tables.claims_table`` makes it.
    """
    parts = table[table["task"].isna() & ~table["whole"].astype(bool)]
    told = parts[parts["verdict"] != ABSENT]
    absent = sorted(set(_names(parts)) - set(_names(told)), key=list(_names(parts)).index)
    words = f"{ABSENT.capitalize()}: {', '.join(absent)}." if absent else ""
    named = zip(told.iterrows(), _names(told), strict=True)
    return [_claim(row, name, titles) for (_, row), name in named], words


def _names(rows: pd.DataFrame) -> pd.Series:
    return rows["claim"] + rows["part"].fillna("")


def _claim(row: pd.Series, name: str, titles: Mapping[str, str]) -> Claim:
    return Claim(
        name=name,
        statement=row["statement"],
        paper=row["paper"],
        place=row["place"],
        model="" if pd.isna(row["model"]) else titles.get(row["model"], row["model"]),
        verdict=row["verdict"],
        kind=KINDS[row["verdict"]],
        detail="; ".join(_details(row)),
    )


def _details(row: pd.Series) -> Iterator[str]:
    if pd.notna(row["tasks"]):
        yield f"holds in {row['tasks_hold']:.0f} of {row['tasks']:.0f} tasks"
    elif pd.notna(row["value"]):
        yield f"{row['quantity']}: {row['value']:z.3f} [{row['low']:z.3f}, {row['high']:z.3f}]"
    if pd.notna(row["n_examples"]):
        yield f"{row['n_examples']:,.0f} examples"
    if pd.notna(row["remark"]):
        yield str(row["remark"])


def failed_runs(runs: Runs) -> list[str]:
    """A sentence on each run that failed."""
    return [
        f"{model} on {task}, seed {seed}: {run.metric} {run.score:.3f} [{run.score_low:.3f}, "
        f"{run.score_high:.3f}] does not beat the baseline of {run.baseline:.3f}, or all "
        "predictions are the same; it is left out of the answers."
        for (model, task, seed), run in runs.items()
        if run.failed
    ]


def warnings(tables: Tables, notes: Sequence[str]) -> list[str]:
    """What a reader must know before the numbers: runs' own notes, and what tables say of CKA."""
    found = list(notes)
    if "cka" in tables:
        noted = tables["cka"].dropna(subset="note")
        for note, rows in noted[noted["note"] != ""].groupby("note", sort=False):
            places = (rows["model"] + " on " + rows["task"]).unique()
            found.append(f"{', '.join(places)}: {note}.")
    return list(dict.fromkeys(found))
