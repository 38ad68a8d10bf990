"""Readings and verdicts of claims as tables."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields

import pandas as pd

from strata.analysis.claim_evidence import NO_RUN, Pair, absent, unknown
from strata.analysis.claims import Judged, Measure, Reading

TEXTS = ("seeds", "about", "note", "missing")
COLUMNS = [
    "claim", "part", "paper", "place", "statement", "quantity", "speaks_of", "model", "task",
    "whole", "over", "tasks", "tasks_hold", "value", "low", "high", "relation", "threshold",
    "unit", "n_examples", "seeds", "about", "verdict", "note", "what_it_takes", "title", "remark",
]  # fmt: skip


def read_pair(
    pair: Pair, measures: Mapping[Measure, Callable[[Pair], Reading]], analyses: Collection[str]
) -> pd.DataFrame:
    """The readings of a model on a task, for every measure whose analyses the study has.

    Returns
    -------
    DataFrame
        One row per measure: model, task, measure and the fields of ``Reading``.
    """
    rows = []
    for measure, read in measures.items():
        if not set(measure.needs) <= set(analyses):
            continue
        if lacking := pair.lacking(measure.reads):
            reading = absent(pair, lacking)
        elif measure.of_runs and not pair.seeds:
            reading = unknown(pair, f"every run failed; it takes {NO_RUN}")
        else:
            reading = read(pair)
        about = {"model": pair.model, "task": pair.task, "measure": measure.name}
        rows.append(about | asdict(reading))
    names = ["model", "task", "measure", *(field.name for field in fields(Reading))]
    return pd.DataFrame(rows, columns=names)


def readings_of(table: pd.DataFrame) -> dict[tuple[str, str, str], Reading]:
    """Readings by (measure, model, task), from the tables of all pairs."""
    found = {}
    for record in table.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        key = row.pop("measure"), row.pop("model"), row.pop("task")
        texts = {name: "" if pd.isna(row[name]) else str(row[name]) for name in TEXTS}
        count = None if pd.isna(row["n_examples"]) else int(row["n_examples"])
        found[key] = Reading(**{**row, **texts, "n_examples": count})
    return found


def claims_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """One row per verdict: claim by claim, parts before wholes, models before tasks.

    Returns
    -------
    DataFrame
        COLUMNS. `task` is empty in verdicts over tasks: their value is the share of tasks in which
        the claim holds, and their interval adds the tasks that cannot be told. `whole` marks
        verdicts on all parts of a claim together, which have no value.
    """
    rows = sorted(judged, key=lambda each: each.whole)
    order = {number: place for place, number in enumerate(_numbers(judged))}
    rows.sort(key=lambda each: order[each.claim.number])
    table = pd.DataFrame([_row(each) for each in rows], columns=COLUMNS)
    return table.astype(dict.fromkeys(["tasks", "tasks_hold", "n_examples"], "Int64"))


def _numbers(judged: Iterable[Judged]) -> list[str]:
    return list(dict.fromkeys(each.claim.number for each in judged))


def _row(judged: Judged) -> Mapping[str, object]:
    claim, reading = judged.claim, judged.reading
    row = {
        "claim": claim.number,
        "part": "" if judged.whole else claim.key.removeprefix(claim.number),
        "paper": claim.paper,
        "place": claim.place,
        "statement": "" if judged.whole else claim.statement,
        "quantity": "" if judged.whole else claim.quantity,
        "speaks_of": judged.speaks_of,
        "model": judged.model,
        "task": judged.task,
        "whole": judged.whole,
        "over": claim.share.replace("_", " ") if judged.tasks else "",
        "tasks": judged.tasks,
        "tasks_hold": judged.tasks_hold,
        "relation": judged.relation,
        "threshold": judged.threshold,
        "unit": "" if judged.whole else claim.unit,
        "verdict": judged.verdict,
        "what_it_takes": reading.missing,
        "title": "all of it" if judged.whole else claim.title,
        "remark": claim.remark,
    }
    taken = ("value", "low", "high", "n_examples", "seeds", "about", "note")
    return row | {name: getattr(reading, name) for name in taken}
