"""Which output of a fine-tuned model stands for which label of a task."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import yaml
from scipy.optimize import linear_sum_assignment

from strata.evaluation.resampling import interval, resampled_scores
from strata.runtime.errors import StrataError
from strata.study.settings import Sampling

NUMBERED = re.compile(r"label[ _-]*(\d+)", re.IGNORECASE)  # what Transformers calls nameless labels
FEWEST = 20  # examples that judge; with fewer, a bootstrap is surer than it may be
WORTH = 0.05  # of accuracy; what another order must gain to be spoken of


@dataclass(frozen=True)
class LabelOrder:
    """How the outputs of a checkpoint are matched with the labels of a task.

    Attributes
    ----------
    names : the checkpoint's labels, in the order of its outputs.
    outputs : for each label of the task, the number of its output.
    by : what matched them: names, positions (the names say nothing), or the config's `label_map`.
    """

    names: list[str]
    outputs: list[int]
    by: Literal["name", "position", "label_map"]


def match_labels(
    names: Sequence[str], labels: Sequence[str], label_map: Mapping[str, str] | None, what: str
) -> LabelOrder:
    """Match a checkpoint's labels with a task's, of which there are as many.

    By `label_map` if there is one; by name, letter case and separators aside; names such as LABEL_0
    by their numbers.

    Parameters
    ----------
    names : the checkpoint's, in the order of its outputs.
    what : the checkpoint, for messages.

    Raises
    ------
    StrataError : the names do not match, or `label_map` is not one to one.
    """
    if label_map is not None:
        return LabelOrder(list(names), _by_map(names, labels, label_map, what), "label_map")
    numbers = [NUMBERED.fullmatch(name) for name in names]
    if all(numbers) and not all(NUMBERED.fullmatch(label) for label in labels):
        return LabelOrder(list(names), list(range(len(labels))), "position")
    for written in (str, fold):  # as they are, before what differs by hand alone
        own, wanted = list(map(written, names)), list(map(written, labels))
        if sorted(own) == sorted(wanted) and len(set(own)) == len(own):
            return LabelOrder(list(names), [own.index(label) for label in wanted], "name")
    if len(set(names)) < len(names):
        raise StrataError(
            f"{what} calls several of its labels the same ({', '.join(names)}): give them names of "
            "their own in its config.json (id2label, label2id)."
        )
    raise StrataError(
        f"{what} has the labels {', '.join(names)}, the task {', '.join(labels)}: say which is "
        f"which with {_as_map(names, labels)} in the model's entry."
    )


def fold(name: str) -> str:
    """A label's name without what different hands write differently: case and separators."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _by_map(
    names: Sequence[str], labels: Sequence[str], label_map: Mapping[str, str], what: str
) -> list[int]:
    if sorted(label_map) != sorted(names) or sorted(label_map.values()) != sorted(labels):
        raise StrataError(
            f"label_map of {what} must name each label of the checkpoint ({', '.join(names)}) and "
            f"each of the task ({', '.join(labels)}) once; it is {_written(label_map)}."
        )
    output_of = {label: names.index(name) for name, label in label_map.items()}
    return [output_of[label] for label in labels]


def _as_map(names: Sequence[str], labels: Sequence[str]) -> str:
    return f"label_map: {_written(dict(zip(names, labels, strict=True)))}"


def _written(label_map: Mapping[str, str]) -> str:
    """As one line of YAML, quoted where it would be read as something else than text."""
    text = yaml.safe_dump(
        dict(label_map), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return text.strip()


@dataclass(frozen=True)
class Better:
    """Another order of the labels, chosen on one half of the examples, better on the other.

    Attributes
    ----------
    meant : for each label that is answered, the one that it seems to stand for.
    gain, low, high : of accuracy, a fraction, with its interval over `n` examples.
    """

    meant: list[int]
    gain: float
    low: float
    high: float
    n: int

    def words(self) -> str:
        """What it gains, for a message."""
        points = (f"{100 * value:+.1f}" for value in (self.gain, self.low, self.high))
        gain, low, high = points
        return (
            f"{gain} points of accuracy [{low}, {high}] on {self.n} examples that did not choose it"
        )


def better_order(
    labels: np.ndarray, predictions: np.ndarray, count: int, sampling: Sampling, seed: int = 0
) -> Better | None:
    """Another order of the labels that fits the examples better, by five points and beyond doubt.

    The order is the one that makes most of one half's answers right (a linear assignment on their
    confusion matrix); the other half judges it, so that having chosen flatters nothing.

    Parameters
    ----------
    labels, predictions : [examples], classes from 0 to `count` - 1.
    """
    places = np.random.default_rng(seed).permutation(len(labels))
    chooses, judges = places[: len(places) // 2], places[len(places) // 2 :]
    confusion = np.zeros((count, count))
    np.add.at(confusion, (predictions[chooses], labels[chooses]), 1)
    _, meant = linear_sum_assignment(confusion, maximize=True)
    if (meant == np.arange(count)).all() or len(judges) < FEWEST:
        return None
    meant = _without_accidents(meant, confusion)
    own = predictions[judges]
    drawn = resampled_scores("accuracy", labels[judges], np.stack([meant[own], own]), sampling)
    low, high = interval(drawn[0] - drawn[1], sampling.confidence)
    right = labels[judges]
    gain = float((meant[own] == right).mean() - (own == right).mean())
    if gain < WORTH or low <= 0:
        return None
    return Better([int(label) for label in meant], gain, low, high, len(judges))


def _without_accidents(meant: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """An order in which labels whose places were changed for a single answer are back in theirs."""
    kept = np.arange(len(meant))
    for cycle in _cycles(meant):
        gain = sum(confusion[i, meant[i]] - confusion[i, i] for i in cycle)
        if gain > 1:
            kept[cycle] = meant[cycle]
    return kept


def _cycles(order: np.ndarray) -> list[list[int]]:
    """The cycles of a permutation, those of one element left out."""
    found, seen = [], set()
    for start in range(len(order)):
        cycle, place = [], start
        while place not in seen:
            seen.add(place)
            cycle.append(place)
            place = int(order[place])
        if len(cycle) > 1:
            found.append(cycle)
    return found


def suggested_map(order: LabelOrder, labels: Sequence[str], better: Better) -> str:
    """The `label_map` that another order amounts to, as one writes it."""
    label_of = {output: better.meant[label] for label, output in enumerate(order.outputs)}
    meant = [labels[label_of[output]] for output in range(len(order.names))]
    return _as_map(order.names, meant)
