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

NUMBERED = re.compile(
    r"label[ _-]*(\d+)", re.IGNORECASE
)  # Transformers' names for labels without names
FEWEST = 20  # examples that judge; with fewer, a bootstrap is overconfident
WORTH = 0.05  # accuracy that another order must gain to be mentioned


@dataclass(frozen=True)
class LabelOrder:
    """How the outputs of a checkpoint are matched with the labels of a task.

    Attributes
    ----------
    names : list of str
        The checkpoint's labels, in the order of its outputs.
    outputs : list of int
        For each label of the task, the number of its output.
    by : {"name", "position", "label_map"}
        How they were matched: by name, by position (if the names say nothing), or by the config's
        `label_map`.
    """

    names: list[str]
    outputs: list[int]
    by: Literal["name", "position", "label_map"]


def match_labels(
    names: Sequence[str], labels: Sequence[str], label_map: Mapping[str, str] | None, what: str
) -> LabelOrder:
    """Match a checkpoint's labels with the same number of labels of a task.

    By `label_map` if there is one, else by name, ignoring case and separators; names such as
    LABEL_0 by their numbers.

    Parameters
    ----------
    names : sequence of str
        The checkpoint's labels, in the order of its outputs.
    what : str
        Words for the checkpoint, for messages.

    Raises
    ------
    StrataError
        The names do not match, or `label_map` is not one to one.
    """
    if label_map is not None:
        return LabelOrder(list(names), _by_map(names, labels, label_map, what), "label_map")
    numbers = [NUMBERED.fullmatch(name) for name in names]
    if all(numbers) and not all(NUMBERED.fullmatch(label) for label in labels):
        return LabelOrder(list(names), list(range(len(labels))), "position")
    for written in (str, fold):  # as written, before ignoring differences in spelling
        own, wanted = list(map(written, names)), list(map(written, labels))
        if sorted(own) == sorted(wanted) and len(set(own)) == len(own):
            return LabelOrder(list(names), [own.index(label) for label in wanted], "name")
    if len(set(names)) < len(names):
        raise StrataError(
            f"{what} gives several of its labels the same name ({', '.join(names)}): give them "
            "different names in its config.json (id2label, label2id)."
        )
    raise StrataError(
        f"{what} has the labels {', '.join(names)}, the task {', '.join(labels)}: say which is "
        f"which by writing {_as_map(names, labels)} in the model's entry."
    )


def fold(name: str) -> str:
    """A label's name without differences in spelling: case and separators."""
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
    """As one line of YAML, quoted where it would otherwise not be read as text."""
    text = yaml.safe_dump(
        dict(label_map), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return text.strip()


@dataclass(frozen=True)
class Better:
    """Another order of the labels, chosen on one half of the examples and better on the other.

    Attributes
    ----------
    meant : list of int
        For each predicted label, the label that it seems to stand for.
    gain, low, high : float
        The gain in accuracy, a fraction, with its interval over `n` examples.
    """

    meant: list[int]
    gain: float
    low: float
    high: float
    n: int

    def words(self) -> str:
        """The gain in words, for a message."""
        points = (f"{100 * value:+.1f}" for value in (self.gain, self.low, self.high))
        gain, low, high = points
        return (
            f"{gain} points of accuracy [{low}, {high}] on {self.n} examples that did not choose it"
        )


def better_order(
    labels: np.ndarray, predictions: np.ndarray, count: int, sampling: Sampling, seed: int = 0
) -> Better | None:
    """Another order of the labels, if one fits the examples better by five points and beyond doubt.

    The order is the one that makes most predictions of one half right (a linear assignment on their
    confusion matrix). The other half judges it, so that the choice does not bias the gain.

    Parameters
    ----------
    labels, predictions : ndarray of shape (examples,)
        Classes from 0 to `count` - 1.
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
    """The order, with labels that were swapped because of a single answer back in their places."""
    kept = np.arange(len(meant))
    for cycle in _cycles(meant):
        gain = sum(confusion[i, meant[i]] - confusion[i, i] for i in cycle)
        if gain > 1:
            kept[cycle] = meant[cycle]
    return kept


def _cycles(order: np.ndarray) -> list[list[int]]:
    """The cycles of a permutation, except those of one element."""
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
    """The `label_map` for another order, as it would be written in the config."""
    label_of = {output: better.meant[label] for label, output in enumerate(order.outputs)}
    meant = [labels[label_of[output]] for output in range(len(order.names))]
    return _as_map(order.names, meant)
