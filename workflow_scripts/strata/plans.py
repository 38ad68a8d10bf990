"""Which runs the sister studies ask for: partial reinitialisation and layer selection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strata.variants import Variant

PARTS = ("progressive", "kept-norms", "localized", "permutation", "probing")


@dataclass(frozen=True)
class Planned:
    """A run and its place in a part.

    Attributes
    ----------
    series : which line of the figure it belongs to.
    position : where on that line: layers preserved, first layer of the block, or permutation; None
        for a line of reference.
    """

    series: str
    position: int | None
    variant: Variant
    seed: int


def planned_runs(part: str, settings: Mapping[str, Any], layers: int) -> list[Planned]:
    """The runs of one part for a model with `layers` layers.

    Parameters
    ----------
    settings : the ``reinit`` section for this task; a part that is null there has no runs.
    """
    own = settings[part.replace("-", "_")]
    if own is None:
        return []
    sizes = own["sizes"] if "sizes" in own else [own["size"]]
    return [
        Planned(series, position, Variant(**kind, size=None if size == "all" else size), seed)
        for series, position, kind in _PARTS[part](own, layers)
        for size in sizes
        for seed in own["seeds"]
    ]


def blocks(layers: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Blocks of `length` layers, `stride` apart; the last may be shorter, so that none is left out.

    Returns
    -------
    (first, last) of each, from 1.
    """
    found = []
    for first in range(1, layers + 1, stride):
        found.append((first, min(first + length - 1, layers)))
        if found[-1][1] == layers:
            break
    return found


def selection_variants(selected: int, layers: int, tops: Sequence[int]) -> list[dict[str, Any]]:
    """The runs that layer selection is judged by, with the variant of each.

    Returns
    -------
    dicts of comparison, top (None where it is all layers), variant (None where there is none) and
    reason (why there is none).
    """
    found = [
        {"comparison": "whole", "top": None, "variant": "full", "reason": ""},
        {"comparison": "lora", "top": None, "variant": "lora", "reason": ""},
    ]
    for top in tops:
        for comparison, depth in (("selected", selected), ("last", layers)):
            fits = top <= depth
            reason = "" if fits else f"depth {depth} has fewer than {top} layers"
            variant = f"head{depth}top{top}" if fits else None
            found.append(
                {"comparison": comparison, "top": top, "variant": variant, "reason": reason}
            )
            if comparison == "selected":
                lora = f"lora{selected - top + 1}-{selected}" if fits else None
                found.append(
                    {"comparison": "lora-selected", "top": top, "variant": lora, "reason": reason}
                )
    return found


Place = tuple[str, int | None, dict[str, Any]]


def _progressive(
    settings: Mapping[str, Any], layers: int, keep_norms: bool = False
) -> Iterator[Place]:
    """From the top: layers preserved+1..L are new; all preserved is plain fine-tuning."""
    series = "kept-norms" if keep_norms else "reinitialised"
    for preserved in range(0, layers, settings["step"]):
        kind = {"kind": "reinit", "first": preserved + 1, "last": layers}
        yield series, preserved, kind | {"keep_norms": keep_norms}
    yield series, layers, {"kind": "full"}


def _kept_norms(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    yield from _progressive(settings, layers, keep_norms=True)
    yield from _progressive(settings, layers)


def _localized(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    for first, last in blocks(layers, settings["block"], settings["stride"]):
        for series in ("reinit", "keep") if settings["inverse"] else ("reinit",):
            yield series, first, {"kind": series, "first": first, "last": last}
    yield "full", None, {"kind": "full"}
    yield "embeddings", None, {"kind": "reinit", "first": 1, "last": layers}


def _permutation(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    for number in range(1, settings["count"] + 1):
        yield "permuted", number, {"kind": "permute", "permutation": number}
    yield "full", None, {"kind": "full"}


def _probing(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    for depth in range(settings["step"], layers + 1, settings["step"]):
        yield "probed", depth, {"kind": "probe", "depth": depth}


_PARTS = {
    "progressive": _progressive,
    "kept-norms": _kept_norms,
    "localized": _localized,
    "permutation": _permutation,
    "probing": _probing,
}


def count_runs(plans: Sequence[tuple[str, str, Sequence[Planned]]]) -> int:
    """How many different runs the parts of a study share.

    Parameters
    ----------
    plans : (model, task, planned runs)
    """
    return len({(m, t, str(p.variant), p.seed) for m, t, plan in plans for p in plan})
