"""Which layers to keep: several methods, each with a layer set of every size.

- ``top``: the lowest layers (truncation).
- ``span``: all layers except the contiguous span that costs least (measured).
- ``greedy``: starting from the whole model, the layer that costs least is left out, repeatedly
  (measured).
- ``skipping``: without the layers that cost least when skipped alone (measured).
- ``block-influence``: without the layers that turn vectors least (Men et al. 2024).
- ``angular``: without the span over which vectors turn least (Gromov et al. 2024).
- ``cka``: without the layers whose depth is most like the one below.
- ``every``: the best of all sets of a size (measured), for models with few layers.

"Measured" means the score on examples that choose and do not judge; ties are broken by the mean
loss. No method leaves out layers that a plain checkpoint cannot do without.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata.analysis.calibration import mean_loss
from strata.analysis.layer_geometry import Geometry
from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.predictions import by_example, decide
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.layer_sets import STACK_ROWS, read_sets
from strata.runtime.progress import Progress
from strata.study.layer_sets import METHODS, Layers, LayerSet
from strata.study.settings import ForwardSettings

COLUMNS = ["method", "size", "layers", "score", "loss", "n_examples"]


class Measured(NamedTuple):
    """How good a set is on the examples that choose; larger is better."""

    score: float
    gain: float  # minus the mean loss


Measure = Callable[[Sequence[LayerSet]], dict[LayerSet, Measured]]


@dataclass
class Measuring:
    """A run without some of its layers, on examples that choose; each set runs once."""

    encoder: Encoder
    head: Head
    rows: Rows
    task: Task
    forward: ForwardSettings
    known: dict[LayerSet, Measured] = field(default_factory=dict)

    def __call__(self, sets: Sequence[LayerSet]) -> dict[LayerSet, Measured]:
        """Measure these sets; new ones run together."""
        if new := sorted({kept for kept in sets if kept not in self.known}):
            self._run(new)
        return {kept: self.known[kept] for kept in sets}

    def _run(self, sets: Sequence[LayerSet]) -> None:
        rows, labels = self.rows, self.rows.examples["label"].to_numpy()
        logits = torch.empty(len(sets), len(rows), self.task.num_labels)
        progress = Progress(len(rows), f"rows, {len(sets)} layer sets")

        def work(chosen: np.ndarray, inputs: dict[str, Tensor], _: Tensor) -> None:
            kept, most = [each.layers for each in sets], min(STACK_ROWS, rows.max_rows)
            read = read_sets(self.encoder, inputs, kept, most)
            for place, each in enumerate(kept):
                logits[place, torch.from_numpy(chosen)] = self.head(read[each]).float().cpu()
            progress.advance(len(chosen))

        with inference(self.forward.precision):
            for window in rows.windows():
                rows.each_batch(window, self.forward.batch_size, device(), work)
        for kept, own in zip(sets, by_example(logits, self.task), strict=True):
            value = score(self.task.metric, labels, decide(own, self.task)).value
            loss = mean_loss(labels, own.double().numpy(), self.task)
            self.known[kept] = Measured(*np.nan_to_num([value, -loss], nan=-np.inf).tolist())

    def table(self) -> pd.DataFrame:
        """Everything that was measured: columns layers, size, score, loss, n_examples."""
        records = [
            {"layers": str(kept), "size": len(kept), "score": found.score, "loss": -found.gain}
            for kept, found in sorted(self.known.items())
        ]
        return pd.DataFrame(records).assign(n_examples=len(self.rows.examples))


def propose(
    layers: Layers, geometry: Geometry, measure: Measure, most_layers: int
) -> dict[tuple[str, int], LayerSet]:
    """The set of each method and number of layers kept, for every size below L.

    Parameters
    ----------
    most_layers : int
        The largest number of layers with which all of a model's sets are measured.
    """
    top = {("top", size): LayerSet.top_cut(size) for size in range(1, layers.count)}
    if layers.shared or layers.count == 1:
        return top  # only the number of layers counts
    every = layers.every_set() if layers.count <= most_layers else []
    measure(every)
    alone = _without_each(layers.whole, layers)
    cost = {kept: found for kept, found in measure(list(alone.values())).items()}
    turning = dict(enumerate(geometry.influence, start=1))
    # Undefined ones come last.
    unlike = dict(enumerate(np.nan_to_num(1 - geometry.neighbours, nan=np.inf), start=1))
    worth = {k: tuple(-part for part in cost[kept]) for k, kept in alone.items()}
    found = [
        ("span", _best_by_size(_spans(layers), measure)),
        ("greedy", _greedy(layers, measure)),
        ("skipping", _ranked(layers, lambda k: worth.get(k, (np.inf, np.inf)))),
        ("block-influence", _ranked(layers, turning.__getitem__)),
        ("angular", _least_turned(layers, geometry.angles)),
        ("cka", _ranked(layers, unlike.__getitem__)),
        ("every", _best_by_size(every, measure)),
    ]
    return top | {(method, len(kept)): kept for method, sets in found for kept in sets}


def proposals(found: dict[tuple[str, int], LayerSet], measuring: Measuring) -> pd.DataFrame:
    """The sets that were found, with their scores on the examples that choose (COLUMNS)."""
    measured = measuring(list(dict.fromkeys(found.values())))
    order = sorted(found, key=lambda key: (-key[1], METHODS.index(key[0])))
    records = [
        {
            "method": method,
            "size": size,
            "layers": str(found[method, size]),
            "score": measured[found[method, size]].score,
            "loss": -measured[found[method, size]].gain,
            "n_examples": len(measuring.rows.examples),
        }
        for method, size in order
    ]
    return pd.DataFrame(records, columns=COLUMNS)


def _allowed(sets: Iterable[LayerSet], layers: Layers) -> list[LayerSet]:
    return [kept for kept in sets if not layers.refusal(kept)]


def _without_each(kept: LayerSet, layers: Layers) -> dict[int, LayerSet]:
    """The set without each layer, by layer, where that is possible."""
    smaller = {layer: kept.without([layer]) for layer in kept.layers}
    return {layer: each for layer, each in smaller.items() if not layers.refusal(each)}


def _spans(layers: Layers) -> list[LayerSet]:
    """The model without each contiguous span, except the span of all layers."""
    count = layers.count
    ends = [(i, j) for i in range(1, count + 1) for j in range(i, count + 1) if j - i + 1 < count]
    return _allowed((layers.whole.without(range(i, j + 1)) for i, j in ends), layers)


def _best_by_size(sets: Sequence[LayerSet], measure: Measure) -> list[LayerSet]:
    """The best set of each size; the first among equals."""
    best: dict[int, LayerSet] = {}
    measured = measure(sets)
    for kept in sorted(sets):
        if len(kept) not in best or measured[kept] > measured[best[len(kept)]]:
            best[len(kept)] = kept
    return list(best.values())


def _greedy(layers: Layers, measure: Measure) -> list[LayerSet]:
    """Sets of L - 1, L - 2, … 1 layers, each without one layer of the previous set."""
    found, kept = [], layers.whole
    while len(kept) > 1:
        (kept,) = _best_by_size(list(_without_each(kept, layers).values()), measure)
        found.append(kept)
    return found


def _ranked(layers: Layers, cost: Callable[[int], float | tuple[float, ...]]) -> list[LayerSet]:
    """Sets without the layers of lowest cost, as far as possible; among equals the upper goes."""
    found, kept = [], layers.whole
    while len(kept) > 1:
        smaller = _without_each(kept, layers)
        costs = {layer: np.atleast_1d(cost(layer)).tolist() for layer in sorted(smaller)[::-1]}
        kept = smaller[min(costs, key=costs.__getitem__)]
        found.append(kept)
    return found


def _least_turned(layers: Layers, angles: np.ndarray) -> list[LayerSet]:
    """For each size, the model without the span over which vectors turn least."""
    found: dict[int, tuple[float, LayerSet]] = {}
    for kept in _spans(layers):
        gone = sorted({*layers.whole.layers} - {*kept.layers})
        angle = float(angles[gone[0] - 1, gone[-1]])
        if len(kept) not in found or angle < found[len(kept)][0]:
            found[len(kept)] = (angle, kept)
    return [kept for _, kept in found.values()]
