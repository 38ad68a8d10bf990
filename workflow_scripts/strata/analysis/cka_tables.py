"""Two activation files compared, depth by depth, as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.analysis.cka import alignment
from strata.runtime.errors import StrataError


def cka_table(
    y: Activations, x: Activations, identity: Mapping[str, Any], memory_mb: float, choice: str
) -> pd.DataFrame:
    """CKA of all depths of two open activation files, both estimators, every pooling of both.

    Parameters
    ----------
    y, x : of the same examples.
    identity : columns that say which comparison this is.
    choice : "all" rows of multiple-choice examples, or the "gold" choice's.

    Raises
    ------
    StrataError : the files hold different examples, or too few for CKA.
    """
    examples = y.examples()
    if not examples.equals(x.examples()):
        raise StrataError(
            f"{y.path} and {x.path} hold different examples; delete both and run again."
        )
    rows = gold_rows(examples["label"], y.choices) if choice == "gold" else slice(None)
    parts = []
    for pooling in (p for p in y.poolings if p in x.poolings):
        vectors_y = y.vectors(pooling)[:, rows]
        vectors_x = vectors_y if x.path == y.path else x.vectors(pooling)[:, rows]
        if vectors_y.shape[1] < 4:
            raise StrataError(
                f"CKA needs at least 4 representations, {y.path} has {vectors_y.shape[1]}."
            )
        both = alignment(vectors_y, vectors_x, memory_mb)
        for estimator in ("biased", "debiased"):
            matrix = pd.DataFrame(
                getattr(both, estimator), index=y.depths(pooling), columns=x.depths(pooling)
            )
            wide = matrix.rename_axis("y_depth").reset_index()
            long = wide.melt("y_depth", None, "x_depth", "cka")
            parts.append(
                long.assign(
                    **identity,
                    pooling=pooling,
                    estimator=estimator,
                    n=vectors_y.shape[1],
                    n_examples=len(examples),
                )
            )
    columns = [*identity, "y_depth", "x_depth", "pooling", "estimator", "n", "n_examples", "cka"]
    return pd.concat(parts, ignore_index=True)[columns]


def gold_rows(labels: pd.Series, choices: int) -> np.ndarray:
    """Row numbers of each example's gold choice."""
    first = np.arange(len(labels)) * choices
    return first + labels.to_numpy() if choices > 1 else first
