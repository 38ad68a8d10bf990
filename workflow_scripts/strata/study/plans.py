"""Which runs the sister studies ask for: partial reinitialisation and layer selection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strata.study.variants import Variant

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


def layer_blocks(layers: int, length: int, stride: int) -> list[tuple[int, int]]:
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


def selection_variants(
    selected: int, layers: int, tops: Sequence[int], shares_layers: bool
) -> list[dict[str, Any]]:
    """The runs that layer selection is judged by, with the variant of each.

    Parameters
    ----------
    selected : l*, the depth that variability selects.
    layers : L.
    tops : how many layers are trained.
    shares_layers : whether the layers share their weights, so that none can be trained alone.

    Returns
    -------
    dicts of comparison, top (None where it is all layers), variant (None where there is none) and
    reason (why there is none).
    """
    found = [_choice("whole", None, Variant()), _choice("lora", None, Variant("lora"))]
    for top in tops:
        for comparison, depth in (("selected", selected), ("last", layers)):
            reason = f"depth {depth} has fewer than {top} layers" if top > depth else ""
            if shares_layers and top < depth:
                reason = "layers share their weights: none can be trained alone"
            variant = None if reason else Variant("head", depth=depth, top=top)
            found.append(_choice(comparison, top, variant, reason))
        reason = f"depth {selected} has fewer than {top} layers" if top > selected else ""
        if shares_layers:
            reason = "layers share their weights: none can be trained alone"
        variant = None if reason else Variant("lora", selected - top + 1, selected)
        found.append(_choice("lora-selected", top, variant, reason))
    return found


def _choice(
    comparison: str, top: int | None, variant: Variant | None, reason: str = ""
) -> dict[str, Any]:
    return {
        "comparison": comparison,
        "top": top,
        "variant": str(variant) if variant else None,
        "reason": reason,
    }


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
    for first, last in layer_blocks(layers, settings["block"], settings["stride"]):
        for series in ("reinit", "keep") if settings["inverse"] else ("reinit",):
            yield series, first, {"kind": series, "first": first, "last": last}
    yield "full", None, {"kind": "full"}
    yield "embeddings", None, {"kind": "reinit", "first": 1, "last": layers}


def _permutation(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    for number in range(1, settings["count"] + 1):
        yield "permuted", number, {"kind": "permute", "permutation": number}
    yield "full", None, {"kind": "full"}


def _probing(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    for depth in sorted({*range(settings["step"], layers + 1, settings["step"]), layers}):
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
