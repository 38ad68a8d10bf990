"""Models that are cut first and then trained: their names, and which of them a study makes."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata.runtime.errors import StrataError
from strata.study.layer_sets import METHODS, LayerSet

TOP = METHODS[0]
BEST = "best"  # the best-scoring set of its size as it is, whichever method found it


@dataclass(frozen=True)
class Way:
    """How a model is trained after its cut.

    Attributes
    ----------
    start, verb : str
        How its name starts, and the word before the number of steps.
    from_finetuned : bool
        Whether the fine-tuned model is cut, rather than the pretrained encoder.
    distilled : bool
        Whether it also learns from the full model's outputs, rather than from labels alone.
    words : str
        How it is described to a reader.
    """

    start: str
    verb: str
    from_finetuned: bool
    distilled: bool
    words: str

    @property
    def needs_full(self) -> bool:
        """Whether the full model is needed first, to be cut or as the teacher."""
        return self.from_finetuned or self.distilled


WAYS = {
    "heal": Way("layers", "heal", True, False, "healed on labels"),
    "distil": Way("layers", "distil", True, True, "healed by distillation"),
    "cut-tune": Way("cut", "tune", False, False, "cut first, fine-tuned"),
    "cut-distil": Way("cut", "distil", False, True, "cut first, distilled"),
}


@dataclass(frozen=True)
class TrainedCut:
    """A model that was cut to some layers and then trained for a number of steps.

    ======================  =====================================================================
    ``layers1-8_heal500``   the fine-tuned model cut, then trained on labels
    ``layers1-8_distil500`` the same, trained on the full model's outputs (Hinton et al. 2015)
    ``cut1-8_tune900``      the pretrained encoder cut, then fine-tuned (Sajjad et al. 2020)
    ``cut1-8_distil900``    the same, trained on the full model's outputs
    ======================  =====================================================================

    The string parses and prints back.

    Attributes
    ----------
    way : str
        A key of WAYS.
    """

    kept: LayerSet
    way: str
    steps: int

    PATTERN = (
        rf"(?:layers{LayerSet.PATTERN}_(?:heal|distil)|cut{LayerSet.PATTERN}_(?:tune|distil))"
        "[1-9][0-9]*"
    )

    @classmethod
    def parse(cls, text: str) -> "TrainedCut":
        """Read a name; ValueError names the string and what is allowed."""
        found = re.fullmatch(rf"(layers|cut)({LayerSet.PATTERN})_([a-z]+)([1-9][0-9]*)", text)
        start, kept, verb, steps = found.groups() if found else ("", "", "", "")
        ways = [name for name, way in WAYS.items() if (way.start, way.verb) == (start, verb)]
        if not ways:
            raise ValueError(
                f"'{text}' is not a model that was cut and then trained: expected "
                "'layers1-8_heal500', 'layers1-8_distil500', 'cut1-8_tune900' or "
                "'cut1-8_distil900', with the layers that are kept and the number of steps."
            )
        return cls(LayerSet.parse(kept), ways[0], int(steps))

    @property
    def about(self) -> Way:
        """The way that it was made."""
        return WAYS[self.way]

    def __str__(self) -> str:
        return f"{self.about.start}{self.kept}_{self.about.verb}{self.steps}"


def trained_cuts(
    settings: Mapping[str, Any], sets: str | Path, ways: Sequence[str] = tuple(WAYS)
) -> list[TrainedCut]:
    """The models of a run that are cut and then trained.

    Parameters
    ----------
    settings : mapping of str to object
        The config's ``frontier.training`` section.
    sets : path-like
        The run's table from ``layer_selection.proposals``.
    ways : sequence of str, optional
        The ways that are possible.

    Raises
    ------
    StrataError
        Every size exceeds the model's number of layers, or none of the methods that are wanted
        proposes a set of a size.
    """
    with open(sets, encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    layers = max((int(row["size"]) for row in rows), default=0) + 1
    sizes = [size for size in settings["sizes"] if size <= layers]
    if not sizes:
        largest = max(settings["sizes"])
        raise StrataError(f"frontier.training.sizes: {largest}, but the model has {layers} layers.")
    for size in set(settings["sizes"]) - set(sizes):  # of another model of the study
        print(f"frontier.training.sizes: {size} is left out, as the model has {layers} layers.")
    return [
        TrainedCut(kept, way, steps)
        for size in sorted(sizes, reverse=True)
        for kept in _sets_of_size(rows, size, layers, settings["sets"])
        for way in ways
        for steps in settings["ways"].get(way) or []
    ]


def _sets_of_size(
    rows: Sequence[Mapping[str, Any]], size: int, layers: int, wanted: Sequence[str]
) -> list[LayerSet]:
    if size == layers:
        return [LayerSet.top_cut(layers)]
    own = [row for row in rows if int(row["size"]) == size]
    found = {row["method"]: row["layers"] for row in own}
    order = {method: place for place, method in enumerate(METHODS)}
    best = min(
        own, key=lambda r: (-float(r["score"]), float(r["loss"]), order[r["method"]]), default=None
    )
    if {row["method"] for row in rows} == {TOP}:  # layers that share weights have no other sets
        return [LayerSet.parse(found[TOP])]
    if best is not None:
        found[BEST] = best["layers"]
    texts = [found[name] for name in wanted if name in found]
    if not texts:
        raise StrataError(
            f"frontier.training.sets: no set of {size} layers was found by {', '.join(wanted)}."
        )
    return [LayerSet.parse(text) for text in dict.fromkeys(texts)]
