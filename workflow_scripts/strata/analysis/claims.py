"""Claims of papers, compared with what a study measured.

A claim says how one quantity compares with a threshold. A study's reading of that quantity has an
interval, which decides the verdict: the claim **holds** if all of the interval meets it, does **not
hold** if none of it does, and **cannot be told** if the interval spans the threshold. A claim for
which the study has no quantity is **not in this study**, with what it would need.

Intervals are two-sided at the study's confidence (95 %), so a verdict is wrong in at most 2.5 % of
cases if the truth is beyond the threshold, and in at most 5 % if it is at the threshold. They are
over examples, and with fewer than five seeds they speak of these runs.

Over tasks the quantity is the share of tasks in which the claim holds. A task that cannot be told
may go either way, so that share also has an interval: from the tasks in which it holds to those in
which it may.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import pandas as pd

from strata.study.given import OWN_RUNS
from strata.study.settings import ClaimSettings

HOLDS, FAILS = "holds", "does not hold"
UNTOLD, ABSENT = "cannot be told", "not in this study"
VERDICTS = (HOLDS, FAILS, UNTOLD, ABSENT)
NAN = float("nan")
Relation = Literal[">", ">=", "<", "<="]
Unit = Literal["points", "CKA", "depths", "share", "correlation", ""]
Share = Literal["every", "nearly_all", "most"]
OF_TASKS: Mapping[str, Relation] = {"every": ">=", "nearly_all": ">=", "most": ">"}
NAMED, LIKE_IT = "this model", "models like it"


@dataclass(frozen=True)
class Reading:
    """What a study measured of the quantity that decides a claim.

    Attributes
    ----------
    value, low, high : float
        The quantity and its interval; NaN if unknown.
    n_examples : int or None
        The number of examples.
    seeds : str
        The seeds of the runs ("1 2").
    about : str
        What the interval speaks of, "these runs" or "the recipe".
    note : str
        What a reader must know about it.
    missing : str
        What the study would need, if it does not have the quantity.
    """

    value: float = NAN
    low: float = NAN
    high: float = NAN
    n_examples: int | None = None
    seeds: str = ""
    about: str = ""
    note: str = ""
    missing: str = ""


def judge(reading: Reading, relation: Relation, threshold: float) -> str:
    """The verdict on "the quantity is `relation` the `threshold`"."""
    if reading.missing:
        return ABSENT
    ends = [compares(end, relation, threshold) for end in (reading.low, reading.high)]
    if reading.low != reading.low or reading.high != reading.high or any(ends) != all(ends):
        return UNTOLD
    return HOLDS if all(ends) else FAILS


def compares(value: float, relation: Relation, threshold: float) -> bool:
    """Whether `value` is above (or at), or below (or at), `threshold`."""
    if relation.startswith(">"):
        return value > threshold or (relation == ">=" and value == threshold)
    return value < threshold or (relation == "<=" and value == threshold)


def together(verdicts: Collection[str]) -> str:
    """The verdict on a claim of several parts: it holds if all hold, and fails if one fails."""
    if FAILS in verdicts:
        return FAILS
    if set(verdicts) == {HOLDS}:
        return HOLDS
    return ABSENT if set(verdicts) == {ABSENT} else UNTOLD


@dataclass(frozen=True)
class Study:
    """The evidence by which claims are judged.

    Attributes
    ----------
    architectures : mapping of str to str
        The architecture of each model, in the study's order.
    tasks : sequence of str
        The tasks, in the study's order.
    analyses : collection of str
        The study's analyses, whose tables claims may use.
    readings : mapping of tuple of str, str and str to Reading
        Readings by (measure, model, task), from the jobs that look at one pair.
    tables : mapping of str to DataFrame
        Tables of the whole study: "cka-models", "permutation-correlations".
    """

    architectures: Mapping[str, str]
    tasks: Sequence[str]
    analyses: Collection[str]
    readings: Mapping[tuple[str, str, str], Reading]
    tables: Mapping[str, pd.DataFrame]
    settings: ClaimSettings


@dataclass(frozen=True)
class Found:
    """A reading, with its model and task.

    Attributes
    ----------
    model : str
        A model's name, or several ("albert less roberta").
    task : str
        The task; empty if the reading is over all tasks.
    architectures : tuple of str
        The architectures of the models.
    """

    model: str
    task: str
    architectures: tuple[str, ...]
    reading: Reading


class Source(Protocol):
    """Where the readings of a claim come from."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The analyses of the study that are needed."""

    def found(self, study: Study, tasks: Sequence[str]) -> Iterator[Found]:
        """The readings for these tasks, which the claim speaks of."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, or one part of one.

    Attributes
    ----------
    key : str
        Like "P6a": the paper's letter, the claim's number, and the part's letter if it has parts.
    place : str
        The place in the paper.
    title : str
        A short title, for the figure.
    statement : str
        The claim in our words.
    quantity : str
        The quantity that decides it, in words.
    threshold : float or str
        A number, or a key of the config's section ``claims``.
    named : tuple of str
        Architectures for which the paper makes the claim.
    others : bool
        Whether it is also judged for architectures beyond `named` and `silent`, as a claim about
        fine-tuned encoders in general.
    silent : tuple of str
        Architectures that the paper studied, but for which it does not make the claim.
    tasks : tuple of str
        Tasks that it speaks of; empty for all.
    but : tuple of str
        Tasks that it does not speak of.
    share : Share
        The share of these tasks in which it must hold.
    of_tasks : int
        The number of tasks in the paper; 0 if it does not say.
    remark : str
        What a reader must know about the claim.
    takes : str
        What a study without such models or tasks would need, if that is not obvious.
    """

    key: str
    paper: str
    place: str
    title: str
    statement: str
    quantity: str
    unit: Unit
    source: Source
    relation: Relation
    threshold: float | str
    named: tuple[str, ...]
    others: bool = True
    silent: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    share: Share = "most"
    of_tasks: int = 12
    remark: str = ""
    takes: str = ""

    @property
    def number(self) -> str:
        """The claim's key without its part: "P6" of "P6a"."""
        return re.sub(r"[a-z]+$", "", self.key)

    def speaks_of(self, architectures: Collection[str]) -> str:
        """NAMED if it names these models, LIKE_IT if it covers models like them, else empty."""
        if set(architectures) <= set(self.named):
            return NAMED
        told = self.others and not set(architectures) & set(self.silent)
        return LIKE_IT if told else ""

    def tasks_of(self, study: Study) -> list[str]:
        """The study's tasks that it speaks of."""
        told = self.tasks or study.tasks
        return [task for task in study.tasks if task in told and task not in self.but]

    def missing(self) -> str:
        """What a study needs if the claim covers neither its models nor its tasks."""
        if self.takes:
            return self.takes
        models = "" if self.others else f"models: {', '.join(self.named)}"
        tasks = f"tasks: {', '.join(self.tasks)}" if self.tasks else ""
        beside = f"a model that is no {' or '.join(self.silent)}"
        return "; ".join(filter(None, (models, tasks))) or beside


