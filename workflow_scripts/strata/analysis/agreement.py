"""What each method says about each layer, and whether the methods agree.

Four are a loss of score: all layers above a depth are cut, with the head as it is (``untuned``) or
tuned there (``tuned``); one layer is skipped (``skipping``); its block is trained from new weights
(``reinit``). Two are properties of a representation: how much it differs from that of the last
depth after fine-tuning (``cka``), and how unspecialised it is before (``variability``, nu). Two say
how far a layer turns the representation (``analysis.movement``): ``block_influence`` and
``angular_distance``.
"""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.block_tables import MadeBlocks, block_words, made_blocks
from strata.analysis.correlations import MIN_TASKS, Relation, relate
from strata.analysis.summary import smallest_depth
from strata.study.settings import Sampling, SummarySettings
from strata.study.states import PRETRAINED

METHODS = (
    "cka", "untuned", "tuned", "skipping", "reinit", "variability",
    "block_influence", "angular_distance",
)  # fmt: skip


def layer_table(
    cka: pd.DataFrame,
    truncation: pd.DataFrame,
    skipping: pd.DataFrame,
    reinit: pd.DataFrame | None,
    nu: pd.DataFrame,
    movement: pd.DataFrame,
) -> pd.DataFrame:
    """One row per depth of a model and task, with every method's number for it.

    Parameters
    ----------
    cka, truncation, skipping : DataFrame
        The pair's tables; failed runs are left out. As in the summary, TUNED is the better of its
        two recipes at each depth (configuration ``tuned-best``).
    reinit : DataFrame or None
        Columns seed, depth, cost (``reinit.layer_costs``); None if there is no such table.
    nu : DataFrame
        The pair's variability table.
    movement : DataFrame
        The pair's movement table (``movement.movement_table``), with failed runs flagged.

    Returns
    -------
    DataFrame
        Columns depth and one per method: means over the seeds that did not fail, NaN where a method
        has no value; and n_examples and seeds, which examples and runs they are from.
    """
    layers = int(nu["depth"].max())
    similarity = mean_similarity(cka, layers)
    kept = truncation[~truncation["failed"].astype(bool)]
    full = kept[kept["configuration"] == "full"].set_index("seed")["value"]
    columns = {"cka": pd.Series(1 - similarity[:, -1], range(1, layers + 1))}
    for method, configuration in (("untuned", "untuned"), ("tuned", "tuned-best")):
        scores = kept[kept["configuration"] == configuration]
        lost = scores["seed"].map(full) - scores["value"]
        columns[method] = lost.groupby(scores["depth"]).mean()
    single = skipping[(skipping["first"] == skipping["last"]) & ~skipping["failed"]]
    columns["skipping"] = (single["full"] - single["value"]).groupby(single["first"]).mean()
    if reinit is not None:
        columns["reinit"] = reinit.groupby("depth")["cost"].mean()
    columns["variability"] = nu.set_index("depth")["nu"]
    turned = movement[~movement["failed"].astype(bool)].groupby("depth")
    for method in ("block_influence", "angular_distance"):
        columns[method] = turned[method].mean()
    table = pd.DataFrame(columns, index=pd.RangeIndex(1, layers + 1, name="depth"))
    table = table.reindex(columns=list(METHODS)).reset_index()
    seeds = " ".join(str(seed) for seed in full.index.astype(int))
    return table.assign(n_examples=truncation["n_examples"].max(), seeds=seeds)


def mean_similarity(cka: pd.DataFrame, layers: int) -> np.ndarray:
    """Debiased CKA of the fine-tuned encoder with itself (FT-FT), the mean over seeds, (L, L).

    Failed runs are left out; all values are NaN if every run failed.
    """
    wanted = cka[
        (cka["y_state"] == cka["x_state"])
        & (cka["y_state"] != str(PRETRAINED))
        & (cka["estimator"] == "debiased")
        & (cka["pooling"] == "raw")
        & ~cka["failed"]
    ]
    wide = wanted.pivot_table("cka", "y_depth", "x_depth", dropna=False)
    depths = range(1, layers + 1)
    return wide.reindex(index=depths, columns=depths).to_numpy(dtype=float)


def with_blocks(table: pd.DataFrame, made: MadeBlocks) -> pd.DataFrame:
    """The depths' table with ``block``: early or late, if fine-tuning made such blocks."""
    late, depth = made.late_begin or made.two_late_begin, table["depth"]
    block = np.full(len(table), "", dtype=object)
    if made.early_begin is not None and made.early_end is not None:
        block[depth.between(made.early_begin, made.early_end)] = "early"
    if late is not None:
        block[depth >= late] = "late"
    return table.assign(block=block)


