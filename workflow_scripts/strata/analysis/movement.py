"""How far each layer turns the representations, from activation files.

Block Influence (Men et al. 2024, ShortGPT): 1 minus the mean cosine between a layer's input and
output. Angular distance (Gromov et al. 2024): the mean of arccos(cosine) / pi, here for one layer;
they use the last token of a decoder. Both are larger for a layer that turns its input farther.

Ours are means over the tokens that are neither padding nor special, first within a row (an example,
or one of its choices), then over rows, so that each row has the same weight.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.study.run_records import RunMetrics


def layer_turns(activations: Activations) -> pd.DataFrame:
    """One row per depth k of one state: how far layer k turns the representations.

    Returns
    -------
    DataFrame
        Columns depth (1..L), block_influence (0 to 2), angular_distance (0 to 1), n (rows that have
        tokens).
    """
    cosine, angle = (activations.turns(name).astype(float) for name in ("cosine", "angle"))
    there = np.isfinite(cosine).all(0)
    return pd.DataFrame(
        {
            "depth": range(1, len(cosine) + 1),
            "block_influence": 1 - cosine[:, there].mean(1),
            "angular_distance": angle[:, there].mean(1),
            "n": int(there.sum()),
        }
    )


def movement_table(
    identity: Mapping[str, Any],
    turns: Mapping[int, pd.DataFrame],
    runs: Mapping[int, RunMetrics],
) -> pd.DataFrame:
    """``layer_turns`` of a model's runs on a task in one table, with failed runs flagged.

    Parameters
    ----------
    identity : mapping of str to object
        Columns that identify the model and task.
    turns : mapping of int to DataFrame
        The table from ``layer_turns`` of each seed's run.
    runs : mapping of int to RunMetrics
        The metrics of each seed's run.
    """
    parts = [
        layers.assign(**identity, seed=seed, failed=runs[seed].failed)
        for seed, layers in turns.items()
    ]
    columns = [
        *identity, "seed", "depth", "block_influence", "angular_distance", "n", "failed",
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)[columns]
