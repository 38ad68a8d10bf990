"""Results of the runs of partial reinitialisation, from their tables (Tamkin et al. 2020)."""

from itertools import combinations

import pandas as pd

from strata.analysis.correlations import correlate
from strata.study.settings import Sampling
from strata.study.variants import Variant

CORRELATION_COLUMNS = [
    "model", "task_a", "task_b", "kind", "correlation", "low", "high", "p", "n",
]  # fmt: skip


def permutation_correlations(table: pd.DataFrame, sampling: Sampling) -> pd.DataFrame:
    """How similar the scores of the same permutations are on two tasks.

    Parameters
    ----------
    table : DataFrame
        Rows of the part ``permutation``: model, task, series, position, seed, value.

    Returns
    -------
    DataFrame
        One row per model, pair of tasks and kind (spearman, pearson); n is the number of
        permutations, each with the mean over its seeds. Permutations are drawn independently, so
        they are the units of Fisher's interval and of p, which counts the ways to pair one task's
        scores with the other's (``correlations.correlate``). A bootstrap of so few would be too
        narrow.
    """
    permuted = table[table["series"] == "permuted"]
    means = permuted.pivot_table("value", ["model", "position"], "task", sort=False)
    records = []
    for model, scores in means.groupby(level="model", sort=False):
        for a, b in combinations(scores.columns, 2):
            both = scores[[a, b]].dropna()
            for kind in ("spearman", "pearson"):
                r = correlate(both[a].to_numpy(), both[b].to_numpy(), kind == "spearman", sampling)
                records.append([model, a, b, kind, r.value, r.low, r.high, r.p, len(both)])
    return pd.DataFrame(records, columns=CORRELATION_COLUMNS)


def layer_costs(localized: pd.DataFrame) -> pd.DataFrame:
    """What reinitialising a layer's block costs: the plain run's score minus that run's.

    Parameters
    ----------
    localized : DataFrame
        Rows of the part ``localized`` of one model and task.

    Returns
    -------
    DataFrame
        Columns seed, depth, cost: the mean over the blocks that contain the layer. Seeds whose
        plain run failed are left out, since there was nothing to lose.
    """
    plain = localized[(localized["series"] == "full") & ~localized["failed"]]
    full = plain.set_index("seed")["value"]
    there = (localized["series"] == "reinit") & localized["seed"].isin(full.index)
    runs = localized.loc[there, ["seed", "variant", "value"]].to_dict("records")
    records = [
        (run["seed"], depth, full[run["seed"]] - run["value"])
        for run in runs
        for depth in Variant.parse(run["variant"]).span
    ]
    costs = pd.DataFrame(records, columns=["seed", "depth", "cost"])
    return costs.groupby(["seed", "depth"], as_index=False)[["cost"]].mean()
