"""Means over seeds with the runs that failed, to stand beside the means without them.

An answer is about runs that learned their task, so it leaves failed runs out. Which runs those are
is a result of fine-tuning, too: a table also says what the same number is over every run.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from strata.study.run_records import RunMetrics

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


def truncation_of_all_runs(
    truncation: pd.DataFrame,
    configuration: str,
    depth: float | None,
    runs: Mapping[int, RunMetrics],
) -> dict[str, float]:
    """Mean scores of a pair's runs, failed ones among them.

    Parameters
    ----------
    truncation : the pair's truncation table.
    depth : the depth that the answer names; None where it names none.
    runs : seed -> metrics.json.

    Returns
    -------
    ``full_all_runs`` of the full models, ``value_all_runs`` at the depth and their difference
    ``difference_all_runs``, the last two NaN without a depth.
    """
    full = float(np.mean([run.score for run in runs.values()]))
    cut = (truncation["configuration"] == configuration) & (truncation["depth"] == depth)
    value = float(truncation.loc[cut, "value"].mean())
    means = {"full": full, "value": value, "difference": value - full}
    return {name + ALL_RUNS: mean for name, mean in means.items()}
