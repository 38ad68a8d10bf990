"""The claims of Phang, Liu and Bowman (2021) about clusters of layers, and what decides them.

Early and late depths are the quarters at either end (``claims.ends``), the middle is the rest. CKA
is debiased and of the CLS vector. A loss is the full model's score minus another's. Section 3 of
the paper says "high inter-cluster but low intra-cluster similarity" of its blocks; its figures,
abstract and introduction say the reverse, which is what is judged here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.claim_evidence import (
    ORIG,
    Cells,
    Estimate,
    Pair,
    absent,
    at_own_depths,
    cells,
    early_depths,
    end_count,
    joined,
    largest,
    late_depths,
    least,
    likest,
    losses,
    mean_cell,
    mean_of,
    only,
    over_runs,
    state_cells,
    state_of,
    unknown,
)
from strata.analysis.claims import (
    Between,
    Claim,
    Found,
    Measure,
    OfPairs,
    OfStudy,
    Reading,
    Study,
)
from strata.analysis.correlations import MIN_TASKS, correlate
from strata.analysis.depth_bounds import Answers, smallest_within
from strata.evaluation.resampling import interval

PAPER = "Phang et al. 2021"
STUDIED = ("roberta", "albert", "electra")
ABOUT = 2  # depths by which "about 10" may be off
MORE_LAYERS = "a model of more layers"


# ---------------------------------------------------------------- blocks


def _separation(pair: Pair, kind: str, pretrained: bool = False) -> Reading:
    """How much more alike depths within blocks are than across: the separation."""
    table = pair.tables["blocks"]
    rows = table[(table["kind"] == kind) & (table["pooling"] == "raw")]
    own = rows["seed"].isna() if pretrained else rows["seed"].isin(pair.seeds)
    estimates = [
        Estimate(float(value), float(error))
        for value, error in rows.loc[own, ["separation", "separation_se"]].itertuples(index=False)
    ]
    found = over_runs(estimates, pair.settings)
    if not np.isfinite(found).all():
        return unknown(pair, "too few layers or examples, or CKA is undefined")
    reading = pair.reading(*found)
    return replace(reading, seeds="", about="this encoder") if pretrained else reading


def _border(pair: Pair, expected: int) -> Reading:
    """The distance from `expected` to the depth at which the first of two blocks ends."""
    table = pair.tables["blocks"]
    rows = table[(table["kind"] == "two") & (table["pooling"] == "raw")]
    rows = rows[rows["seed"].isin(pair.seeds)]
    if not rows["found"].astype(bool).all():
        return unknown(pair, "no two blocks are found in every run")
    # Depths between the blocks belong to neither, so the border may be anywhere among them.
    ends = np.concatenate([rows["early_end"], rows["late_begin"] - 1]).astype(float)
    distances = np.abs(ends - expected)
    low = 0.0 if ends.min() <= expected <= ends.max() else distances.min()
    note = f"the first block ends at depth {_listed(rows['early_end'])}"
    if (rows[["agree_early_end", "agree_late_begin"]] < pair.settings.confidence).any(axis=None):
        return replace(
            unknown(pair, f"{note}, but not in all half-samples"), value=distances.mean()
        )
    return pair.reading(distances.mean(), low, distances.max(), note)


def _listed(depths: pd.Series) -> str:
    return " or ".join(f"{depth:.0f}" for depth in dict.fromkeys(depths))


# ---------------------------------------------------------------- similarity of states


def _early_like_orig(pair: Pair) -> Reading:
    """The best CKA of FT with any depth of ORIG: mean over early minus mean over late depths."""
    layers, ends, estimates = pair.layers, pair.settings.ends, []
    for seed in pair.seeds:
        found = state_cells(pair, state_of(seed), ORIG)
        if found is None or not np.isfinite(found.value).all():
            return unknown(pair, "CKA with the pretrained encoder is undefined")
        every = range(1, layers + 1)
        early, late = (
            likest(found.at(depths(layers, ends), every), pair.settings.confidence)
            for depths in (early_depths, late_depths)
        )
        estimates.append(early.less(late))
    return pair.reading(*over_runs(estimates, pair.settings))


def _seeds_alike(pair: Pair) -> Reading:
    """FT[1]-FT[2]: mean CKA of late with late depths minus that of late with early ones."""
    table = pair.tables["cka"]
    others = table[(table["y_state"] != table["x_state"]) & (table["x_state"] != ORIG)]
    if others.empty:
        return absent(pair, "two seeds")
    states = others.iloc[0][["y_state", "x_state"]]
    found = state_cells(pair, *states)
    if found is None:
        return unknown(pair, "one of the first two runs failed")
    late, _ = _ends_alike(found, pair.settings.ends)
    return pair.reading(*over_runs([late], pair.settings))


def _ends_alike(found: Cells, share: float) -> tuple[Estimate, Estimate]:
    """Mean CKA of late with late depths, and of early with early ones, minus late with early."""
    layers = found.value.shape
    early, late = ([f(count, share) for count in layers] for f in (early_depths, late_depths))
    parts = found.at(early[0], late[1]), found.at(late[0], early[1])
    across = mean_cell(
        Cells(*(np.concatenate([getattr(p, n).ravel() for p in parts]) for n in ("value", "error")))
    )
    within = [mean_cell(found.at(*depths)).less(across) for depths in (late, early)]
    return within[0], within[1]


def _models_alike(end: str, study: Study, tasks: Sequence[str]) -> Iterator[Found]:
    """``_ends_alike`` for every two models, by task: the mean over seeds."""
    if "cka-models" not in study.tables:
        return
    table, settings = study.tables["cka-models"], study.settings
    for (y, y_kind), (x, x_kind) in combinations(study.architectures.items(), 2):
        for task in tasks:
            rows = table[
                (table["task"] == task) & (table["y_model"] == y) & (table["x_model"] == x)
            ]
            good = rows.loc[~rows["failed"].astype(bool), "seed"].unique()
            estimates = []
            for seed in good:
                found = cells(rows, seed=seed)
                if found is not None:
                    estimates.append(_ends_alike(found, settings.ends)[end == "early"])
            reading = Reading(note="every run of a model failed")
            if estimates:
                ends = over_runs(estimates, settings)
                n, seeds = int(rows["n_examples"].max()), " ".join(map(str, good))
                reading = Reading(*ends, n, seeds, settings.about(len(good)))
            yield Found(f"{y} & {x}", task, (y_kind, x_kind), reading)


# ---------------------------------------------------------------- truncation


def _lost_late(pair: Pair, reference: str | None = None) -> Reading:
    """What UNTUNED loses against the full model or `reference`, mean over late depths except L."""
    depths = late_depths(pair.layers, pair.settings.ends)[:-1]
    cut = mean_of(pair.answers("untuned"), depths)
    of = pair.full() if reference is None else mean_of(pair.answers(reference), depths)
    return pair.reading(*only(losses(of, cut, pair.settings)))


def _lost_without(pair: Pair, configuration: str, top: int) -> Reading:
    """What is lost without this number of top layers."""
    depth = pair.layers - top
    if depth < 1:
        return absent(pair, MORE_LAYERS)
    cut = mean_of(pair.answers(configuration), [depth])
    return pair.reading(*only(losses(pair.full(), cut, pair.settings)))


def _lost_below_late(pair: Pair) -> Reading:
    """What UNTUNED loses without any of the late layers."""
    return _lost_without(pair, "untuned", end_count(pair.layers, pair.settings.ends))


def _unlike_below_late(pair: Pair) -> Reading:
    """1 - CKA between the deepest depth below the late ones and depth L, of FT."""
    depth, estimates = pair.layers - end_count(pair.layers, pair.settings.ends), []
    for seed in pair.seeds:
        found = state_cells(pair, state_of(seed), state_of(seed))
        if found is None:
            return unknown(pair, "CKA is undefined")
        cell = mean_cell(found.at([depth], [pair.layers]))
        estimates.append(Estimate(1 - cell.value, cell.error))
    return pair.reading(*over_runs(estimates, pair.settings))


def _gap_to_orig(pair: Pair, tuned: str, orig: str) -> Reading:
    """TUNED minus TUNEDORIG: the smallest over the depths where TUNED beats the baseline by far.

    At other depths TUNEDORIG could not be far below TUNED.
    """
    if not (pair.has(tuned) and pair.has(orig)):
        return absent(pair, "heads.converged")
    own, other = pair.answers(tuned), pair.answers(orig)
    lows = [interval(drawn, pair.settings.confidence)[0] for drawn in own.drawn.mean(0)]
    depths = [d for d, low in enumerate(lows, 1) if low > pair.baseline + pair.settings.far]
    if not depths:
        return absent(pair, "a depth where TUNED beats the baseline by far")
    own, other = (joined([mean_of(a, [d]) for d in depths]) for a in (own, other))
    return pair.reading(*least(losses(own, other, pair.settings)), _depths_words(depths))


def _depths_words(depths: Sequence[int]) -> str:
    return f"the least of {len(depths)} depths, {min(depths)} to {max(depths)}"


def _share_lost(pair: Pair, configuration: str) -> Reading:
    """The share of layers that can be cut from the top while the loss stays small.

    The interval goes from the depths whose loss is certainly small to those whose loss may be.
    """
    found = losses(pair.full(), pair.answers(configuration), pair.settings)
    value, low, high = (
        1 - smallest_within(-lost, pair.settings.close) / pair.layers
        for lost in (found.value, found.high, found.low)
    )
    return pair.reading(value, low, high)


def _lost_at_block(pair: Pair) -> Reading:
    """What UNTUNED loses at the first depth of each run's late block."""
    table = pair.tables["blocks"]
    late = table[(table["kind"] == "late") & (table["pooling"] == "raw")].set_index("seed")
    begins = late.loc[late["found"].astype(bool), "late_begin"].dropna().astype(int).to_dict()
    seeds = [seed for seed in pair.good if seed in begins]
    if not seeds:
        return absent(pair, "a late block")
    places = [pair.good.index(seed) for seed in seeds]
    depths = [begins[seed] for seed in seeds]
    cut, full = (_of_runs(each, places, pair) for each in (pair.answers("untuned"), pair.full()))
    found = only(losses(full, at_own_depths(cut, depths), pair.settings))
    note = f"at depth {_listed(pd.Series(depths))}"
    return replace(pair.reading(*found, note), seeds=" ".join(map(str, seeds)))


