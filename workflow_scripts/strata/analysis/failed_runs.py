"""Means over seeds including failed runs, to be shown beside the means without them.

An answer is about runs that learned their task, so it leaves failed runs out. But which runs fail
is itself a result of fine-tuning, so a table also has the same number over every run.
"""

import pandas as pd

ALL_RUNS = "_all_runs"


def with_every_run(table: pd.DataFrame) -> pd.DataFrame:
    """A table in which all runs count, as if none had failed."""
    return table.assign(failed=False)


def beside_all_runs(without: pd.DataFrame, every: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table `without`, with columns added for the same numbers over every run.

    Parameters
    ----------
    without, every : DataFrame
        Tables with the same columns and rows, `key` first: means without failed runs, and with
        them.

    Returns
    -------
    DataFrame
        The columns of `without`, then those of `every` except `key`, named ``<column>_all_runs``.
    """
    return without.merge(every.set_index(key).add_suffix(ALL_RUNS), on=key, validate="one_to_one")
