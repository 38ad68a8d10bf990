"""Where an early block of layers ends and a late one begins, and whether there are blocks at all.

The papers read blocks off the maps by eye; this is an explicit criterion. For a split after depth
b, the contrast is the mean CKA of two different depths on the same side, less the mean across. The
boundary is the b of the largest contrast, and that contrast is its strength.

Neighbours are always alike, so any map has some contrast. The null hypothesis is therefore that
similarity depends on nothing but how far apart two depths are: shuffling the values of each
diagonal keeps that, and destroys blocks. There are blocks where the strength exceeds what shuffled
maps reach.
"""

from dataclasses import dataclass

import numpy as np

from strata.study.settings import Sampling


@dataclass(frozen=True)
class Boundary:
    """The split of depths 1..L into an early block 1..depth and a late block.

    Attributes
    ----------
    depth : end of the early block.
    strength : contrast there.
    null_high : what the strengths of shuffled maps stay below with the asked confidence.
    p : share of shuffled maps at least as strong (the map itself counted in).
    """

    depth: int
    strength: float
    null_high: float
    p: float

    @property
    def blocks(self) -> bool:
        """Whether the strength is beyond chance."""
        return self.strength > self.null_high + 1e-12


def contrasts(similarity: np.ndarray) -> np.ndarray:
    """Contrast of a split after each of the depths 1..L-1, [L - 1].

    Parameters
    ----------
    similarity : [L, L], symmetric; the diagonal is not used, NaN are left out.

    Returns
    -------
    NaN where one side of the comparison has no pairs.
    """
    layers = len(similarity)
    upper = np.triu(np.ones((layers, layers), dtype=bool), 1) & np.isfinite(similarity)
    values = np.full(layers - 1, np.nan)
    for b in range(1, layers):
        late = np.arange(layers) >= b
        across = late[:, None] != late[None, :]
        within, between = similarity[upper & ~across], similarity[upper & across]
        if len(within) and len(between):
            values[b - 1] = within.mean() - between.mean()
    return values


def boundary(similarity: np.ndarray, sampling: Sampling, seed: int = 0) -> Boundary | None:
    """The strongest boundary of a map, tested against maps whose diagonals are shuffled.

    Parameters
    ----------
    similarity : [L, L], symmetric: debiased CKA between depths 1..L of one state.
    sampling : how many maps are shuffled, and the confidence of ``null_high``.

    Returns
    -------
    None where no contrast is defined (fewer than three depths).
    """
    observed = contrasts(similarity)
    if not np.isfinite(observed).any():
        return None
    best = int(np.nanargmax(observed))
    rng = np.random.default_rng(seed)
    null = [np.nanmax(contrasts(_shuffled(similarity, rng))) for _ in range(sampling.resamples)]
    # Equal up to rounding is as strong.
    as_strong = sum(value >= observed[best] - 1e-12 for value in null)
    return Boundary(
        depth=best + 1,
        strength=float(observed[best]),
        null_high=float(np.quantile(null, sampling.confidence)),
        p=(1 + as_strong) / (1 + sampling.resamples),
    )


def _shuffled(similarity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each diagonal above the main one in a random order of its own, mirrored below."""
    layers = len(similarity)
    out = np.eye(layers)
    for lag in range(1, layers):
        rows = np.arange(layers - lag)
        values = rng.permutation(similarity.diagonal(lag))
        out[rows, rows + lag] = out[rows + lag, rows] = values
    return out
