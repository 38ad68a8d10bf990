"""Whether the depths of an encoder fall into blocks, and whether fine-tuning made them.

Phang et al. (2021) describe high similarity within clusters of layers and low similarity between
them. That is the criterion here: every pair of depths within a block is more alike, by debiased
CKA, than any pair across. There are two kinds.

- A **late block**, depths k..L: its separation is the smallest CKA of two of its depths minus the
  largest CKA of one of them with one of the depths 1..j.
- **Two blocks**, depths i..j and k..L: the smallest CKA within either minus the largest across.

Depths between j and k belong to neither. i, j and k are chosen for the largest separation; a block
is found if that is above 0 by more than its sampling error, which is estimated from half-samples of
the examples. So this is a statement about geometry: the null hypothesis is a separation of at most
0 over all examples that might have been drawn, not that nothing changes from depth to depth. Layers
that change less and less do have a late block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from strata.analysis.cka import alignment
from strata.analysis.half_samples import FEWEST, half_samples, standard_error

Kind = Literal["late", "two"]
KINDS: tuple[Kind, ...] = ("late", "two")
ONE_SIDED_95 = 1.645  # standard errors


@dataclass(frozen=True)
class Placing:
    """Where blocks are: depths i..j (i is None if the depths up to j are no block) and k..L.

    Attributes
    ----------
    within, across : ndarray
        Indices of the cells of a flattened (L, L) map, each pair of different depths once.
    """

    early_begin: int | None
    early_end: int
    late_begin: int
    within: np.ndarray
    across: np.ndarray


@dataclass(frozen=True)
class Block:
    """The properties of one kind of block in one state.

    Attributes
    ----------
    found : bool
        Whether the lower bound of its separation is above 0.
    separation : float
        The separation at the placing where it is largest; NaN if no placing is possible.
    separation_se : float
        The separation's standard error over examples.
    separation_low : float
        The separation's one-sided 95 % lower bound, with the placing fixed.
    made : bool
        Whether fine-tuning made it: it is found here but not in the pretrained encoder's own
        search, and the lower bound of the difference is above 0. False without a pretrained
        encoder.
    made_difference, made_low : float
        This separation minus the pretrained encoder's at the same placing, and its one-sided 95 %
        lower bound.
    early_begin, early_end, late_begin : int or None
        The depths i (None for a late block), j and k.
    contrast : float
        Mean CKA within blocks minus mean CKA across.
    step : float
        1 - CKA between the depths j and k.
    step_within : float
        The largest 1 - CKA between neighbouring depths of a block.
    agree_early_end, agree_late_begin : float
        Share of the half-samples in which a search gives the same j, or k.
    """

    found: bool = False
    separation: float = np.nan
    separation_se: float = np.nan
    separation_low: float = np.nan
    made: bool = False
    made_difference: float = np.nan
    made_low: float = np.nan
    early_begin: int | None = None
    early_end: int | None = None
    late_begin: int | None = None
    contrast: float = np.nan
    step: float = np.nan
    step_within: float = np.nan
    agree_early_end: float = np.nan
    agree_late_begin: float = np.nan


@dataclass(frozen=True)
class BlockFinding:
    """The blocks of one state."""

    late: Block
    two: Block


@dataclass(frozen=True)
class StateMaps:
    """Debiased CKA of a state's depths with each other, from all examples and from halves of them.

    Attributes
    ----------
    value : ndarray of shape (L, L)
        CKA from all examples.
    halves : ndarray of shape (resamples, L, L)
        CKA from each half-sample.
    scale : float
        Factor from the spread over halves to the standard error with all examples.
    """

    value: np.ndarray
    halves: np.ndarray
    scale: float


def block_finding(
    finetuned: np.ndarray,
    pretrained: np.ndarray,
    resamples: int = 100,
    seed: int = 0,
    memory_mb: float = 2048,
    choices: int = 1,
) -> BlockFinding:
    """The blocks of a fine-tuned encoder, and whether fine-tuning made them.

    Parameters
    ----------
    finetuned, pretrained : ndarray of shape (depths, rows, hidden)
        Representations of the same examples; the first is depth 1.
    resamples : int, default 100
        Number of half-samples of the examples, which are the same for both.
    seed : int, default 0
        Draws the half-samples.
    memory_mb : float, default 2048
        Bound on the working memory, in MB.
    choices : int, default 1
        Rows per example; with several, CKA is computed at each position.

    Raises
    ------
    ValueError
        The arrays have other shapes or different numbers of depths or rows, or there are fewer than
        4 examples.
    """
    if finetuned.shape[:2] != pretrained.shape[:2]:
        raise ValueError(
            f"the fine-tuned encoder has (depths, rows) {finetuned.shape[:2]}, the pretrained "
            f"{pretrained.shape[:2]}: they must be the same."
        )
    after, before = (
        state_maps(vectors, resamples, seed, memory_mb, choices)
        for vectors in (finetuned, pretrained)
    )
    return compared(after, before)


def state_maps(
    vectors: np.ndarray, resamples: int, seed: int, memory_mb: float = 2048, choices: int = 1
) -> StateMaps:
    """The maps in which a state's blocks are searched; parameters as for ``block_finding``.

    With too few examples for half-samples its halves are undefined, so no block is found.
    """
    whole = alignment(vectors, vectors, memory_mb, choices).debiased
    if vectors.shape[1] // choices < FEWEST:
        return StateMaps(whole, np.full((resamples, *whole.shape), np.nan), 1.0)
    halves = half_samples(vectors, vectors, resamples, seed, memory_mb, choices)
    return StateMaps(whole, halves.debiased, halves.scale)


def compared(finetuned: StateMaps, pretrained: StateMaps) -> BlockFinding:
    """The blocks of a fine-tuned encoder, compared with the pretrained one's."""
    return BlockFinding(*(_made(kind, finetuned, pretrained) for kind in KINDS))