@dataclass(frozen=True)
class Measure:
    """A quantity of a model on a task; a paper's module says how to read it (``MEASURES``).

    Attributes
    ----------
    name : str
        The key in the table of readings.
    needs : tuple of str
        The study's analyses that its tables come from.
    of_runs : bool
        Whether it needs a fine-tuned run that did not fail.
    reads : tuple of str
        What else it needs that not every study has: the state of the pretrained encoder, and
        configurations of truncation.
    """

    name: str
    needs: tuple[str, ...]
    of_runs: bool = True
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfPairs:
    """A measure for each model and task."""

    measure: Measure

    @property
    def needs(self) -> tuple[str, ...]:
        return self.measure.needs

    def found(self, study: Study, tasks: Sequence[str]) -> Iterator[Found]:
        for model, architecture in study.architectures.items():
            for task in tasks:
                reading = study.readings[self.measure.name, model, task]
                yield Found(model, task, (architecture,), reading)


@dataclass(frozen=True)
class Between:
    """A measure of the first model of one architecture minus that of another, on each task.

    The interval of the difference goes from the one's low end minus the other's high end to the
    opposite, so that it is wide enough however the two errors correlate.

    Attributes
    ----------
    of : str
        Which of the two architectures the claim is about; empty for both.
    """

    measure: Measure
    more: str
    less: str
    of: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        return self.measure.needs

    def found(self, study: Study, tasks: Sequence[str]) -> Iterator[Found]:
        first: dict[str, str] = {}
        for model, kind in study.architectures.items():
            first.setdefault(kind, model)
        if self.more not in first or self.less not in first:
            return
        models = first[self.more], first[self.less]
        name = first[self.of] if self.of else " less ".join(models)
        for task in tasks:
            more, less = (study.readings[self.measure.name, model, task] for model in models)
            yield Found(name, task, (self.more, self.less), difference(more, less))


def difference(more: Reading, less: Reading) -> Reading:
    """One reading minus another, see ``Between``."""
    notes = dict.fromkeys(filter(None, (more.note, less.note)))
    return replace(
        more,
        value=more.value - less.value,
        low=more.low - less.high,
        high=more.high - less.low,
        seeds=more.seeds if more.seeds == less.seeds else f"{more.seeds}; {less.seeds}",
        note="; ".join(notes),
        missing=more.missing or less.missing,
    )


@dataclass(frozen=True)
class OfStudy:
    """Readings that a function computes from the whole study, by task or over tasks."""

    needs: tuple[str, ...]
    read: Callable[[Study, Sequence[str]], Iterator[Found]]

    def found(self, study: Study, tasks: Sequence[str]) -> Iterator[Found]:
        yield from self.read(study, tasks)


