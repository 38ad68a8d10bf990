"""Examples split by purpose: nothing is in two parts, nothing is lost, order stays."""

import pandas as pd
import pytest

from strata.data.parts import halve, withhold


def examples(count: int) -> pd.DataFrame:
    return pd.DataFrame({"example_id": range(100, 100 + count), "label": 0})


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(200, 0.1, 20), (30, 0.01, 4), (5, 0.9, 4)]
)
def test_a_share_is_withheld_and_four_examples_at_least(count, share, expected):
    kept, withheld = withhold(examples(count), share)
    assert len(withheld) == expected
    check(count, kept, withheld)


@pytest.mark.parametrize("count", [8, 9, 400])
def test_halves_differ_by_one_at_most(count):
    parts = halve(examples(count))
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    check(count, *parts)


def check(count: int, first: pd.DataFrame, second: pd.DataFrame) -> None:
    both = sorted([*first["example_id"], *second["example_id"]])
    assert both == list(range(100, 100 + count))
    for part in (first, second):
        assert part["example_id"].is_monotonic_increasing and list(part.index) == [
            *range(len(part))
        ]


def test_the_parts_are_the_same_each_time_and_no_prefix():
    first, again = withhold(examples(100), 0.3), withhold(examples(100), 0.3)
    pd.testing.assert_frame_equal(first[1], again[1])
    assert first[1]["example_id"].max() > 180 and first[1]["example_id"].min() < 120
