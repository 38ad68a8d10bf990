"""Controls of the similarity of a state's depths, as a table."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.analysis.controls import Part, combined, depth_parts, pair_parts, step_part
from strata.analysis.correlations import mean_ranks
from strata.analysis.representations import Representation, half_weights
from strata.runtime.errors import StrataError
from strata.runtime.progress import Progress

MOST_EXAMPLES = 4000  # Gram matrices of all examples must fit into memory
# depth, other depth (None for measures of one depth), measure
Key = tuple[int, int | None, str]


def controls_table(activations: Activations, identity: Mapping[str, Any]) -> pd.DataFrame:
    """All measures of ``analysis.controls`` for one state, at every depth and pooling.

    With more than 4,000 examples a fixed subset of 4,000 is measured; `n` says so.

    Parameters
    ----------
    activations : Activations
        The representations of the eval examples.
    identity : mapping of str to object
        Columns that identify the state.

    Returns
    -------
    DataFrame
        The columns of `identity`, and pooling, depth, other_depth, measure, value, se, chance, n,
        n_examples. Measures of one depth have no other depth; those of two compare every depth with
        the next and with the last. `se` is the spread over half-samples of examples, empty if there
        is none; `chance` is what unrelated representations give, empty if it has no meaning; `n`
        counts rows.

    Raises
    ------
    StrataError
        There are fewer than four examples.
    """
    count = len(activations.examples())
    if count < 4:
        raise StrataError(
            f"{activations.path} has {count} examples, but comparing depths needs at least 4; "
            "raise evaluation.max_eval_examples."
        )
    chosen = np.arange(count)
    if count > MOST_EXAMPLES:
        chosen = np.sort(np.random.default_rng(0).choice(count, MOST_EXAMPLES, replace=False))
    rows = []
    for pooling in activations.poolings:
        parts: dict[Key, list[Part]] = defaultdict(list)
        for position in range(activations.choices):
            for key, part in _parts(activations, pooling, chosen, position):
                parts[key].append(part)
        for (depth, other, measure), of_positions in parts.items():
            found = combined(of_positions)
            rows.append(
                {
                    **identity,
                    "pooling": pooling,
                    "depth": depth,
                    "other_depth": other,
                    "measure": measure,
                    "value": found.value,
                    "se": found.se,
                    "chance": found.chance,
                    "n": found.n,
                    "n_examples": len(chosen),
                }
            )
    return pd.DataFrame(rows).astype({"other_depth": "Int64"})


def _parts(
    activations: Activations, pooling: str, chosen: np.ndarray, position: int
) -> Iterator[tuple[Key, Part]]:
    """Every measure at one choice position, for the chosen examples."""
    vectors, depths = activations.vectors(pooling), activations.depths(pooling)
    label, classes, is_class = labels_at(activations, chosen, position)
    rows, weights = chosen * activations.choices + position, half_weights(len(chosen))
    last_slot = len(depths) - 1
    last, before = Representation(vectors[last_slot, rows], classes, weights), None
    progress = Progress(len(depths), "depths")
    for slot, depth in enumerate(depths):
        here = last
        if slot < last_slot:
            here = Representation(vectors[slot, rows], classes, weights)
        for measure, part in depth_parts(here, label, is_class).items():
            yield (depth, None, measure), part
        if before is not None:
            yield (depth, None, "step"), step_part(before, here)
            for measure, part in pair_parts(before, here).items():
                yield (depths[slot - 1], depth, measure), part
        if slot < last_slot - 1:
            for measure, part in pair_parts(here, last).items():
                yield (depth, depths[last_slot], measure), part
        before = here
        progress.advance()


def labels_at(
    activations: Activations, chosen: np.ndarray, position: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """For the chosen examples: label (n,), class (n,), and whether the label is a class.

    For multiple choice the label is whether the choice at this position is right. Labels that are
    numbers make two classes, the lower and the upper half; equal numbers share one.
    """
    label = activations.examples()["label"].to_numpy()[chosen]
    if activations.choices > 1:
        label = (label == position).astype(int)
    if label.dtype.kind != "f":
        return label, label, True
    return label, (2 * (mean_ranks(label) - 0.5) / len(label)).astype(int), False
