"""The claims of Tamkin et al. (2020) about what pretrained layers give, and what decides them.

Only the abstract was available: T1 and T2 are from it, T3 to T6 from the authors' published code.
Scores are compared at one number of training examples; a loss is the plain run's score minus
another's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from strata.analysis.claim_evidence import Losses, Pair, largest, losses, mean_of, only
from strata.analysis.claim_runs import (
    Part,
    may_be_best,
    mean_gain,
    of_size,
    over_places,
    parts_by_size,
    reading,
)
from strata.analysis.claims import Claim, Found, Measure, OfPairs, OfStudy, Reading, Study
from strata.analysis.depth_bounds import Answers
from strata.study.plans import PARTS
from strata.study.variants import Variant

PAPER = "Tamkin et al. 2020"
UNCHECKED = "from the authors' code; not checked against the paper"
SHARED = "a model whose layers have weights of their own"
PLENTIFUL = 10  # times as many training examples as the scarce number
PLAIN_FAILED = "every plain run of as many examples failed"


def _losses(part: Part, variants: Sequence[str]) -> Losses:
    """What variants lose against the plain run."""
    plain = part.answers([_plain(part)])
    return losses(plain, part.answers(variants), part.pair.settings)


def _plain(part: Part) -> str:
    return next(v for v in part.rows["variant"] if Variant.parse(v).kind == "full")


def _absent(pair: Pair, key: str) -> Reading:
    """What the study would need if a part has no runs."""
    return Reading(missing=f"reinit.{key}" if set(PARTS) & set(pair.tables) else SHARED)


# ---------------------------------------------------------------- probing


def _best_probing(pair: Pair) -> tuple[Part, list[str], int, list[int]] | Reading:
    """The localized part, the spans of its blocks, the best-probing block and all that may be it.

    A block probes as well as its last layer: the head is trained on the frozen layers up to it.
    """
    parts = parts_by_size(pair, "localized")
    if not parts:
        return _absent(pair, "localized")
    part = parts[-1]
    spans = [Variant.parse(variant).span for variant in part.variants("reinit")]
    probing = of_size(parts_by_size(pair, "probing"), part.examples)
    probed = (
        {} if probing is None else dict(probing.series("probed")[["position", "variant"]].values)
    )
    if probing is None or not all(span[-1] in probed for span in spans):
        return Reading(
            missing="reinit.probing at the size of reinit.localized, its step at the blocks' ends"
        )
    if not part.seeds:
        return Reading(note=PLAIN_FAILED)
    if probing.rows["failed"].astype(bool).all():
        return Reading(note="no probe beats the baseline")
    best, places = may_be_best(probing.answers([probed[span[-1]] for span in spans]), pair)
    return part, [f"{span[0]}–{span[-1]}" for span in spans], best, places


def _probing_words(spans: Sequence[str], best: int, places: Sequence[int]) -> str:
    others = [spans[place] for place in places if place != best]
    may = f" (or {', '.join(others)})" if others else ""
    return f"layers {spans[best]} probe best{may}"


def _without_best(pair: Pair) -> Reading:
    """What new weights for the best-probing block lose."""
    found = _best_probing(pair)
    if isinstance(found, Reading):
        return found
    part, spans, best, places = found
    lost = _losses(part, part.variants("reinit"))
    words = _probing_words(spans, best, places)
    return reading(pair, over_places(lost, best, places), part.seeds, words)


def _best_alone(pair: Pair) -> Reading:
    """The score halfway from all layers new to none new, minus that with only the best block kept.

    Above 0, the block alone recovers less than half of what pretraining gives.
    """
    found = _best_probing(pair)
    if isinstance(found, Reading):
        return found
    part, spans, best, places = found
    kept, new = part.variants("keep"), part.variants("embeddings")
    if not kept or not new:
        return Reading(missing="reinit.localized.inverse")
    ends = part.answers([_plain(part), *new])
    gives = only(losses(ends.at(slice(0, 1)), ends.at(slice(1, 2)), pair.settings))
    if gives[1] <= 0:
        return Reading(note="pretraining of the layers gives nothing that is seen beyond chance")
    half = mean_of(ends, [1, 2])
    lacks = losses(half, part.answers(kept), pair.settings)
    alone = 0.5 - lacks.value[best] / gives[0]
    words = f"{_probing_words(spans, best, places)}; alone they recover {alone:.0%}"
    return reading(pair, over_places(lacks, best, places), part.seeds, words)


# ---------------------------------------------------------------- number of examples


def _plentiful_and_scarce(pair: Pair) -> tuple[Part, Part] | Reading:
    parts = parts_by_size(pair, "progressive")
    if not parts:
        return _absent(pair, "progressive")
    scarce, plentiful = parts[0], parts[-1]
    if plentiful.examples < PLENTIFUL * scarce.examples:
        return Reading(
            missing=f"reinit.progressive.sizes of which one is {PLENTIFUL} times another"
        )
    for part in (scarce, plentiful):
        if not part.seeds:
            return Reading(note=f"every plain run of {part.examples:,} examples failed")
    return plentiful, scarce


def _steps(part: Part) -> tuple[Answers, Answers]:
    """Scores with each layer (or `step` layers) preserved besides those below, and without it."""
    scored = part.answers(part.variants("reinitialised"))
    count = scored.scores.shape[1]
    return scored.at(slice(1, count)), scored.at(slice(0, count - 1))


def _most_when_plentiful(pair: Pair) -> Reading:
    """What one layer's pretrained weights gain with most examples: the largest over layers."""
    found = _plentiful_and_scarce(pair)
    if isinstance(found, Reading):
        return found
    plentiful, _ = found
    given = losses(*_steps(plentiful), pair.settings)
    words = (
        f"layer {_layers_of(plentiful, int(given.value.argmax()))}, {plentiful.examples:,} examples"
    )
    return reading(pair, largest(given), plentiful.seeds, words)


