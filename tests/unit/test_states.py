"""States: the weights behind a representation; the string parses and prints back."""

import re

import pytest

from strata.study.states import PRETRAINED, State
from strata.study.variants import Variant


@pytest.mark.parametrize(
    ("text", "seed"), [("pretrained", None), ("full-seed1", 1), ("full_n500-seed12", 12)]
)
def test_a_state_parses_and_prints_back(text, seed):
    assert str(State.parse(text)) == text and State.parse(text).seed == seed


def test_the_state_of_a_seed_is_that_of_full_fine_tuning():
    assert State.of_seed(3) == State(Variant(), 3) == State.parse("full-seed3")
    assert State.parse("pretrained") == PRETRAINED == State()


@pytest.mark.parametrize("text", ["", "full", "full-seed", "seed1", "FULL-seed1", "full-seed1.h5"])
def test_what_is_no_state_is_refused_by_name(text):
    with pytest.raises(ValueError, match=f"'{re.escape(text)}' is not a state"):
        State.parse(text)


def test_only_runs_with_a_checkpoint_have_a_state_in_paths():
    assert re.fullmatch(State.KEPT, "full-seed1") and re.fullmatch(State.KEPT, "pretrained")
    assert not re.fullmatch(State.KEPT, "reinit1-2-seed1")