def _of_runs(answers: Answers, places: Sequence[int], pair: Pair) -> Answers:
    own = answers.each(lambda part: part[list(places)])
    return replace(own, of_recipe=pair.settings.of_recipe(len(places)))


def _similarity_predicts(study: Study, tasks: Sequence[str]) -> Iterator[Found]:
    """Over tasks: the rank correlation of 1 - CKA(k, L) with what UNTUNED loses at that depth."""
    settings = study.settings
    for model, architecture in study.architectures.items():
        sides = [
            [study.readings[measure.name, model, task] for task in tasks]
            for measure in (UNLIKE_BELOW_LATE, LOST_BELOW_LATE)
        ]
        x, y = (np.array([reading.value for reading in side]) for side in sides)
        count = int((np.isfinite(x) & np.isfinite(y)).sum())
        reading = Reading(missing=f"{MIN_TASKS} tasks, there are {count}")
        if count >= MIN_TASKS:
            found = correlate(x, y, True, settings)
            seeds, note = sides[1][0].seeds, f"over {count} tasks"
            reading = Reading(found.value, found.low, found.high, None, seeds, "these tasks", note)
        yield Found(model, "", (architecture,), reading)


# ---------------------------------------------------------------- skipping


def _spans(pair: Pair, spans: Sequence[tuple[int, int]]) -> Answers | None:
    every = pair.skipped()
    return joined([every[span] for span in spans]) if spans else None


