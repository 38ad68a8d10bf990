"""Outputs matched with labels: by name, number or hand; and what predictions say about it."""

import numpy as np
import pytest
import yaml

from strata.evaluation.label_order import LabelOrder, better_order, match_labels, suggested_map
from strata.runtime.errors import StrataError
from strata.study.settings import Sampling

LABELS = ["not_entailment", "entailment", "Can't tell"]
SAMPLING = Sampling(300, 0.95)


@pytest.mark.parametrize(
    ("names", "outputs", "by"),
    [
        (["entailment", "cant-tell", "Not Entailment"], [2, 0, 1], "name"),
        (["NOT_ENTAILMENT", "ENTAILMENT", "can't tell"], [0, 1, 2], "name"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], [0, 1, 2], "position"),
        (["label 0", "label 1", "label 2"], [0, 1, 2], "position"),
    ],
)
def test_names_are_matched_and_numbers_keep_their_order(names, outputs, by):
    assert match_labels(names, LABELS, None, "M") == LabelOrder(names, outputs, by)


def test_names_that_do_not_match_are_refused_with_what_to_write():
    with pytest.raises(StrataError) as caught:
        match_labels(["yes", "no", "maybe"], LABELS, None, "Model 'm', checkpoint 1")
    assert str(caught.value) == (
        "Model 'm', checkpoint 1 has the labels yes, no, maybe, the task not_entailment, "
        "entailment, Can't tell: say which is which by writing label_map: {'yes': not_entailment, "
        "'no': entailment, maybe: Can't tell} in the model's entry."
    )


def test_two_names_that_are_one_when_folded_are_no_match():
    with pytest.raises(StrataError):
        match_labels(["a b", "A-B"], ["ab", "a_b"], None, "M")


@pytest.mark.parametrize("labels", [["C", "C++"], ["-1", "0", "1"], ["+", "-"], ["no", "yes"]])
def test_names_that_are_the_same_need_no_folding(labels):
    names = labels[::-1]
    found = match_labels(names, labels, None, "M")
    assert [names[output] for output in found.outputs] == labels and found.by == "name"


@pytest.mark.parametrize("labels", [["no", "yes"], ["0", "1"], ["a: b", "c, d"]])
def test_what_is_to_be_written_is_read_as_it_was_meant(labels):
    with pytest.raises(StrataError) as caught:
        match_labels(["null", "x: y"], labels, None, "M")
    written = str(caught.value).partition("label_map: ")[2].rpartition(" in the model's")[0]
    assert yaml.safe_load(written) == dict(zip(["null", "x: y"], labels, strict=True))


def test_labels_of_one_name_are_refused():
    with pytest.raises(StrataError, match="gives several of its labels the same name .a, a, b."):
        match_labels(["a", "a", "b"], ["x", "y", "z"], None, "M")


def test_a_map_says_it_by_hand():
    label_map = {"x": "entailment", "y": "Can't tell", "z": "not_entailment"}
    found = match_labels(["x", "y", "z"], LABELS, label_map, "M")
    assert found == LabelOrder(["x", "y", "z"], [2, 0, 1], "label_map")


@pytest.mark.parametrize(
    "label_map",
    [
        {"x": "entailment", "y": "entailment", "z": "not_entailment"},
        {"x": "entailment", "y": "Can't tell"},
        {"x": "entailment", "y": "Can't tell", "w": "not_entailment"},
    ],
)
def test_a_map_that_is_not_one_to_one_is_refused(label_map):
    with pytest.raises(StrataError, match="label_map of M must name each label"):
        match_labels(["x", "y", "z"], LABELS, label_map, "M")


def answers(rng, labels: np.ndarray, classes: int, accuracy: float) -> np.ndarray:
    right = rng.random(len(labels)) < accuracy
    return np.where(right, labels, (labels + rng.integers(1, classes, len(labels))) % classes)


def test_swapped_labels_are_found_and_named():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=120)
    swapped = np.array([1, 0, 2])[answers(rng, labels, 3, 0.85)]
    found = better_order(labels, swapped, 3, SAMPLING)
    assert found.meant == [1, 0, 2] and found.low > 0 and found.gain > 0.3 and found.n == 60
    order = LabelOrder(["LABEL_0", "LABEL_1", "LABEL_2"], [0, 1, 2], "position")
    assert suggested_map(order, ["a", "b", "c"], found) == (
        "label_map: {LABEL_0: b, LABEL_1: a, LABEL_2: c}"
    )


def test_the_suggestion_speaks_of_outputs_whatever_matched_them():
    """Outputs z, x, y were taken for a, b, c by name; they mean b, a, c."""
    order = LabelOrder(["b", "c", "a"], [2, 0, 1], "name")
    found = better_order(np.tile([0, 1, 2], 40), np.tile([1, 0, 2], 40), 3, SAMPLING)
    assert suggested_map(order, ["a", "b", "c"], found) == "label_map: {b: a, c: c, a: b}"


@pytest.mark.parametrize("accuracy", [0.4, 0.5, 0.7, 0.95])
@pytest.mark.parametrize(("classes", "n"), [(2, 40), (2, 400), (5, 100)])
def test_labels_in_order_are_seldom_called_swapped(accuracy, classes, n):
    """The order is right, and the model guesses or is good: every alarm is an error."""
    rng = np.random.default_rng(classes * n)
    accuracy = max(accuracy, 1 / classes)
    alarms = 0
    for _ in range(200):
        labels = rng.integers(classes, size=n)
        predicted = answers(rng, labels, classes, accuracy)
        alarms += better_order(labels, predicted, classes, Sampling(100, 0.95)) is not None
    assert alarms <= 10  # of 200: at most 2.5 % expected, if all guesses are equally good


@pytest.mark.parametrize("count", [1, 6, 38])
def test_few_examples_say_nothing(count):
    labels = np.arange(count) % 2
    assert better_order(labels, 1 - labels, 2, SAMPLING) is None


def test_labels_that_were_right_keep_their_places():
    """0 and 1 are swapped; of 2 and 3, both rare, chance alone would change the places."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.integers(2, size=300), [2, 3] * 3])
    answered = np.where(labels < 2, 1 - labels, np.where(rng.random(306) < 0.5, 2, 3))
    assert better_order(labels, answered, 4, SAMPLING).meant[:2] == [1, 0]
    assert better_order(labels, answered, 4, SAMPLING).meant[2:] == [2, 3]
