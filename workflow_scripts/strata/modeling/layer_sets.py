"""Encoders without some of their layers: many layer sets at once, sharing what they can."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.modeling.encoder import (
    Encoder,
    Start,
    architecture,
    encoder_layers,
    set_layers,
    truncate,
)

Kept = tuple[int, ...]  # numbers of layers from 1, ascending; () is the embeddings alone
STACK_ROWS = 512


def read_sets(
    encoder: Encoder, inputs: dict[str, Tensor], sets: Sequence[Kept], stack_rows: int = STACK_ROWS
) -> dict[Kept, Tensor]:
    """What the head reads, (batch, hidden), if the model has only each of the sets of layers.

    The layers are gone through once. Sets that begin with the same layers share the output of
    these, and everything that goes through a layer goes as one batch. ALBERT's layers are all the
    same layer, so only a set's size counts, and the full model's depths give them all.

    Parameters
    ----------
    inputs : dict of str to Tensor
        Tokenizer output, each of shape (batch, tokens).
    stack_rows : int, default STACK_ROWS
        The largest number of rows that run as one batch.
    """
    if architecture(encoder.model).shares_layers:
        depths = [encoder.read(hidden, inputs) for hidden in encoder.hidden_states(inputs)]
        return {kept: depths[len(kept)] for kept in sets}
    rows = len(next(iter(inputs.values())))
    if len(sets) * rows > 1 and _most_prefixes(sets, encoder.num_layers) * rows > 4 * stack_rows:
        return _read_apart(encoder, inputs, sets, stack_rows)
    return _read(encoder, inputs, sets, stack_rows)


def _read_apart(
    encoder: Encoder, inputs: dict[str, Tensor], sets: Sequence[Kept], stack_rows: int
) -> dict[Kept, Tensor]:
    """Read half of the rows at a time; if there are few, half of the sets, by how they begin."""
    rows = len(next(iter(inputs.values())))
    if rows > max(1, stack_rows // 16) or len(sets) == 1:
        halves = [{k: t[part] for k, t in inputs.items()} for part in _halves(rows)]
        parts = [read_sets(encoder, half, sets, stack_rows) for half in halves]
        return {kept: torch.cat([part[kept] for part in parts]) for kept in sets}
    found: dict[Kept, Tensor] = {}
    ordered = sorted(sets)
    for part in _halves(len(ordered)):
        found |= read_sets(encoder, inputs, ordered[part], stack_rows)
    return found


def _halves(count: int) -> tuple[slice, slice]:
    return slice(None, count // 2), slice(count // 2, None)


def keep_layers(model: PreTrainedModel, kept: Kept) -> PreTrainedModel:
    """Leave out all other layers, in place, also in the config and its per-layer lists."""
    if not architecture(model).shares_layers:
        set_layers(model, list(kept))
    return truncate(model, len(kept))


@contextmanager
def cut_to(model: PreTrainedModel, kept: Kept) -> Iterator[PreTrainedModel]:
    """Within the block, the model without all other layers; its weights are not copied."""
    row, layers, config = architecture(model), encoder_layers(model), model.config
    lists = {key: getattr(config, key, None) for key in row.lists}
    try:
        yield keep_layers(model, kept)
    finally:
        if not row.shares_layers:
            parent, _, name = row.layers.rpartition(".")
            setattr(model.base_model.get_submodule(parent), name, nn.ModuleList(layers))
        config.num_hidden_layers = len(layers)
        for key, values in lists.items():
            if values:
                setattr(config, key, values)


def _prefixes(sets: Sequence[Kept], layer: int) -> list[Kept]:
    """The different subsets of the layers up to this one that the sets keep."""
    return list(dict.fromkeys(tuple(k for k in kept if k <= layer) for kept in sets))


def _most_prefixes(sets: Sequence[Kept], layers: int) -> int:
    return max(len(_prefixes(sets, layer)) for layer in range(1, layers + 1))


def _read(
    encoder: Encoder, inputs: dict[str, Tensor], sets: Sequence[Kept], stack_rows: int
) -> dict[Kept, Tensor]:
    starts = {1: encoder.start(inputs)}
    states: dict[Kept, Tensor] = {(): starts[1].hidden}
    together = max(1, stack_rows // len(starts[1].hidden))
    for layer in range(1, encoder.num_layers + 1):
        wanted = _prefixes(sets, layer)
        through = [prefix for prefix in wanted if prefix and prefix[-1] == layer]
        made: dict[Kept, Tensor] = {}
        for begin in range(0, len(through), together):
            group = through[begin : begin + together]
            start = _start_of(encoder, inputs, len(group), starts)
            stacked = torch.cat([states[prefix[:-1]] for prefix in group])
            parts = encoder.run(stacked, start, layer, layer).chunk(len(group))
            made |= dict(zip(group, parts, strict=True))
        states = {prefix: made[prefix] if prefix in made else states[prefix] for prefix in wanted}
    return {kept: encoder.read(states[kept], inputs) for kept in sets}


def _start_of(
    encoder: Encoder, inputs: dict[str, Tensor], copies: int, known: dict[int, Start]
) -> Start:
    """How to call layers on a number of copies of a batch, one below the other."""
    if copies not in known:
        again = {name: t.repeat(copies, *[1] * (t.ndim - 1)) for name, t in inputs.items()}
        start = encoder.start(again)
        known[copies] = replace(start, hidden=start.hidden.new_empty(0))  # not needed again
    return known[copies]