def _skipping(pair: Pair, spans: Sequence[tuple[int, int]], kind: str) -> Reading:
    """What skipping spans loses: the "mean", the "least" or the "largest" of the losses."""
    if "skipped" not in pair.tables:
        return absent(pair, f"{pair.model} in study.skipping")
    cut = _spans(pair, spans)
    if cut is None:
        return absent(pair, MORE_LAYERS)
    if kind == "mean":
        cut = mean_of(cut, range(1, len(spans) + 1))
    found = losses(pair.full(), cut, pair.settings)
    ends = {"mean": only, "least": least, "largest": largest}[kind](found)
    return pair.reading(*ends, f"{kind} of {len(spans)} spans" if len(spans) > 1 else "")


def _skip_any(pair: Pair) -> Reading:
    """Skipping any one layer except the first."""
    return _skipping(pair, [(layer, layer) for layer in range(2, pair.layers + 1)], "largest")


def _skip_first(pair: Pair) -> Reading:
    return _skipping(pair, [(1, 1)], "mean")


def _skip_middle(pair: Pair, count: int) -> Reading:
    """Skipping a number of contiguous middle layers, the mean of all places."""
    ends = end_count(pair.layers, pair.settings.ends)
    firsts = range(ends + 1, pair.layers - ends - count + 2)
    return _skipping(pair, [(first, first + count - 1) for first in firsts], "mean")


