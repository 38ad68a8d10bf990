"""Two activation files compared, depth by depth, as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.analysis.cka import alignment
from strata.analysis.half_samples import FEWEST, half_samples, standard_error
from strata.runtime.errors import StrataError
from strata.study.settings import CkaSettings

FEW = 50  # examples; with fewer, debiased CKA is too inaccurate to read


def cka_table(
    y: Activations, x: Activations, identity: Mapping[str, Any], settings: CkaSettings
) -> pd.DataFrame:
    """CKA of all depths of two open activation files, with both estimators and every pooling.

    Parameters
    ----------
    y, x : Activations
        Representations of the same examples.
    identity : mapping of str to object
        Columns that identify the comparison.

    Returns
    -------
    DataFrame
        Those columns, y_depth, x_depth, pooling, estimator, n (rows compared), n_examples, cka, se
        (its standard error over examples, from half-samples; NaN if they are too few or CKA is
        undefined in them), note (what a reader must know, or empty).

    Raises
    ------
    StrataError
        The files contain different examples, or too few for CKA.
    """
    examples = y.examples()
    if not examples.equals(x.examples()):
        raise StrataError(
            f"{y.path} and {x.path} contain different examples; delete both and run again."
        )
    if len(examples) < 4:
        raise StrataError(f"CKA needs at least 4 examples, but {y.path} has {len(examples)}.")
    gold = settings.choice == "gold" and y.choices > 1
    rows = gold_rows(examples["label"], y.choices) if gold else slice(None)
    choices = 1 if gold else y.choices
    notes = list(_notes(len(examples), gold))
    for note in notes:
        print(f"Warning: {note}.", flush=True)
    identity = {**identity, "n": len(examples) * choices, "n_examples": len(examples)}
    parts = []
    for pooling in (p for p in y.poolings if p in x.poolings):
        vectors_y = y.vectors(pooling)[:, rows]
        vectors_x = vectors_y if x.path == y.path else x.vectors(pooling)[:, rows]
        depths = y.depths(pooling), x.depths(pooling)
        for estimator, values in _both_estimators(vectors_y, vectors_x, choices, settings):
            part = pd.DataFrame({name: _long(matrix) for name, matrix in values.items()})
            part["y_depth"], part["x_depth"] = (
                _long(own) for own in np.meshgrid(*depths, indexing="ij")
            )
            parts.append(part.assign(**identity, pooling=pooling, estimator=estimator))
    columns = ["y_depth", "x_depth", "pooling", "estimator", "n", "n_examples", "cka", "se"]
    table = pd.concat(parts, ignore_index=True)
    table["note"] = "; ".join(notes)
    return table[[*(name for name in identity if name not in columns), *columns, "note"]]


def _notes(examples: int, gold: bool) -> Iterator[str]:
    if examples < FEW:
        yield f"fewer than {FEW} examples, CKA and its error are rough"
    if gold:
        yield "gold choices alone, what tells right from wrong is left out"


def _both_estimators(
    y: np.ndarray, x: np.ndarray, choices: int, settings: CkaSettings
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each estimator's name, CKA and standard error, both (depths of y, depths of x)."""
    both = alignment(y, x, settings.memory_mb, choices)
    enough = y.shape[1] // choices >= FEWEST
    halves = (
        half_samples(y, x, settings.resamples, 0, settings.memory_mb, choices) if enough else None
    )
    for estimator in ("biased", "debiased"):
        cka = getattr(both, estimator)
        se = np.full_like(cka, np.nan)
        if halves is not None:
            se = standard_error(getattr(halves, estimator), halves.scale)
        yield estimator, {"cka": cka, "se": se}


def _long(matrix: np.ndarray) -> np.ndarray:
    """Flattened by column: all depths of y with x's first depth, then with its second."""
    return matrix.T.ravel()


def gold_rows(labels: pd.Series, choices: int) -> np.ndarray:
    """Row indices of each example's gold choice."""
    first = np.arange(len(labels)) * choices
    return first + labels.to_numpy() if choices > 1 else first
