"""Which of an encoder's layers are kept, and what a model that is cut to them is called."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from itertools import combinations, groupby, pairwise
from typing import Any

from strata.study.architectures import ARCHITECTURES

# Methods that find sets; analysis.layer_selection says how.
METHODS = ("top", "span", "greedy", "skipping", "block-influence", "angular", "cka", "every")
# What was done to a cut model: nothing, its head was tuned, or all of it was trained.
AS_IS, HEAD = "as is", "head"
TRAINED = "trained"
_NUMBER = "[1-9][0-9]*"
_RUN = f"{_NUMBER}(?:-{_NUMBER})?"


@total_ordering
@dataclass(frozen=True)
class LayerSet:
    """Layers that are kept, counted from 1, in ascending order; smaller sets sort first.

    The string parses and prints back: ``1-8+12`` is layers 1 to 8 and 12.
    """

    layers: tuple[int, ...]

    PATTERN = rf"{_RUN}(?:\+{_RUN})*"

    @classmethod
    def parse(cls, text: str) -> "LayerSet":
        """Read a set; ValueError names the string and what is wrong with it."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(
                f"'{text}' is not a layer set: expected the layers that are kept, as in '1-8+12', "
                "counted from 1."
            )
        runs = [[int(end) for end in part.split("-")] for part in text.split("+")]
        layers = [layer for run in runs for layer in range(run[0], run[-1] + 1)]
        if any(b <= a for a, b in pairwise(layers)) or any(run[-1] < run[0] for run in runs):
            raise ValueError(f"'{text}' names layers out of order, or one of them twice.")
        found = cls(tuple(layers))
        if str(found) != text:  # so that each set has one path
            raise ValueError(f"'{text}' must be written '{found}'.")
        return found

    @classmethod
    def top_cut(cls, depth: int) -> "LayerSet":
        """Layers 1 to `depth`."""
        return cls(tuple(range(1, depth + 1)))

    @property
    def is_top_cut(self) -> bool:
        return self.layers == tuple(range(1, len(self.layers) + 1))

    def without(self, dropped: Iterable[int]) -> "LayerSet":
        """The set without the layers in `dropped`."""
        gone = set(dropped)
        return LayerSet(tuple(layer for layer in self.layers if layer not in gone))

    def __str__(self) -> str:
        # In a run of consecutive layers, number and position differ by the same amount.
        runs = groupby(enumerate(self.layers), key=lambda pair: pair[1] - pair[0])
        spans = [[layer for _, layer in run] for _, run in runs]
        return "+".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else f"{s[0]}" for s in spans)

    def __len__(self) -> int:
        return len(self.layers)

    def __lt__(self, other: "LayerSet") -> bool:
        return (len(self), self.layers) < (len(other), other.layers)


@dataclass(frozen=True)
class CutModel:
    """A model cut to some layers: as it is, or with its head tuned there.

    The string parses and prints back: ``layers1-8+12``, ``layers1-8+12_head``.
    """

    kept: LayerSet
    head: bool = False

    PATTERN = rf"layers{LayerSet.PATTERN}(?:_head)?"

    @classmethod
    def parse(cls, text: str) -> "CutModel":
        """Read a cut model's name; ValueError names the string and what is allowed."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(
                f"'{text}' is not a cut model: expected 'layers' and the layers that are kept, as "
                "in 'layers1-8+12' (as it is) or 'layers1-8+12_head' (with its head tuned)."
            )
        kept, _, head = text.removeprefix("layers").partition("_")
        return cls(LayerSet.parse(kept), bool(head))

    def __str__(self) -> str:
        return f"layers{self.kept}{'_head' * self.head}"


@dataclass(frozen=True)
class Layers:
    """What decides which of an encoder's layers can be left out.

    Attributes
    ----------
    count : int
        L, the number of layers.
    kind : str
        The encoder's model_type.
    shared : bool
        All depths use one layer's weights (ALBERT).
    first : str
        Why the first layer can be neither left out nor moved; "" if it can be.
    places : str
        The key of the config that makes layers depend on their places; "" if there is none.
    """

    count: int
    kind: str
    shared: bool = False
    first: str = ""
    places: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any], count: int) -> "Layers":
        """From a model's config.json and its number of layers."""
        row = ARCHITECTURES[config["model_type"]]
        tied = row.tied_by if row.tied_by and config.get(row.tied_by) else ""
        kind = config["model_type"]
        return cls(count, kind, row.shares_layers, row.tied_first or "", tied or "")

    @property
    def whole(self) -> LayerSet:
        """The set of all layers."""
        return LayerSet.top_cut(self.count)

    def refusal(self, kept: LayerSet) -> str:
        """Why a set cannot be kept, in a sentence; "" if it can."""
        if kept.layers[-1] > self.count:
            return f"'{kept}' names layer {kept.layers[-1]}, but the model has {self.count} layers."
        if self.shared and not kept.is_top_cut:
            return (
                f"'{kept}' has no meaning for this model: its layers share one layer's weights, so "
                f"that only their number counts; write '{LayerSet.top_cut(len(kept))}'."
            )
        if self.first and kept.layers[0] != 1:
            return (
                f"'{kept}' leaves out layer 1 of a {self.kind}: {self.first}, so that a plain "
                "checkpoint could put no other layer in its place."
            )
        if self.places and not kept.is_top_cut:
            return (
                f"'{kept}' moves layers of a {self.kind} to other places, and what a layer does "
                f"depends on its place ({self.places} in its config.json), so that a plain "
                "checkpoint could not hold it."
            )
        return ""

    def check(self, kept: LayerSet) -> None:
        """Refuse a set that the model does not have or a plain checkpoint could not hold.

        Raises
        ------
        ValueError
            The set cannot be kept; the message names it and says why (``refusal``).
        """
        if reason := self.refusal(kept):
            raise ValueError(reason)

    def every_set(self) -> list[LayerSet]:
        """Every set that can be kept, except the whole and the empty one."""
        numbers = self.whole.layers
        sizes = range(1, self.count)
        found = (LayerSet(c) for size in sizes for c in combinations(numbers, size))
        return [kept for kept in found if not self.refusal(kept)]