def _same_when_scarce(pair: Pair) -> Reading:
    """What the same layer's weights gain with fewest examples."""
    found = _plentiful_and_scarce(pair)
    if isinstance(found, Reading):
        return found
    plentiful, scarce = found
    given, few = (losses(*_steps(part), pair.settings) for part in found)
    best = int(given.value.argmax())
    # Which layer gains most is as uncertain as the gains.
    places = [place for place, high in enumerate(given.high) if high >= given.low[best]]
    words = f"layer {_layers_of(plentiful, best)}, {scarce.examples:,} examples"
    return reading(pair, over_places(few, best, places), scarce.seeds, words)


def _layers_of(part: Part, place: int) -> str:
    """The layers between two neighbouring numbers of preserved layers."""
    below, preserved = part.series("reinitialised")["position"].astype(int).iloc[place : place + 2]
    return str(preserved) if preserved == below + 1 else f"{below + 1}–{preserved}"


# ---------------------------------------------------------------- blocks, orders, norms, rates


def _early_missed_more(pair: Pair) -> Reading:
    """What a new block loses: mean over blocks in the lower half minus mean over the upper half."""
    parts = parts_by_size(pair, "localized")
    if not parts:
        return _absent(pair, "localized")
    variants = parts[-1].variants("reinit")
    half = len(variants) // 2
    if not half:
        return Reading(missing="reinit.localized with two blocks or more")
    if not parts[-1].seeds:
        return Reading(note=PLAIN_FAILED)
    lower, upper = (parts[-1].answers(v) for v in (variants[:half], variants[-half:]))
    return reading(pair, mean_gain(upper, lower, pair), parts[-1].seeds)


def _permuted(pair: Pair) -> Reading:
    """What another order of the layers loses, the mean over orders."""
    parts = parts_by_size(pair, "permutation")
    if not parts:
        return _absent(pair, "permutation")
    part = parts[-1]
    if not part.seeds:
        return Reading(note=PLAIN_FAILED)
    orders = part.variants("permuted")
    plain, permuted = part.answers([_plain(part)]), part.answers(orders)
    return reading(pair, mean_gain(plain, permuted, pair), part.seeds, f"{len(orders)} orders")


def _orders_alike(study: Study, tasks: Sequence[str]) -> Iterator[Found]:
    """Spearman's correlation of two tasks over orders of the layers, the mean over pairs of tasks.

    Its error is the one that equal errors would give, since the pairs share the orders.
    """
    table = study.tables.get("permutation-correlations", pd.DataFrame(columns=["model", "kind"]))
    for model, architecture in study.architectures.items():
        rows = table[(table["model"] == model) & (table["kind"] == "spearman")]
        if len(tasks) < 2 or rows.empty:
            yield Found(
                model, "", (architecture,), Reading(missing="reinit.permutation, two tasks")
            )
            continue
        value, low, high = rows[["correlation", "low", "high"]].mean(skipna=False).astype(float)
        pairs = f"{len(rows)} pair{'s' * (len(rows) > 1)} of tasks"
        note = f"{pairs}, {rows['n'].min():.0f} orders"
        found = Reading(value, low, high, about="orders of the layers", note=note)
        yield Found(model, "", (architecture,), found)


def _gained(pair: Pair, key: str, part: str, series: str) -> Reading:
    """What another way to train new layers gains with most examples, mean over how many are new."""
    parts = parts_by_size(pair, part)
    if not parts:
        return _absent(pair, key)
    own = parts[-1]
    if not own.seeds:
        return Reading(note=PLAIN_FAILED)
    # The last of each is the plain run, without new layers.
    other, usual = (own.variants(name)[:-1] for name in (series, "reinitialised"))
    ends = mean_gain(own.answers(other), own.answers(usual), pair)
    lost = only(
        losses(own.answers([_plain(own)]), mean_of(own.answers(usual), _all(usual)), pair.settings)
    )
    words = f"{own.examples:,} examples; new layers lose {100 * lost[0]:.1f} points without it"
    return reading(pair, ends, own.seeds, words)