@dataclass(frozen=True)
class Judged:
    """A claim's verdict on a model and task, or over tasks (empty task).

    Attributes
    ----------
    architectures : tuple of str
        The architectures of the models.
    tasks, tasks_hold : int or None
        Over tasks, in how many the claim can be judged, and in how many it holds.
    whole : bool
        Whether it is about all parts of the claim together; then there is no single reading, and
        the claim is the first part.
    speaks_of : str
        "this model" if the paper names it, else "models like it".
    """

    claim: Claim
    model: str
    task: str
    verdict: str
    speaks_of: str = ""
    reading: Reading = field(default_factory=Reading)
    relation: str = ""
    threshold: float = NAN
    architectures: tuple[str, ...] = ()
    tasks: int | None = None
    tasks_hold: int | None = None
    whole: bool = False


def judge_claims(claims: Sequence[Claim], study: Study) -> list[Judged]:
    """Verdicts on every claim and part by model and task, over tasks, and on whole claims."""
    parts = [judged for claim in claims for judged in judge_claim(claim, study)]
    return [*parts, *_wholes(parts)]


def judge_claim(claim: Claim, study: Study) -> list[Judged]:
    """The verdicts on one claim or part for every model: task by task, then over tasks."""
    lacking = [name for name in claim.source.needs if name not in study.analyses]
    if lacking:
        missing = f"study.analyses with {' and '.join(lacking)}"
        if study.settings.given and set(lacking) & set(OWN_RUNS):
            missing += ", of models that are fine-tuned here"
        return [Judged(claim, "", "", ABSENT, reading=Reading(missing=missing))]
    threshold = study.settings.value(claim.threshold)
    rows = []
    for found in claim.source.found(study, claim.tasks_of(study)):
        if speaks_of := claim.speaks_of(found.architectures):
            verdict = judge(found.reading, claim.relation, threshold)
            about = (speaks_of, found.reading, claim.relation, threshold, found.architectures)
            rows.append(Judged(claim, found.model, found.task, verdict, *about))
    if not rows:
        return [Judged(claim, "", "", ABSENT, reading=Reading(missing=claim.missing()))]
    by_model: dict[str, list[Judged]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    over = [_over_tasks(own, study.settings) for own in by_model.values() if own[0].task]
    return [*rows, *over]


def _over_tasks(rows: Sequence[Judged], settings: ClaimSettings) -> Judged:
    """The verdict over tasks, from the verdicts on each of a model's tasks."""
    claim, told = rows[0].claim, [row for row in rows if row.verdict != ABSENT]
    if not told:
        return replace(rows[0], task="")
    counts = {verdict: sum(row.verdict == verdict for row in told) for verdict in VERDICTS}
    hold, number = counts[HOLDS], len(told)
    words = ", ".join(f"{verdict} in {count}" for verdict, count in counts.items() if count)
    note = f"{words} of {number} task{'s' * (number > 1)}"
    expected = len(claim.tasks) or claim.of_tasks - len(claim.but)
    if number < expected:
        note += f", of {expected} that the paper speaks of"
    reading = Reading(
        value=hold / number,
        low=hold / number,
        high=(hold + counts[UNTOLD]) / number,
        n_examples=None,
        seeds=told[0].reading.seeds,
        about=told[0].reading.about,
        note=note,
    )
    threshold, relation = settings.value(claim.share), OF_TASKS[claim.share]
    verdict = judge(reading, relation, threshold)
    about = (rows[0].speaks_of, reading, relation, threshold, rows[0].architectures)
    return Judged(claim, rows[0].model, "", verdict, *about, number, hold)


def _wholes(parts: Sequence[Judged]) -> Iterator[Judged]:
    """The verdicts on claims of several parts, for each model and task, and for each model.

    Only the parts that speak of the model and task count. If the study has nothing on one of them,
    the whole claim cannot hold.
    """
    numbers: dict[str, list[Judged]] = {}
    for part in parts:
        numbers.setdefault(part.claim.number, []).append(part)
    for own in numbers.values():
        if len({part.claim.key for part in own}) < 2:
            continue
        by_model: dict[str, list[Judged]] = {}
        for part in own:
            by_model.setdefault(part.model, []).append(part)
        nowhere = by_model.pop("", [])
        for of_model in by_model.values():
            kinds = of_model[0].architectures
            also = [part for part in nowhere if part.claim.speaks_of(kinds)]
            for task in dict.fromkeys(part.task for part in of_model):
                of_task = [part for part in of_model if part.task == task]
                yield _whole(of_task if task else [*of_task, *also])
        if not by_model:
            yield _whole(nowhere)


def _whole(parts: Sequence[Judged]) -> Judged:
    verdict = together([part.verdict for part in parts])
    words = dict.fromkeys(f"{part.claim.key} {part.verdict}" for part in parts)
    missing = dict.fromkeys(part.reading.missing for part in parts if part.reading.missing)
    reading = Reading(note="; ".join(words), missing="; ".join(missing))
    own = parts[0]
    return Judged(own.claim, own.model, own.task, verdict, own.speaks_of, reading, whole=True)
