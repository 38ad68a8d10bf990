"""What each method says about each layer, side by side, and whether the methods agree.

Four are a loss of score: all layers above a depth are cut, with the head as it is (``untuned``) or
tuned there (``tuned``); one layer is skipped (``skipping``); its block is trained from new weights
(``reinit``). Two are properties of a representation: how unlike the last depth's it is after
fine-tuning (``cka``), and how unspecialised before (``variability``, nu).
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.blocks import Boundary, boundary
from strata.analysis.correlations import correlate
from strata.analysis.summary import smallest_depth
from strata.study.states import PRETRAINED

METHODS = ("cka", "untuned", "tuned", "skipping", "reinit", "variability")


def layer_table(
    cka: pd.DataFrame,
    truncation: pd.DataFrame,
    skipping: pd.DataFrame,
    reinit: pd.DataFrame | None,
    nu: pd.DataFrame,
) -> pd.DataFrame:
    """One row a depth of a model and task: every method's number for it.

    Parameters
    ----------
    cka, truncation, skipping : the pair's tables; failed runs are left out.
    reinit : seed, depth, cost (``reinit_tables.layer_costs``), None where there is none.
    nu : the pair's variability table.

    Returns
    -------
    columns depth and one a method: means over the seeds that did not fail, NaN where a method has
    nothing to say.
    """
    layers = int(nu["depth"].max())
    similarity = mean_similarity(cka, layers)
    kept = truncation[~truncation["failed"].astype(bool)]
    full = kept[kept["configuration"] == "full"].set_index("seed")["value"]
    columns = {"cka": pd.Series(1 - similarity[:, -1], range(1, layers + 1))}
    for configuration in ("untuned", "tuned"):
        own = kept[kept["configuration"] == configuration]
        lost = own["seed"].map(full) - own["value"]
        columns[configuration] = lost.groupby(own["depth"]).mean()
    single = skipping[(skipping["first"] == skipping["last"]) & ~skipping["failed"]]
    columns["skipping"] = (single["full"] - single["value"]).groupby(single["first"]).mean()
    if reinit is not None:
        columns["reinit"] = reinit.groupby("depth")["cost"].mean()
    columns["variability"] = nu.set_index("depth")["nu"]
    table = pd.DataFrame(columns, index=pd.RangeIndex(1, layers + 1, name="depth"))
    return table.reindex(columns=list(METHODS)).reset_index()


def mean_similarity(cka: pd.DataFrame, layers: int) -> np.ndarray:
    """Debiased CKA of the fine-tuned encoder with itself (FT-FT), the mean of its seeds, [L, L].

    Failed runs are left out; all NaN where every run failed.
    """
    own = cka[
        (cka["y_state"] == cka["x_state"])
        & (cka["y_state"] != str(PRETRAINED))
        & (cka["estimator"] == "debiased")
        & (cka["pooling"] == "cls")
        & ~cka["failed"]
    ]
    wide = own.pivot_table("cka", "y_depth", "x_depth", dropna=False)
    depths = range(1, layers + 1)
    return wide.reindex(index=depths, columns=depths).to_numpy(dtype=float)


def with_blocks(table: pd.DataFrame, finding: Mapping[str, Any]) -> pd.DataFrame:
    """The depths' table with ``block``: early or late by CKA, empty where there are no blocks."""
    sides = np.where(table["depth"] <= (finding["early_block_end"] or 0), "early", "late")
    return table.assign(block=sides if finding["blocks"] else "")


def suggested_depths(
    table: pd.DataFrame, found: Boundary | None, tolerance: float
) -> dict[str, int | None]:
    """To which depth each method would cut the model.

    cka: the first depth of the late block, where there are blocks. untuned, tuned: the smallest
    depth from which on no depth loses more than `tolerance`. skipping, reinit: the last layer whose
    loss costs more. variability: where nu is lowest.
    """
    lost = table.set_index("depth")
    depths: dict[str, int | None] = dict.fromkeys(METHODS)
    if found is not None and found.blocks:
        depths["cka"] = found.depth + 1
    for method in ("untuned", "tuned"):
        if lost[method].notna().all():
            scores = (-lost[method]).to_dict()
            depths[method] = smallest_depth(scores, 0.0, tolerance)
    for method in ("skipping", "reinit"):
        if lost[method].notna().all():
            needed = lost.index[lost[method] > tolerance + 1e-9]
            depths[method] = int(needed.max()) if len(needed) else 0
    if lost["variability"].notna().any():
        depths["variability"] = int(lost["variability"].idxmin())
    return depths


