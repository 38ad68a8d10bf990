"""How often a procedure is wrong: counted in simulations, compared with what is promised.

`make test` repeats each simulation a few times; `make errors` (STRATA_ERRORS=1) repeats it as often
as the tables in docs/errors.md say, and writes these.
"""

import os
import re
from pathlib import Path

import pandas as pd
from filelock import FileLock
from scipy.stats import binom

WHOLE = os.environ.get("STRATA_ERRORS") == "1"
PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def repeats(few: int, whole: int) -> int:
    """How often to repeat: a few times in `make test`, as often as published in `make errors`."""
    return whole if WHOLE else few


def at_most(rate: float, count: int) -> int:
    """The largest number of `count` repeats that may be wrong: 18 of 200, 37 of 500 at 5 %.

    A procedure that is wrong at exactly that rate exceeds it once in a hundred times.
    """
    return int(binom.ppf(0.99, count, rate))


def at_least(rate: float, count: int) -> int:
    """The smallest number of `count` repeats that must be right: 182 of 200 at 95 %."""
    return count - at_most(1 - rate, count)


def publish(name: str, table: pd.DataFrame) -> None:
    """Write a table into its place in docs/errors.md, if `make errors` is running.

    Parameters
    ----------
    name : str
        The place is between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.
    """
    if not WHOLE:
        return
    with FileLock(f"{PAGE}.lock"):
        text = PAGE.read_text(encoding="utf-8")
        place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{PAGE} has no place for a table '{name}'")
        lines = markdown(table)
        PAGE.write_text(
            place.sub(lambda found: f"{found[1]}{lines}{found[2]}", text), encoding="utf-8"
        )


def markdown(table: pd.DataFrame) -> str:
    """A table with its columns' names as a header, numbers right-aligned."""
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    rows = [
        list(table.columns),
        ["---:" if right else "---" for right in numeric],
        *[[_cell(value) for value in row] for row in table.itertuples(index=False)],
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