def suggested_depths(
    table: pd.DataFrame, made: MadeBlocks, tolerance: float
) -> dict[str, int | None]:
    """The depth to which each method would cut the model.

    cka: the first depth of the late block, if fine-tuning made one. untuned, tuned: the smallest
    depth such that neither it nor any depth above it loses more than `tolerance`. skipping, reinit:
    the last layer whose loss costs more. variability: the depth with the lowest nu. The other
    methods rank layers and suggest no depth.
    """
    depths: dict[str, int | None] = dict.fromkeys(METHODS)
    layers = table["depth"].to_numpy()
    depths["cka"] = made.late_begin
    for method in ("untuned", "tuned"):
        if table[method].notna().all():
            scores = dict(zip(layers.tolist(), (-table[method]).tolist(), strict=True))
            depths[method] = smallest_depth(scores, 0.0, tolerance)
    for method in ("skipping", "reinit"):
        if table[method].notna().all():
            needed = layers[table[method].to_numpy() > tolerance + 1e-9]
            depths[method] = int(needed.max()) if len(needed) else 0
    if table["variability"].notna().any():
        depths["variability"] = int(layers[np.nanargmin(table["variability"].to_numpy())])
    return depths


def pair_finding(
    model: str, task: str, table: pd.DataFrame, blocks: pd.DataFrame, settings: SummarySettings
) -> dict[str, Any]:
    """One row: the blocks that fine-tuning made, each method's depth, and the finding in words.

    Parameters
    ----------
    table : DataFrame
        The pair's table from ``layer_table``.
    blocks : DataFrame
        The pair's table from ``block_tables.blocks_table``.
    """
    made = made_blocks(blocks)
    depths = suggested_depths(table, made, settings.tolerance)
    said = block_words(blocks)
    lead = f"{model} on {task}"
    runs = f"n={table['n_examples'].iloc[0]}, seeds {table['seeds'].iloc[0]}"
    return {
        "model": model,
        "task": task,
        "layers": len(table),
        **asdict(made),
        **{f"depth_{method}": depths[method] for method in METHODS},
        "finding": f"{lead}: {finding_words(len(table), said, depths, settings.tolerance, runs)}.",
    }


def finding_words(
    layers: int,
    blocks: str,
    depths: Mapping[str, int | None],
    tolerance: float,
    runs: str,
) -> str:
    """The finding in words, from the numbers alone.

    Parameters
    ----------
    blocks : str
        What was found about blocks, in words.
    depths : mapping of str to int or None
        The depth that each method suggests.
    runs : str
        The number of examples and the seeds, in words.
    """
    if depths["untuned"] is None:
        return "every run failed, so there is nothing to say of its layers"
    points = f"{100 * tolerance:g} point{'' if tolerance == 0.01 else 's'}"
    kept = ", ".join(f"{m.upper()} {_kept_from(depths[m], layers)}" for m in ("untuned", "tuned"))
    words = f"{blocks}; within {points} of the full score in these runs ({runs}): {kept}"
    for method, name in (("skipping", "skipping one layer"), ("reinit", "new weights for a block")):
        if depths[method] == 0:
            words += f"; {name} never costs more than that"
        elif depths[method] is not None:
            words += f"; {name} costs more than that up to layer {depths[method]}"
    if depths["variability"] is not None:
        words += f"; variability is lowest at depth {depths['variability']}"
    return words


def method_correlations(tables: pd.DataFrame, sampling: Sampling) -> pd.DataFrame:
    """Whether two methods' curves rise and fall at the same layers, in each model.

    Parameters
    ----------
    tables : DataFrame
        ``layer_table`` of every pair, with added columns model and task.
    sampling : Sampling
        The number of orders of depths for p, and the intervals' confidence.

    Returns
    -------
    DataFrame
        One row per model and pair of methods: increment_spearman, low, high, p, orders, tasks,
        tasks_sd, increments (``correlations.relate``), the finding in words; and trend_spearman,
        the correlation of the values themselves, which any two curves that fall with depth have, so
        that it is evidence of nothing.
    """
    records = []
    for model, of_model in tables.groupby("model", sort=False):
        wide = {m: of_model.pivot(index="task", columns="depth", values=m) for m in METHODS}
        for a, b in combinations(METHODS, 2):
            found = relate(wide[a].to_numpy(), wide[b].to_numpy(), sampling)
            records.append(
                {
                    "model": model,
                    "method_a": a,
                    "method_b": b,
                    "increment_spearman": found.value,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "orders": found.orders,
                    "tasks": found.tasks,
                    "tasks_sd": found.spread,
                    "increments": found.increments,
                    "trend_spearman": found.trend,
                    "finding": _relation_words(str(model), a, b, found, sampling.confidence),
                }
            )
    return pd.DataFrame(records)


def _relation_words(model: str, a: str, b: str, found: Relation, confidence: float) -> str:
    lead = f"in this model ({model}), {a} and {b}"
    if not found.tasks:
        return f"{lead}: no increments to correlate"
    if found.p > 1 - confidence:
        verdict = "are not shown to rise and fall at the same layers"
    else:
        verdict = f"rise and fall at {'the same' if found.value > 0 else 'opposite'} layers"
    interval = (
        f" [{found.low:z.2f}, {found.high:z.2f}]"
        if found.tasks >= MIN_TASKS
        else f", no interval below {MIN_TASKS} tasks"
    )
    return (
        f"{lead} {verdict}: rank correlation of increments {found.value:z.2f}{interval}, "
        f"p={found.p:.3f}, n={found.increments} increments in "
        f"{found.tasks} task{'' if found.tasks == 1 else 's'}"
    )


def _kept_from(depth: int | None, layers: int) -> str:
    return "only uncut" if depth == layers else f"from depth {depth} on"