def pair_finding(
    model: str,
    task: str,
    table: pd.DataFrame,
    cka: pd.DataFrame,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """One row: the blocks, each method's depth, and the finding in words.

    Parameters
    ----------
    table : the pair's ``layer_table``.
    settings : ``tolerance``, ``resamples``, ``confidence``.
    """
    found = boundary(
        mean_similarity(cka, len(table)), settings["resamples"], settings["confidence"]
    )
    depths = suggested_depths(table, found, settings["tolerance"])
    return {
        "model": model,
        "task": task,
        "layers": len(table),
        "early_block_end": found.depth if found else None,
        "strength": found.strength if found else None,
        "strength_by_chance": found.null_high if found else None,
        "p": found.p if found else None,
        "blocks": bool(found and found.blocks),
        **{f"depth_{method}": depths[method] for method in METHODS},
        "finding": finding_sentence(model, task, len(table), found, depths, settings),
    }


def finding_sentence(
    model: str,
    task: str,
    layers: int,
    found: Boundary | None,
    depths: Mapping[str, int | None],
    settings: Mapping[str, Any],
) -> str:
    """The finding in words, from the numbers alone."""
    if depths["untuned"] is None:
        return f"{model} on {task}: every run failed, so there is nothing to say of its layers."
    if found is None:
        blocks = "too few layers for blocks" if layers < 3 else "CKA is undefined"
    else:
        chance = f"{found.strength:.2f}, by chance up to {found.null_high:.2f}, p={found.p:.3f}"
        blocks = (
            f"two blocks, depths 1-{found.depth} and {found.depth + 1}-{layers} ({chance})"
            if found.blocks
            else f"no blocks beyond chance ({chance})"
        )
    points = f"{100 * settings['tolerance']:g} point{'' if settings['tolerance'] == 0.01 else 's'}"
    said = [
        f"{_depth(depths['untuned'], layers)} UNTUNED",
        f"{_depth(depths['tuned'], layers)} TUNED",
    ]
    words = f"{model} on {task}: {blocks}; within {points} it needs {' and '.join(said)}"
    for method, name in (("skipping", "skipping one layer"), ("reinit", "new weights for a block")):
        if depths[method] == 0:
            words += f"; {name} never costs more than that"
        elif depths[method] is not None:
            words += f"; {name} costs more than that up to layer {depths[method]}"
    if depths["variability"] is not None:
        words += f"; variability is lowest at depth {depths['variability']}"
    return f"{words}."


def method_correlations(tables: pd.DataFrame, resamples: int, confidence: float) -> pd.DataFrame:
    """Rank correlations between methods over the depths of each task.

    Ranks are taken within a model's task, so tasks need not be alike in level.

    Parameters
    ----------
    tables : ``layer_table`` of every pair, with columns model and task.

    Returns
    -------
    a row a model and pair of methods: spearman, low, high (bootstrap over depths within tasks),
    n (depths of all tasks), tasks.
    """
    records = []
    for model, own in tables.groupby("model", sort=False):
        for a, b in combinations(METHODS, 2):
            both = own[[a, b, "task"]].dropna()
            found = correlate(
                both[a].to_numpy(),
                both[b].to_numpy(),
                True,
                resamples,
                confidence,
                both["task"].to_numpy(),
            )
            records.append(
                {
                    "model": model,
                    "method_a": a,
                    "method_b": b,
                    "spearman": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": len(both),
                    "tasks": both["task"].nunique(),
                }
            )
    return pd.DataFrame(records)


def _depth(depth: int | None, layers: int) -> str:
    return f"all {layers} layers" if depth == layers else f"depth {depth}"
