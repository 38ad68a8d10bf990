"""Which runs and comparisons a study asks for."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata.study.architectures import ADAPTED
from strata.study.recipes import (
    architecture_of,
    encoder_facts,
    reinit_models,
    reinit_settings,
)
from strata.study.states import PRETRAINED, State
from strata.study.variants import Kind, Variant

PARTS = ("progressive", "kept-norms", "faster-layers", "localized", "permutation", "probing")

# Kinds of adapters that layer selection is compared with, on all layers and on the selected ones.
ADAPTING: tuple[Kind, ...] = ("lora", "adapter")


@dataclass(frozen=True)
class Planned:
    """A run and its place in a part.

    Attributes
    ----------
    series : str
        The line of the figure that it belongs to.
    position : int or None
        Its place on that line: layers preserved, first layer of the block, or permutation; None for
        a reference line.
    """

    series: str
    position: int | None
    variant: Variant
    seed: int


def planned_runs(part: str, settings: Mapping[str, Any], layers: int) -> list[Planned]:
    """The runs of one part for a model with `layers` layers.

    Parameters
    ----------
    settings : mapping of str to object
        The config's ``reinit`` section for this task; a part that is null there has no runs.
    """
    asked = settings[part.replace("-", "_")]
    if asked is None:
        return []
    sizes = asked["sizes"] if "sizes" in asked else [asked["size"]]
    return [
        Planned(series, position, Variant(**kind, size=None if size == "all" else size), seed)
        for series, position, kind in _PARTS[part](asked, layers)
        for size in sizes
        for seed in asked["seeds"]
    ]


def layer_blocks(layers: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Blocks of `length` layers, `stride` apart; the last may be shorter, so that no layer is left
    out.

    Returns
    -------
    list of tuple of int and int
        First and last layer of each block, counted from 1.
    """
    spans = []
    for first in range(1, layers + 1, stride):
        spans.append((first, min(first + length - 1, layers)))
        if spans[-1][1] == layers:
            break
    return spans


def selection_variants(
    selected: int,
    layers: int,
    tops: Sequence[int],
    shares_layers: bool,
    without_adapters: str = "",
) -> list[dict[str, Any]]:
    """The runs by which layer selection is judged, with the variant of each.

    Parameters
    ----------
    selected : int
        l*, the depth that variability selects.
    layers : int
        L.
    tops : sequence of int
        The numbers of layers that are trained.
    shares_layers : bool
        Whether the layers share their weights, so that none of them can be trained alone.
    without_adapters : str, default ''
        Why there are no bottleneck adapters; empty if there are some.

    Returns
    -------
    list of dict of str to object
        Keys comparison, top (None for all layers), variant (None if there is none) and reason (why
        there is none).
    """
    choices = [_choice("whole", None, Variant())]
    lacking = {"adapter": without_adapters}
    for kind in ADAPTING:
        reason = lacking.get(kind, "")
        choices.append(_choice(kind, None, None if reason else Variant(kind), reason))
    for top in tops:
        for comparison, depth in (("selected", selected), ("last", layers)):
            reason = f"depth {depth} has fewer than {top} layers" if top > depth else ""
            if shares_layers and top < depth:
                reason = "layers share their weights: none can be trained alone"
            variant = None if reason else Variant("head", depth=depth, top=top)
            choices.append(_choice(comparison, top, variant, reason))
        reason = f"depth {selected} has fewer than {top} layers" if top > selected else ""
        if shares_layers:
            reason = "layers share their weights: none can be trained alone"
        for kind in ADAPTING:
            why = reason or lacking.get(kind, "")
            variant = None if why else Variant(kind, selected - top + 1, selected)
            choices.append(_choice(f"{kind}-selected", top, variant, why))
    return choices


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


def _progressive(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    yield from _from_the_top("reinitialised", settings, layers)


def _from_the_top(
    series: str, settings: Mapping[str, Any], layers: int, **how: Any
) -> Iterator[Place]:
    """Layers preserved+1..L are new; with all layers preserved it is plain fine-tuning."""
    for preserved in range(0, layers, settings["step"]):
        yield series, preserved, {"kind": "reinit", "first": preserved + 1, "last": layers} | how
    yield series, layers, {"kind": "full"}


def _kept_norms(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    yield from _from_the_top("kept-norms", settings, layers, keep_norms=True)
    yield from _progressive(settings, layers)


def _faster_layers(settings: Mapping[str, Any], layers: int) -> Iterator[Place]:
    yield from _from_the_top("faster", settings, layers, faster=settings["factor"])
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
    "faster-layers": _faster_layers,
    "localized": _localized,
    "permutation": _permutation,
    "probing": _probing,
}


def reinit_runs(config: Mapping[str, Any], model: str, task: str, part: str) -> list[Planned]:
    """The runs of one part of partial reinitialisation, of a model and task of the study."""
    layers, _ = encoder_facts(config, model)
    return planned_runs(part, reinit_settings(config, task), layers)


def reinit_pairs(config: Mapping[str, Any], part: str) -> list[tuple[str, str]]:
    """The study's models and tasks for which a part has runs."""
    return [
        (model, task)
        for model in reinit_models(config)
        for task in config["study"]["tasks"]
        if reinit_runs(config, model, task, part)
    ]


def drawn_parts(config: Mapping[str, Any]) -> list[str]:
    """The parts that have their own figure: probing is drawn with progressive."""
    parts = [part for part in PARTS if reinit_pairs(config, part)]
    drawn = [part for part in parts if part != "probing"]
    return drawn if "progressive" in drawn or "probing" not in parts else [*drawn, "progressive"]


def count_reinit_runs(config: Mapping[str, Any]) -> int:
    """The number of different runs that the parts of a study need together."""
    runs = {
        (model, task, run.variant, run.seed)
        for part in PARTS
        for model, task in reinit_pairs(config, part)
        for run in reinit_runs(config, model, task, part)
    }
    return len(runs)


def selection_runs(config: Mapping[str, Any], model: str, nu: str | Path) -> list[dict[str, Any]]:
    """The runs by which a pair's layer selection is judged, see ``selection_variants``.

    Parameters
    ----------
    nu : path-like
        The pair's variability table, which says which depth is selected.
    """
    with open(nu, encoding="utf-8", newline="") as table:
        (selected,) = [r["depth"] for r in csv.DictReader(table) if r["selected"] == "True"]
    settings, (layers, shared) = config["variability"], encoder_facts(config, model)
    suffix = "" if settings["size"] == "all" else f"_n{settings['size']}"
    kind = architecture_of(config, model)
    lacking = "" if kind in ADAPTED else f"where adapters go in a {kind} is not known"
    runs = selection_variants(int(selected), layers, settings["top"], shared, lacking)
    return [run | {"variant": run["variant"] and run["variant"] + suffix} for run in runs]


def compared_states(seeds: Sequence[int], original: bool = True) -> list[tuple[State, State]]:
    """The pairs of states (y, x) for which a study shows CKA: the paper's Figures 1, 2, 5 and 6.

    Parameters
    ----------
    original : bool, default True
        Whether the pretrained encoder is available.
    """
    states = [State.of_seed(seed) for seed in seeds]
    compared = [(PRETRAINED, PRETRAINED)] * original
    for state in states:
        compared += [(state, PRETRAINED)] * original + [(state, state)]
    return compared + ([(states[0], states[1])] if len(states) > 1 else [])