def _all(variants: Sequence[str]) -> range:
    return range(1, len(variants) + 1)


# ---------------------------------------------------------------- claims


REINIT = ("reinit",)
WITHOUT_BEST = Measure("without-best-probing", REINIT, of_runs=False)
BEST_ALONE = Measure("best-probing-alone", REINIT, of_runs=False)
WHEN_PLENTIFUL = Measure("layer-when-plentiful", REINIT, of_runs=False)
WHEN_SCARCE = Measure("layer-when-scarce", REINIT, of_runs=False)
EARLY_MISSED = Measure("early-missed-more", REINIT, of_runs=False)
PERMUTED = Measure("permuted-lost", REINIT, of_runs=False)
NORMS = Measure("norms-gained", REINIT, of_runs=False)
FASTER = Measure("faster-gained", REINIT, of_runs=False)
MEASURES: Mapping[Measure, Callable[[Pair], Reading]] = {
    WITHOUT_BEST: _without_best,
    BEST_ALONE: _best_alone,
    WHEN_PLENTIFUL: _most_when_plentiful,
    WHEN_SCARCE: _same_when_scarce,
    EARLY_MISSED: _early_missed_more,
    PERMUTED: _permuted,
    NORMS: partial(_gained, key="kept_norms", part="kept-norms", series="kept-norms"),
    FASTER: partial(_gained, key="faster_layers", part="faster-layers", series="faster"),
}


def _claim(key: str, place: str, title: str, statement: str, quantity: str, **more: Any) -> Claim:
    about: dict[str, Any] = {"named": ("bert",), "of_tasks": 3, "unit": "points"} | more
    return Claim(key, PAPER, place, title, statement, quantity, **about)


def _of(measure: Measure, relation: str, threshold: float | str) -> dict[str, Any]:
    return {"source": OfPairs(measure), "relation": relation, "threshold": threshold}


CLAIMS = (
    _claim(
        "T1a",
        "abstract",
        "Best-probing block not necessary",
        "layers that probe best are not necessary: new weights for them cost little",
        "plain run less the run whose best-probing block is new",
        **_of(WITHOUT_BEST, "<=", "close"),
    ),
    _claim(
        "T1b",
        "abstract",
        "Best-probing block not sufficient",
        "nor sufficient: alone pretrained, they recover under half of what pretraining gives",
        "halfway from all layers new to none, less the run whose other blocks are new",
        **_of(BEST_ALONE, ">", 0.0),
    ),
    _claim(
        "T2a",
        "abstract",
        "A layer gives much with many",
        "with plenty of examples the pretrained weights of some layer give much",
        "run with the layer preserved less the run with it new, the most of all layers",
        **_of(WHEN_PLENTIFUL, ">=", "far"),
    ),
    _claim(
        "T2b",
        "abstract",
        "and next to nothing with few",
        "with few examples the weights of the same layer give next to nothing",
        "run with that layer preserved less the run with it new, at the fewest examples",
        **_of(WHEN_SCARCE, "<=", "close"),
    ),
    _claim(
        "T3",
        "code: localized",
        "Early blocks missed most",
        "early blocks are missed most",
        "what a new block loses, mean over the lower half of blocks less the upper half",
        **_of(EARLY_MISSED, ">", 0.0),
        remark=UNCHECKED,
    ),
    _claim(
        "T4a",
        "code: permutation",
        "Permuting layers hurts",
        "another order of the pretrained layers loses much",
        "plain run less the runs with permuted layers, mean over orders",
        **_of(PERMUTED, ">=", "far"),
        remark=UNCHECKED,
    ),
    _claim(
        "T4b",
        "code: permutation",
        "Tasks agree on orders",
        "tasks agree on which orders are worse",
        "Spearman's correlation of two tasks over orders, mean over pairs of tasks",
        unit="correlation",
        source=OfStudy(("reinit",), _orders_alike),
        relation=">",
        threshold=0.0,
        remark=UNCHECKED,
    ),
    _claim(
        "T5",
        "code: layer norms kept",
        "It is not the layer norms",
        "keeping the layer norms of new layers gains little",
        "layer norms kept less reset, mean over how many layers are new",
        **_of(NORMS, "<=", "close"),
        remark=UNCHECKED,
    ),
    _claim(
        "T6",
        "code: five times the rate",
        "It is not the learning rate",
        "a higher learning rate for new layers gains little",
        "new layers at the higher rate less at the same, mean over how many layers are new",
        **_of(FASTER, "<=", "close"),
        remark=UNCHECKED,
    ),
)
