"""Whether the depths of an encoder fall into blocks, and whether fine-tuning made them.

Phang et al. (2021) speak of high similarity within clusters of layers and low similarity between
them. That is the rule here: every pair of depths in a block is more alike, by debiased CKA, than
any pair across. Two kinds are looked for.

- A **late block**, depths k..L: its separation is the smallest CKA of two of its depths less the
  largest of one of them with one of the depths 1..j.
- **Two blocks**, depths i..j and k..L: the smallest CKA within either less the largest across.

Depths between j and k belong to neither. i, j and k are those of the largest separation; a block is
found where that is above 0 by more than its sampling error, which half-samples of the examples
tell. So this is a statement about geometry: the null hypothesis is a separation of at most 0 among
all examples that might have been drawn, not that nothing changes from depth to depth, and layers
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
    """Where blocks lie: depths i..j (None and j: all depths up to j are only below) and k..L.

    Attributes
    ----------
    within, across : cells of a flattened [L, L] map, each pair of different depths once.
    """

    early_begin: int | None
    early_end: int
    late_begin: int
    within: np.ndarray
    across: np.ndarray


@dataclass(frozen=True)
class Block:
    """What one kind of block is like in one state.

    Attributes
    ----------
    found : the lower bound of its separation is above 0.
    separation : at the placing where it is largest; NaN where no placing is possible.
    separation_se : its standard error over examples.
    separation_low : its one-sided 95 % lower bound, the placing held.
    made : fine-tuning made it: found here, not in the pretrained encoder's own search, and the
        lower bound of the difference is above 0. False where there is no pretrained encoder.
    made_difference, made_low : this separation less the pretrained encoder's at the same placing,
        and its one-sided 95 % lower bound.
    early_begin, early_end, late_begin : i (None for a late block), j and k.
    contrast : mean CKA within less mean CKA across.
    step : 1 - CKA of the depths j and k.
    step_within : the largest 1 - CKA of two neighbours in a block.
    agree_early_end, agree_late_begin : share of the half-samples whose own search gives this j, k.
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
    """Debiased CKA of a state's depths with each other: of all examples, and of halves of them.

    Attributes
    ----------
    value : [L, L].
    halves : [resamples, L, L].
    scale : the spread over halves times this is the standard error with all examples.
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
    finetuned, pretrained : [depths, rows, hidden], of the same examples; the first is depth 1.
    resamples, seed : half-samples of the examples, the same for both.
    choices : rows an example has; with several, CKA is taken at each position.

    Raises
    ------
    ValueError : other shapes; different numbers of depths or rows; fewer than 4 examples.
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
    """The maps in which blocks of a state are looked for; parameters as for ``block_finding``.

    Too few examples for half-samples leave its halves undefined, and so no block is found.
    """
    whole = alignment(vectors, vectors, memory_mb, choices).debiased
    if vectors.shape[1] // choices < FEWEST:
        return StateMaps(whole, np.full((resamples, *whole.shape), np.nan), 1.0)
    halves = half_samples(vectors, vectors, resamples, seed, memory_mb, choices)
    return StateMaps(whole, halves.debiased, halves.scale)


def compared(finetuned: StateMaps, pretrained: StateMaps) -> BlockFinding:
    """The blocks of a fine-tuned encoder; those of the pretrained one say whether it made them."""
    return BlockFinding(*(_made(kind, finetuned, pretrained) for kind in KINDS))


def own_blocks(maps: StateMaps) -> BlockFinding:
    """The blocks of one state alone; none is ``made``."""
    return BlockFinding(*(_search(kind, maps)[0] for kind in KINDS))


@cache
def placings(kind: Kind, layers: int) -> tuple[Placing, ...]:
    """Every admissible placing of the blocks of an encoder with so many layers.

    Up to g depths between the blocks belong to neither: none below 12 layers, one below 24, else
    two. A late block begins at depth 3 or later (4 from 12 layers on) and has two depths or more
    below, so that an odd first depth makes no block; it has 2 depths (3 from 12 layers on), and one
    more for each that is left out.
    Of two blocks each has a quarter of the layers, and at least 2; from 12 layers on depth 1 may
    belong to neither.

    Returns
    -------
    those that leave out nothing first, so that of equals the simplest is taken.
    """
    deep = layers >= 12
    most_between = 2 if layers >= 24 else 1 if deep else 0
    found = []
    for between in range(most_between + 1):
        if kind == "late":
            # Below are two depths at least: one alone would make a block where it is odd.
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
    """Separation at each placing in each of many maps, [..., placings].

    Parameters
    ----------
    maps : [..., L, L]. A placing that needs an undefined value is NaN.
    """
    cells = maps.reshape(*maps.shape[:-2], -1)
    values = [cells[..., p.within].min(-1) - cells[..., p.across].max(-1) for p in places]
    return np.stack(values, axis=-1) if values else np.empty((*maps.shape[:-2], 0))


def _search(kind: Kind, maps: StateMaps) -> tuple[Block, Placing | None]:
    """The block at the placing of the largest separation, and that placing."""
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

    NaN where a half-sample leaves the value undefined: then there is little to bound it by.
    """
    se = float(standard_error(halves, scale))
    return se, value - ONE_SIDED_95 * se


def _agreement(
    halves: np.ndarray, places: Sequence[Placing], place: Placing
) -> tuple[float, float]:
    """Shares of half-samples, [resamples, placings], that put j and k where `place` has them."""
    defined = halves[np.isfinite(halves).any(axis=1)]
    if not len(defined):
        return np.nan, np.nan
    chosen = [places[best] for best in np.nanargmax(defined, axis=1)]
    ends = np.array([each.early_end == place.early_end for each in chosen])
    begins = np.array([each.late_begin == place.late_begin for each in chosen])
    return float(ends.mean()), float(begins.mean())


def _neighbours(place: Placing, layers: int) -> np.ndarray:
    """The cells within blocks that are of neighbouring depths."""
    rows, columns = np.divmod(place.within, layers)
    return place.within[columns - rows == 1]