def own_blocks(maps: StateMaps) -> BlockFinding:
    """The blocks of one state alone; none is ``made``."""
    return BlockFinding(*(_search(kind, maps)[0] for kind in KINDS))


@cache
def placings(kind: Kind, layers: int) -> tuple[Placing, ...]:
    """Every admissible placing of the blocks of an encoder with this number of layers.

    Up to g depths between the blocks belong to neither: none below 12 layers, one below 24, else
    two. A late block begins at depth 3 or later (4 with 12 layers or more) and has at least two
    depths below it, so that an unusual first depth alone makes no block. It has at least 2 depths
    (3 with 12 layers or more), and one more for each depth that is left out. Each of two blocks has
    at least a quarter of the layers, and at least 2; with 12 layers or more depth 1 may belong to
    neither.

    Returns
    -------
    tuple of Placing
        The placings, those that leave out nothing first, so that ties go to the simplest.
    """
    deep = layers >= 12
    most_between = 2 if layers >= 24 else 1 if deep else 0
    found = []
    for between in range(most_between + 1):
        if kind == "late":
            # At least two depths are below: a single unusual one would already make a block.
            for k in range(max(4 if deep else 3, between + 3), layers + 1):
                if layers - k + 1 >= (3 if deep else 2) + between:
                    found.append(_late(k - 1 - between, k, layers))
            continue
        least = max(2, layers // 4)
        for i in (1, 2) if deep else (1,):
            for j in range(i + least - 1, layers - least - between + 1):
                found.append(_two(i, j, j + 1 + between, layers))
    return tuple(found)


def _late(j: int, k: int, layers: int) -> Placing:
    below, late = range(1, j + 1), range(k, layers + 1)
    return Placing(None, j, k, _pairs(late, layers), _cells(below, late, layers))


def _two(i: int, j: int, k: int, layers: int) -> Placing:
    early, late = range(i, j + 1), range(k, layers + 1)
    within = np.concatenate([_pairs(early, layers), _pairs(late, layers)])
    return Placing(i, j, k, within, _cells(early, late, layers))


def _cells(rows: Sequence[int], columns: Sequence[int], layers: int) -> np.ndarray:
    return np.array([(a - 1) * layers + b - 1 for a in rows for b in columns], dtype=int)


def _pairs(depths: Sequence[int], layers: int) -> np.ndarray:
    return np.array([(a - 1) * layers + b - 1 for a in depths for b in depths if a < b], dtype=int)


def separations(maps: np.ndarray, places: Sequence[Placing]) -> np.ndarray:
    """Separation at each placing in each of many maps, (..., placings).

    Parameters
    ----------
    maps : ndarray of shape (..., L, L)
        CKA maps; where a placing needs an undefined value, its separation is NaN.
    """
    cells = maps.reshape(*maps.shape[:-2], -1)
    values = [cells[..., p.within].min(-1) - cells[..., p.across].max(-1) for p in places]
    return np.stack(values, axis=-1) if values else np.empty((*maps.shape[:-2], 0))


def _search(kind: Kind, maps: StateMaps) -> tuple[Block, Placing | None]:
    """The block at the placing with the largest separation, and that placing."""
    places = placings(kind, len(maps.value))
    values = separations(maps.value, places)
    if not np.isfinite(values).any():
        return Block(), None
    best = int(np.nanargmax(values))
    place, value = places[best], float(values[best])
    halves = separations(maps.halves, places)
    se, low = _bound(value, halves[:, best], maps.scale)
    j_agrees, k_agrees = _agreement(halves, places, place)
    cells = maps.value.ravel()
    neighbours = _neighbours(place, len(maps.value))
    block = Block(
        found=low > 0,
        separation=value,
        separation_se=se,
        separation_low=low,
        early_begin=place.early_begin,
        early_end=place.early_end,
        late_begin=place.late_begin,
        contrast=float(cells[place.within].mean() - cells[place.across].mean()),
        step=float(1 - maps.value[place.early_end - 1, place.late_begin - 1]),
        step_within=float((1 - cells[neighbours]).max()),
        agree_early_end=j_agrees,
        agree_late_begin=k_agrees,
    )
    return block, place


def _made(kind: Kind, finetuned: StateMaps, pretrained: StateMaps) -> Block:
    block, place = _search(kind, finetuned)
    if place is None:
        return block
    before, _ = _search(kind, pretrained)
    difference = block.separation - float(separations(pretrained.value, [place])[0])
    halves = separations(finetuned.halves, [place]) - separations(pretrained.halves, [place])
    _, low = _bound(difference, halves[:, 0], finetuned.scale)
    made = block.found and not before.found and low > 0
    return replace(block, made=made, made_difference=difference, made_low=low)


def _bound(value: float, halves: np.ndarray, scale: float) -> tuple[float, float]:
    """Standard error of a value, and its one-sided 95 % lower bound.

    NaN if the value is undefined in a half-sample, since the bound would be unreliable.
    """
    se = float(standard_error(halves, scale))
    return se, value - ONE_SIDED_95 * se


def _agreement(
    halves: np.ndarray, places: Sequence[Placing], place: Placing
) -> tuple[float, float]:
    """The shares of half-samples (resamples, placings) with the same j and k as `place`."""
    defined = halves[np.isfinite(halves).any(axis=1)]
    if not len(defined):
        return np.nan, np.nan
    chosen = [places[best] for best in np.nanargmax(defined, axis=1)]
    ends = np.array([each.early_end == place.early_end for each in chosen])
    begins = np.array([each.late_begin == place.late_begin for each in chosen])
    return float(ends.mean()), float(begins.mean())


def _neighbours(place: Placing, layers: int) -> np.ndarray:
    """The cells within blocks that compare neighbouring depths."""
    rows, columns = np.divmod(place.within, layers)
    return place.within[columns - rows == 1]