def _skip_late(pair: Pair) -> Reading:
    """Skipping two or more contiguous late layers, the smallest loss of all spans."""
    return _skipping(
        pair, list(combinations(late_depths(pair.layers, pair.settings.ends), 2)), "least"
    )


# ---------------------------------------------------------------- measures

CKA, CUTS, SKIPS = ("cka",), ("truncation",), ("truncation", "skipping")
BOTH = ("tuned", "tuned-orig")
TWO_BLOCKS = Measure("two-blocks", CKA)
LATE_BLOCK = Measure("late-block", CKA)
ORIG_TWO_BLOCKS = Measure("orig-two-blocks", CKA, of_runs=False, reads=(ORIG,))
ORIG_LATE_BLOCK = Measure("orig-late-block", CKA, of_runs=False, reads=(ORIG,))
BORDER = Measure("border-at-10", CKA)
EARLY_LIKE_ORIG = Measure("early-like-orig", CKA, reads=(ORIG,))
SEEDS_ALIKE = Measure("seeds-alike", CKA)
UNLIKE_BELOW_LATE = Measure("unlike-below-late", CKA)
LOST_LATE = Measure("untuned-lost-late", CUTS)
BELOW_TUNED_LATE = Measure("untuned-below-tuned", CUTS, reads=("tuned",))
LOST_WITHOUT_4 = Measure("untuned-lost-without-4", CUTS)
UNTUNED_WITHOUT_2 = Measure("untuned-lost-without-2", CUTS)
TUNED_WITHOUT_2 = Measure("tuned-lost-without-2", CUTS, reads=("tuned",))
LOST_BELOW_LATE = Measure("untuned-lost-below-late", CUTS)
GAP = Measure("gap-to-orig", CUTS, reads=BOTH)
GAP_CONVERGED = Measure("gap-to-orig-converged", CUTS, reads=BOTH)
SHARE_UNTUNED = Measure("share-untuned", CUTS)
SHARE_TUNED = Measure("share-tuned", CUTS, reads=("tuned",))
LOST_AT_BLOCK = Measure("untuned-lost-at-block", ("cka", "truncation"))
SKIP_ANY = Measure("skip-any", SKIPS)
SKIP_FIRST = Measure("skip-first", SKIPS)
SKIP_TWO = Measure("skip-middle-2", SKIPS)
SKIP_THREE = Measure("skip-middle-3", SKIPS)
SKIP_FOUR = Measure("skip-middle-4", SKIPS)
SKIP_LATE = Measure("skip-late", SKIPS)
# How each is read from a pair's tables; judging claims needs only their names.
MEASURES: Mapping[Measure, Callable[[Pair], Reading]] = {
    TWO_BLOCKS: partial(_separation, kind="two"),
    LATE_BLOCK: partial(_separation, kind="late"),
    ORIG_TWO_BLOCKS: partial(_separation, kind="two", pretrained=True),
    ORIG_LATE_BLOCK: partial(_separation, kind="late", pretrained=True),
    BORDER: partial(_border, expected=10),
    EARLY_LIKE_ORIG: _early_like_orig,
    SEEDS_ALIKE: _seeds_alike,
    UNLIKE_BELOW_LATE: _unlike_below_late,
    LOST_LATE: _lost_late,
    BELOW_TUNED_LATE: partial(_lost_late, reference="tuned-best"),
    LOST_WITHOUT_4: partial(_lost_without, configuration="untuned", top=4),
    UNTUNED_WITHOUT_2: partial(_lost_without, configuration="untuned", top=2),
    TUNED_WITHOUT_2: partial(_lost_without, configuration="tuned-best", top=2),
    LOST_BELOW_LATE: _lost_below_late,
    GAP: partial(_gap_to_orig, tuned="tuned", orig="tuned-orig"),
    GAP_CONVERGED: partial(_gap_to_orig, tuned="tuned-converged", orig="tuned-orig-converged"),
    SHARE_UNTUNED: partial(_share_lost, configuration="untuned"),
    SHARE_TUNED: partial(_share_lost, configuration="tuned-best"),
    LOST_AT_BLOCK: _lost_at_block,
    SKIP_ANY: _skip_any,
    SKIP_FIRST: _skip_first,
    SKIP_TWO: partial(_skip_middle, count=2),
    SKIP_THREE: partial(_skip_middle, count=3),
    SKIP_FOUR: partial(_skip_middle, count=4),
    SKIP_LATE: _skip_late,
}


