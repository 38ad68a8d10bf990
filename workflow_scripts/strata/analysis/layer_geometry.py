"""How alike an encoder's depths are, from one forward pass, by which some methods choose layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor

from strata.analysis.cka import alignment
from strata.analysis.dump import turn
from strata.data.batches import Rows
from strata.modeling.compute import device, inference
from strata.modeling.encoder import Encoder
from strata.study.settings import ForwardSettings


@dataclass(frozen=True)
class Geometry:
    """How far layers turn vectors, and how alike neighbouring depths are.

    Attributes
    ----------
    influence : ndarray of shape (L,)
        Block Influence of each layer (Men et al. 2024, equation 1): 1 minus the mean, over tokens
        and rows, of the cosine between a token's vectors before and after the layer.
    angles : ndarray of shape (L + 1, L + 1)
        Above the diagonal, the mean of arccos(cosine) / pi between two depths (Gromov et al. 2024,
        equation 4; they use the last token, this all tokens).
    neighbours : ndarray of shape (L,)
        Debiased CKA between depths k - 1 and k, of what heads read before the final norm; NaN if
        one of them does not vary between examples (the first token at depth 0).
    """

    influence: np.ndarray
    angles: np.ndarray
    neighbours: np.ndarray


def layer_geometry(encoder: Encoder, rows: Rows, forward: ForwardSettings) -> Geometry:
    """The geometry of an encoder on all of these rows; cosines leave out special tokens."""
    depths = encoder.num_layers + 1
    pairs = list(combinations(range(depths), 2))
    turned = np.full((2, len(pairs), len(rows)), np.nan, dtype=np.float32)
    pooled: list[np.ndarray] = []

    def work(chosen: np.ndarray, inputs: dict[str, Tensor], plain: Tensor) -> None:
        hidden = list(encoder.hidden_states(inputs))
        if not pooled:
            width = hidden[0].shape[-1]
            pooled.extend(np.empty((len(rows), width), dtype=np.float32) for _ in hidden)
        for place, states in zip(pooled, hidden, strict=True):
            place[chosen] = encoder.pool(states, inputs).float().cpu().numpy()
        turns = torch.stack([turn(hidden[i], hidden[j], plain) for i, j in pairs], 1)
        turned[..., chosen] = turns.cpu().numpy()

    with inference(forward.precision):
        for window in rows.windows():
            rows.each_batch(window, forward.batch_size, device(), work)
    cosines, arcs = (np.asarray(np.nanmean(each, 1, dtype=np.float64)) for each in turned)
    by_pair = dict(zip(pairs, cosines, strict=True))
    angles = np.full((depths, depths), np.nan)
    for (below, above), arc in zip(pairs, arcs, strict=True):
        angles[below, above] = arc
    return Geometry(
        influence=np.array([1 - by_pair[k - 1, k] for k in range(1, depths)]),
        angles=angles,
        neighbours=_neighbours(pooled, rows.choices),
    )


def _neighbours(pooled: Sequence[np.ndarray], choices: int) -> np.ndarray:
    """Debiased CKA of each depth with the one below, (L,)."""
    both = (alignment(a[None], b[None], choices=choices) for a, b in pairwise(pooled))
    return np.array([each.debiased[0, 0] for each in both])
