"""Means over seeds with the runs that failed, to stand beside the means without them.

An answer is about runs that learned their task, so it leaves failed runs out. Which runs those are
is a result of fine-tuning, too: a table also says what the same number is over every run.
"""

import pandas as pd

ALL_RUNS = "_all_runs"


def with_every_run(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose runs all count, as if none had failed."""
    return table.assign(failed=False)


def beside_all_runs(without: pd.DataFrame, every: pd.DataFrame, key: str) -> pd.DataFrame:
    """`without`, and each column that the runs change once more, over every run.

    Parameters
    ----------
    without, every : the same columns and rows, `key` first; means without the runs that failed, and
        with them.

    Returns
    -------
    the columns of `without`, then those of `every` but `key`, named ``<column>_all_runs``.
    """
    return without.merge(every.set_index(key).add_suffix(ALL_RUNS), on=key, validate="one_to_one")