# ---------------------------------------------------------------- claims


def _claim(key: str, place: str, title: str, statement: str, quantity: str, **more: Any) -> Claim:
    about = {"named": ("roberta", "albert"), "silent": ("electra",)} | more
    return Claim(key, PAPER, place, title, statement, quantity, **about)


def _alike(measure: Measure) -> dict[str, Any]:
    """Decided by a difference of CKA, which must be above 0."""
    return {"unit": "CKA", "source": OfPairs(measure), "relation": ">", "threshold": 0.0}


def _little(measure: Measure) -> dict[str, Any]:
    return {"unit": "points", "source": OfPairs(measure), "relation": "<=", "threshold": "close"}


def _much(measure: Measure) -> dict[str, Any]:
    return {"unit": "points", "source": OfPairs(measure), "relation": ">=", "threshold": "far"}


def _between_models(end: str) -> dict[str, Any]:
    """Decided by the similarity of two models' early, or late, depths."""
    source = OfStudy(CKA, partial(_models_alike, end))
    about = {"unit": "CKA", "source": source, "relation": ">", "threshold": 0.0}
    return about | {"named": STUDIED, "silent": (), "takes": "two models"}


ROBERTA_ALONE = {"named": ("roberta",), "silent": ()}
ELECTRA_ALONE = {"named": ("electra",), "silent": (), "others": False}
ALBERT_AND_ROBERTA = {"silent": (), "others": False}
BLOCK_TASKS = ("stsb", "yelp-polarity", "sst2")
SEPARATION = "separation of {}: the least CKA within less the largest across"
CLAIMS = (
    _claim(
        "P0a",
        "3, Figure 1 (ORIG-ORIG)",
        "ORIG: no two blocks",
        "the depths of the pretrained encoder fall into no two blocks",
        SEPARATION.format("two blocks, ORIG-ORIG"),
        **_alike(ORIG_TWO_BLOCKS) | {"relation": "<"},
        named=("albert",),
        silent=(),
    ),
    _claim(
        "P0b",
        "3, Figure 1 (ORIG-ORIG)",
        "ORIG: no late block",
        "the pretrained encoder has no late block",
        SEPARATION.format("a late block, ORIG-ORIG"),
        **_alike(ORIG_LATE_BLOCK) | {"relation": "<"},
        named=("albert",),
        silent=(),
    ),
    _claim(
        "P1a",
        "3.1, Figure 2 (FT-FT)",
        "FT: two blocks",
        "the depths of fine-tuned encoders fall into two blocks, early and late",
        SEPARATION.format("two blocks, FT-FT"),
        **_alike(TWO_BLOCKS),
        share="nearly_all",
    ),
    _claim(
        "P1b",
        "3.1, Figure 2 (FT-FT)",
        "FT: a late block",
        "fine-tuned encoders have a late block",
        SEPARATION.format("a late block, FT-FT"),
        **_alike(LATE_BLOCK),
        share="nearly_all",
    ),
    _claim(
        "P2",
        "3 and 3.1, Figure 5 (FT-ORIG)",
        "FT early like ORIG, late not",
        "early depths of fine-tuned encoders are like the pretrained one's, late ones unlike any",
        "best CKA with any ORIG depth, mean of the early less that of the late depths",
        **_alike(EARLY_LIKE_ORIG),
    ),
    _claim(
        "P3",
        "3, Figure 6 (FT[1]-FT[2])",
        "Late depths of seeds alike",
        "the late depths of two seeds are alike",
        "mean CKA of FT[1]-FT[2], late with late less late with early depths",
        **_alike(SEEDS_ALIKE),
    ),
    _claim(
        "P4",
        "3.1",
        "Late block sharper",
        "RoBERTa's blocks are often sharper than ALBERT's",
        SEPARATION.format("the late block, RoBERTa's less ALBERT's"),
        **_alike(LATE_BLOCK) | {"source": Between(LATE_BLOCK, "roberta", "albert")},
        **ALBERT_AND_ROBERTA,
    ),
    _claim(
        "P5a",
        "3.1, Figure 2 (FT-FT)",
        "No late block",
        "ELECTRA shows no blocks, but for three tasks",
        SEPARATION.format("a late block, FT-FT"),
        **_alike(LATE_BLOCK) | {"relation": "<"},
        **ELECTRA_ALONE,
        but=BLOCK_TASKS,
        share="every",
    ),
    _claim(
        "P5b",
        "3.1, Figure 2 (FT-FT)",
        "A late block",
        "ELECTRA shows a block on STS-B, Yelp Polarity and SST-2",
        SEPARATION.format("a late block, FT-FT"),
        **_alike(LATE_BLOCK),
        **ELECTRA_ALONE,
        tasks=BLOCK_TASKS,
        share="every",
    ),
    _claim(
        "P5c",
        "3.1, Figure 2 (FT-FT)",
        "Less sharp than RoBERTa's",
        "there ELECTRA's block is far less apparent than RoBERTa's",
        SEPARATION.format("the late block, RoBERTa's less ELECTRA's"),
        **_alike(LATE_BLOCK) | {"source": Between(LATE_BLOCK, "roberta", "electra", "electra")},
        named=("roberta", "electra"),
        silent=(),
        others=False,
        tasks=BLOCK_TASKS,
        share="every",
    ),
    _claim(
        "P5d",
        "3.1, Figure 2 (FT-FT)",
        "Less sharp than ALBERT's",
        "there ELECTRA's block is far less apparent than ALBERT's",
        SEPARATION.format("the late block, ALBERT's less ELECTRA's"),
        **_alike(LATE_BLOCK) | {"source": Between(LATE_BLOCK, "albert", "electra", "electra")},
        named=("albert", "electra"),
        silent=(),
        others=False,
        tasks=BLOCK_TASKS,
        share="every",
    ),
    _claim(
        "P6a",
        "4, Figure 3",
        "UNTUNED close to full, late",
        "UNTUNED is close to the full model at late depths",
        "full model less UNTUNED, mean over late depths but L",
        **_little(LOST_LATE),
    ),
    _claim(
        "P6b",
        "4, Figure 3",
        "UNTUNED close to TUNED, late",
        "UNTUNED is close to TUNED at late depths",
        "TUNED (tuned-best) less UNTUNED, mean over late depths but L",
        **_little(BELOW_TUNED_LATE),
    ),
    _claim(
        "P6c",
        "4",
        "Yelp without the top four",
        "on Yelp Polarity RoBERTa keeps its score without its top four layers (95.5 of 96.1)",
        "full model less UNTUNED at depth L - 4",
        **_little(LOST_WITHOUT_4),
        **ROBERTA_ALONE,
        others=False,
        tasks=("yelp-polarity",),
        share="every",
    ),
    _claim(
        "P7a",
        "4, Figure 3",
        "TUNEDORIG far below TUNED",
        "TUNEDORIG is far below TUNED wherever TUNED beats the baseline by far",
        "TUNED less TUNEDORIG, the least of those depths",
        **_much(GAP),
    ),
    _claim(
        "P7b",
        "4, Figure 3",
        "and with converged heads",
        "and so it is with heads tuned to convergence",
        "converged TUNED less converged TUNEDORIG, the least of those depths",
        **_much(GAP_CONVERGED),
    ),
    _claim(
        "P8a",
        "4, Figure 3",
        "Loses more layers, UNTUNED",
        "ALBERT can lose a larger share of its layers than RoBERTa, UNTUNED",
        "share of layers that can be cut with a loss that stays little, ALBERT's less RoBERTa's",
        unit="share",
        source=Between(SHARE_UNTUNED, "albert", "roberta"),
        relation=">",
        threshold=0.0,
        **ALBERT_AND_ROBERTA,
    ),
    _claim(
        "P8b",
        "4, Figure 3",
        "Loses more layers, TUNED",
        "ALBERT can lose a larger share of its layers than RoBERTa, TUNED",
        "share of layers that can be cut with a loss that stays little, ALBERT's less RoBERTa's",
        unit="share",
        source=Between(SHARE_TUNED, "albert", "roberta"),
        relation=">",
        threshold=0.0,
        **ALBERT_AND_ROBERTA,
    ),
    _claim(
        "P9a",
        "4, Figure 3",
        "UNTUNED collapses",
        "ELECTRA's UNTUNED collapses with almost any layer cut",
        "full model less UNTUNED at depth L - 2",
        **_much(UNTUNED_WITHOUT_2),
        **ELECTRA_ALONE,
    ),
    _claim(
        "P9b",
        "4, Figure 3",
        "TUNED falls",
        "ELECTRA's TUNED falls within one or two layers",
        "full model less TUNED (tuned-best) at depth L - 2",
        **_much(TUNED_WITHOUT_2),
        **ELECTRA_ALONE,
    ),
    _claim(
        "P10a",
        "4.1, Figure 4",
        "Skipping one layer costs little",
        "skipping any single layer but the first costs little",
        "full model less the model without a layer, the largest of layers 2 to L",
        **_little(SKIP_ANY),
        **ROBERTA_ALONE,
        of_tasks=0,
    ),
    _claim(
        "P10b",
        "4.1, Figure 4",
        "Skipping the first costs much",
        "skipping the first layer costs much on CoLA, STS-B and CosmosQA",
        "full model less the model without layer 1",
        **_much(SKIP_FIRST),
        **ROBERTA_ALONE,
        tasks=("cola", "stsb", "cosmosqa"),
        share="every",
    ),
    _claim(
        "P11a",
        "4.1, Figure 4",
        "Without 3 middle layers",
        "skipping three contiguous middle layers costs much on MNLI and RTE",
        "full model less the model without three middle layers, mean of all places",
        **_much(SKIP_THREE),
        **ROBERTA_ALONE,
        tasks=("mnli", "rte"),
        share="every",
    ),
    _claim(
        "P11b",
        "4.1, Figure 4",
        "SST-2 without 2 middle layers",
        "on SST-2 skipping two contiguous middle layers costs little",
        "full model less the model without two middle layers, mean of all places",
        **_little(SKIP_TWO),
        **ROBERTA_ALONE,
        tasks=("sst2",),
        share="every",
    ),
    _claim(
        "P11c",
        "4.1, Figure 4",
        "SST-2 without 4 middle layers",
        "on SST-2 skipping four contiguous middle layers costs much",
        "full model less the model without four middle layers, mean of all places",
        **_much(SKIP_FOUR),
        **ROBERTA_ALONE,
        tasks=("sst2",),
        share="every",
    ),
    _claim(
        "P11d",
        "4.1, Figure 4",
        "Late layers can be skipped",
        "several late layers can be skipped at little cost",
        "full model less the model without two or more late layers, the least of all spans",
        **_little(SKIP_LATE),
        **ROBERTA_ALONE,
        of_tasks=0,
    ),
    _claim(
        "P12a",
        "3, Figure 1 (FT-FT)",
        "Two blocks on RTE",
        "ALBERT on RTE has two blocks",
        SEPARATION.format("two blocks, FT-FT"),
        **_alike(TWO_BLOCKS),
        named=("albert",),
        others=False,
        tasks=("rte",),
        share="every",
    ),
    _claim(
        "P12b",
        "3, Figure 1 (FT-FT)",
        "of about 10 and 14 layers",
        "and they have about 10 and 14 of its layers",
        "distance of the first block's end from depth 10",
        unit="depths",
        source=OfPairs(BORDER),
        relation="<=",
        threshold=float(ABOUT),
        named=("albert",),
        others=False,
        tasks=("rte",),
        share="every",
    ),
    _claim(
        "P13a",
        "B, Figure 7",
        "Late like late",
        "late depths of different models are like each other",
        "mean CKA between two models, late with late less late with early depths",
        **_between_models("late"),
    ),
    _claim(
        "P13b",
        "B, Figure 7",
        "Early like early",
        "and so are their early depths",
        "mean CKA between two models, early with early less late with early depths",
        **_between_models("early"),
    ),
    _claim(
        "P14a",
        "3.1 and 4",
        "UNTUNED close at the late block",
        "UNTUNED at the late block's first depth is close to the full model",
        "full model less UNTUNED at the first depth of each run's late block",
        **_little(LOST_AT_BLOCK),
    ),
    _claim(
        "P14b",
        "3.1 and 4",
        "1 − CKA predicts the loss",
        "over tasks, 1 - CKA(k, L) predicts what UNTUNED loses at depth k",
        "Spearman's correlation over tasks, at the deepest depth that is not late",
        unit="correlation",
        source=OfStudy(("cka", "truncation"), _similarity_predicts),
        relation=">",
        threshold=0.0,
        named=STUDIED,
        silent=(),
    ),
)
