"""The prepared token file gives what tokenising gives."""

import pandas as pd
import pytest

from helpers import tiny
from strata.data.batches import Rows
from strata.data.tokens import TokenisedRows, write_tokens

KINDS = ("classification", "regression", "multiple-choice")


@pytest.fixture
def stored(tmp_path):
    def write(kind, count=2500):
        examples = tiny.examples(kind, count)
        examples["example_id"] += 7  # ids need not start at 0 or be complete
        examples = examples[examples["example_id"] % 3 > 0].reset_index(drop=True)
        rows = Rows(tiny.tokenizer(), examples, max_length=9)
        write_tokens(tmp_path / "tokens.arrow", rows)
        return rows, tmp_path / "tokens.arrow"

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_gives_what_tokenising_gives(stored, kind):
    rows, path = stored(kind)
    again = TokenisedRows(rows.tokenizer, rows.examples, path)
    assert len(again) == len(rows)
    assert again.tokenize(slice(0, 20)) == rows.tokenize(slice(0, 20))
    some = [1300, 3, 3, len(rows.examples) - 1]
    assert again.tokenize(some) == rows.tokenize(some)


@pytest.mark.parametrize("kind", KINDS)
def test_a_subset_in_another_order_finds_its_own_rows(stored, kind):
    rows, path = stored(kind)
    chosen = rows.examples.sample(50, random_state=1).reset_index(drop=True)
    expected = Rows(rows.tokenizer, chosen, max_length=9)
    assert TokenisedRows(rows.tokenizer, chosen, path).tokenize(slice(None)) == expected.tokenize(
        slice(None)
    )


def test_batches_are_the_same(stored):
    rows, path = stored("classification", 60)
    again = TokenisedRows(rows.tokenizer, rows.examples, path)
    for one, other in zip(
        rows.batches(range(len(rows)), 8, "cpu"), again.batches(range(len(rows)), 8, "cpu"),
        strict=True,
    ):  # fmt: skip
        assert (one[0] == other[0]).all() and (one[2] == other[2]).all()
        assert all((one[1][name] == other[1][name]).all() for name in one[1])


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path):
    examples = pd.DataFrame({"example_id": [0], "text_a": [None], "label": [0]})
    with pytest.raises(Exception):  # noqa: B017 (whatever the tokenizer says)
        write_tokens(tmp_path / "tokens.arrow", Rows(tiny.tokenizer(), examples, 9))
    assert not list(tmp_path.iterdir())
