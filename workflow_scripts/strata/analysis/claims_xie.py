"""The claims of Xie et al. (2022) about layers that variability selects, and what decides them.

Only the abstract was available. It says "can" and "often", so a claim must hold in most tasks. How
many layers are trained is not chosen by the score: the comparison with the same number of last
layers is the mean over all numbers, the others use the largest. Seconds and memory are those of the
jobs, whatever else ran on the machine; their intervals are Student's t over seeds, of logarithms.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp, sqrt
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.claim_evidence import Pair, losses, only
from strata.analysis.claim_runs import answers_of, mean_gain, reading
from strata.analysis.claims import NAN, Claim, Measure, OfPairs, Reading

PAPER = "Xie et al. 2022"
NO_RUNS = "every run of the whole model failed"
LAST = "a task whose selected depth is not the last"
LAYERS = 12


def _rows(pair: Pair, comparison: str, top: float | None = None) -> pd.DataFrame:
    """Finished runs of one comparison, by seed."""
    table = pair.tables["selection"]
    rows = table[(table["comparison"] == comparison) & table["variant"].notna()]
    return (rows if top is None else rows[rows["top"] == top]).sort_values("seed")


def _variant(pair: Pair, comparison: str, top: float | None = None) -> str | None:
    rows = _rows(pair, comparison, top)
    return None if rows.empty else str(rows["variant"].iloc[0])


def _tops(pair: Pair) -> list[int]:
    """The numbers of layers up to the selected depth that are trained."""
    return sorted({int(top) for top in _rows(pair, "selected")["top"]})


def _nothing_selected(pair: Pair) -> Reading:
    """What the study would need, and why none of the selected layers are trained."""
    table = pair.tables["selection"]
    reasons = table.loc[table["comparison"] == "selected", "reason"].dropna()
    why = "; ".join(dict.fromkeys(map(str, reasons)))
    return Reading(missing=f"selected layers that can be trained alone ({why})")


def _seeds(pair: Pair) -> list[int]:
    """The seeds whose run of the whole model did not fail."""
    rows = _rows(pair, "whole")
    return [int(seed) for seed in rows.loc[~rows["failed"].astype(bool), "seed"]]


def _all_failed(pair: Pair, comparison: str, top: float | None = None) -> bool:
    rows = _rows(pair, comparison, top)
    return bool(rows.loc[rows["seed"].isin(_seeds(pair)), "failed"].astype(bool).all())


def _answers(pair: Pair, variants: Sequence[str]) -> Any:
    metric = str(_rows(pair, "whole")["metric"].iloc[0])
    return answers_of(pair, variants, _seeds(pair), metric)


# ---------------------------------------------------------------- scores


def _selected_less_last(pair: Pair) -> Reading:
    """Training the selected layers minus training as many last ones, mean over how many."""
    if not _seeds(pair):
        return Reading(note=NO_RUNS)
    pairs = {
        top: (_variant(pair, "selected", top), _variant(pair, "last", top)) for top in _tops(pair)
    }
    other = {top: both for top, both in pairs.items() if all(both) and both[0] != both[1]}
    if not other:
        return Reading(missing=LAST)
    told = [
        top
        for top in other
        if not (_all_failed(pair, "selected", top) and _all_failed(pair, "last", top))
    ]
    if not told:
        return Reading(note="neither beats the baseline, however many layers are trained")
    selected, last = (_answers(pair, [str(other[top][i]) for top in told]) for i in (0, 1))
    words = f"layers trained: {', '.join(map(str, told))}"
    return reading(pair, mean_gain(selected, last, pair), _seeds(pair), words)


def _below(pair: Pair, comparison: str) -> Reading:
    """What training the selected layers loses against another way to train."""
    if not _seeds(pair):
        return Reading(note=NO_RUNS)
    tops = _tops(pair)
    if not tops:
        return _nothing_selected(pair)
    if _all_failed(pair, comparison):
        return Reading(note="no such run beats the baseline")
    selected, other = _variant(pair, "selected", tops[-1]), _variant(pair, comparison)
    found = losses(_answers(pair, [str(other)]), _answers(pair, [str(selected)]), pair.settings)
    return reading(pair, only(found), _seeds(pair), f"{selected} against {other}")


# ---------------------------------------------------------------- selection


def _steady(pair: Pair, varied: str) -> Reading:
    """The share of subsamples from which nu selects the depth that it selects from all examples.

    In models of 24 layers a neighbouring depth counts as the same: it is half a depth of 12.
    """
    table, found = pair.tables["robustness"], pair.tables["nu-finding"].iloc[0]
    rows = table[(table["varied"] == varied) & (table["measure"] == "nu")]
    # The largest size is all examples, and one ratio is equally frequent classes.
    rows = rows[rows["repeats"] > 1] if varied == "size" else rows[rows["level"] > 1]
    if rows.empty:
        reason = table.loc[table["varied"] == varied, "reason"].dropna()
        possible = f" that are possible ({reason.iloc[0]})" if len(reason) else ""
        return Reading(missing=f"variability.robustness.{varied}s{possible}")
    level = rows["level"].min() if varied == "size" else rows["level"].max()
    rows, layers = rows[rows["level"] == level], int(rows["depth"].max())
    near, selected = layers // (2 * LAYERS), int(found["depth_nu"])
    value = float(rows.loc[(rows["depth"] - selected).abs() <= near, "share"].sum())
    repeats = int(rows["repeats"].iloc[0])
    words = f"{repeats} subsamples of {rows['examples'].iloc[0]:,.0f} examples"
    words += f", classes 1:{level}" if varied == "ratio" else ""
    if found["depth_shuffled"] == selected:
        words += f"; shuffled labels select depth {selected}, too"
    ends = _wilson(value, repeats, pair.settings.confidence)
    return Reading(value, *ends, None, "", "subsamples", words)


def _wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """The interval of a share (Wilson 1927)."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return middle - reach, middle + reach


# ---------------------------------------------------------------- costs


def _share_of_an_epoch(pair: Pair) -> Reading:
    """nu's seconds as a share of an epoch's of fine-tuning the whole model on as many examples."""
    cost, whole = pair.tables["nu-cost"].iloc[0], _rows(pair, "whole")
    if (whole["device"] != cost["device"]).any():
        return Reading(note=f"nu ran on {cost['device']}, fine-tuning on {whole['device'].iloc[0]}")
    epochs = (whole["epoch_seconds"] / whole["train_examples"]).to_numpy()
    own = np.array([cost["seconds"] / cost["examples"]])
    ends = cost_ratio(own, epochs, pair.settings.confidence)
    words = (
        f"{cost['seconds']:.3g} s for {cost['examples']:,.0f} examples; an epoch of "
        f"{whole['train_examples'].iloc[0]:,.0f} takes {whole['epoch_seconds'].mean():.3g} s"
    )
    return _of_costs(ends, whole, words)


def _saved(pair: Pair, column: str) -> Reading:
    """The share of the whole model's cost that training the selected layers saves."""
    tops, whole = _tops(pair), _rows(pair, "whole")
    if not tops:
        return _nothing_selected(pair)
    part = _rows(pair, "selected", tops[-1])
    # Per training example: batches and epochs may differ between the two.
    costs = [
        rows[column] / (rows["train_examples"] if column == "epoch_seconds" else 1)
        for rows in (part, whole)
    ]
    if any(cost.isna().any() for cost in costs):
        return Reading(missing=f"runs whose run.json has {column}")
    if len({*part["device"], *whole["device"]}) > 1:
        return Reading(note="the runs were on different devices")
    own, full = (cost.to_numpy() for cost in costs)
    value, low, high = cost_ratio(own, full, pair.settings.confidence)
    variant, device = part["variant"].iloc[0], whole["device"].iloc[0]
    words = f"{variant} against the whole model, on {device}"
    return _of_costs((1 - value, 1 - high, 1 - low), whole, words)


def cost_ratio(own: np.ndarray, whole: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The ratio of two costs' geometric means, and its interval over seeds.

    Student's t of the logarithms with Welch's degrees of freedom (1947). A cost that was measured
    once is assumed to vary as the other does; with a single seed there is no interval.
    """
    from scipy.special import stdtrit  # only where costs are compared

    logs = [np.log(own), np.log(whole)]
    mean, counts = float(logs[0].mean() - logs[1].mean()), [len(each) for each in logs]
    if counts[1] < 2:
        return exp(mean), NAN, NAN
    spread = [
        float(each.var(ddof=1)) if len(each) > 1 else float(logs[1].var(ddof=1)) for each in logs
    ]
    parts = [variance / count for variance, count in zip(spread, counts, strict=True)]
    if counts[0] < 2:
        freedom = float(counts[1] - 1)
    else:
        below = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
        freedom = sum(parts) ** 2 / below if below else 1.0
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(sum(parts))
    return exp(mean), exp(mean - reach), exp(mean + reach)


def _of_costs(ends: tuple[float, float, float], rows: pd.DataFrame, note: str) -> Reading:
    seeds = " ".join(str(int(seed)) for seed in rows["seed"])
    if len(rows) < 2:
        note = f"{note}; of one seed nothing says how it varies"
    return Reading(*ends, None, seeds, "the recipe, on this machine", note)


# ---------------------------------------------------------------- claims


VARIABILITY = ("variability",)
SELECTED_LESS_LAST = Measure("selected-less-last", VARIABILITY, of_runs=False)
BELOW_WHOLE = Measure("selected-below-whole", VARIABILITY, of_runs=False)
BELOW_ADAPTERS = Measure("selected-below-adapters", VARIABILITY, of_runs=False)
STEADY_SCARCE = Measure("selection-scarce", VARIABILITY, of_runs=False)
STEADY_UNBALANCED = Measure("selection-unbalanced", VARIABILITY, of_runs=False)
SHARE_OF_EPOCH = Measure("nu-share-of-epoch", VARIABILITY, of_runs=False)
TIME_SAVED = Measure("selected-saves-time", VARIABILITY, of_runs=False)
MEMORY_SAVED = Measure("selected-saves-memory", VARIABILITY, of_runs=False)
MEASURES: Mapping[Measure, Callable[[Pair], Reading]] = {
    SELECTED_LESS_LAST: _selected_less_last,
    BELOW_WHOLE: partial(_below, comparison="whole"),
    BELOW_ADAPTERS: partial(_below, comparison="adapter"),
    STEADY_SCARCE: partial(_steady, varied="size"),
    STEADY_UNBALANCED: partial(_steady, varied="ratio"),
    SHARE_OF_EPOCH: _share_of_an_epoch,
    TIME_SAVED: partial(_saved, column="epoch_seconds"),
    MEMORY_SAVED: partial(_saved, column="peak_memory_mb"),
}


def _claim(
    key: str,
    title: str,
    statement: str,
    quantity: str,
    measure: Measure,
    relation: str,
    threshold: float | str,
    unit: str = "points",
) -> Claim:
    about: dict[str, Any] = {"unit": unit, "relation": relation, "threshold": threshold}
    about |= {"source": OfPairs(measure), "named": ("roberta",), "of_tasks": 8}
    return Claim(key, PAPER, "abstract", title, statement, quantity, **about)


CLAIMS = (
    _claim(
        "X1",
        "Selected layers beat the last",
        "training the layers that nu selects beats training as many top layers",
        "selected less last layers, mean over how many are trained",
        SELECTED_LESS_LAST, ">", 0.0,
    ),
    _claim(
        "X2a",
        "Selected match the whole model",
        "training the selected layers matches fine-tuning the whole model",
        "whole model less selected layers, the most that are trained",
        BELOW_WHOLE, "<=", "close",
    ),
    _claim(
        "X2b",
        "Selected match adapters",
        "and matches adapters on the whole model",
        "adapters in all layers less selected layers, the most that are trained",
        BELOW_ADAPTERS, "<=", "close",
    ),
    _claim(
        "X3a",
        "nu selects alike from few",
        "nu selects the same depth from few examples",
        "share of subsamples of the smallest size that select the depth of all examples",
        STEADY_SCARCE, ">", "most", "share",
    ),
    _claim(
        "X3b",
        "nu selects alike if unbalanced",
        "nu selects the same depth from unbalanced classes",
        "share of subsamples of the most unequal classes that select the depth of all examples",
        STEADY_UNBALANCED, ">", "most", "share",
    ),
    _claim(
        "X4",
        "nu is cheap",
        "nu, forward pass included, is cheaper than an epoch of fine-tuning",
        "seconds of nu by those of an epoch on as many examples",
        SHARE_OF_EPOCH, "<", 1.0, "",
    ),
    _claim(
        "X5a",
        "Selected layers save time",
        "training the selected layers alone saves time",
        "share of the time of a training example that is saved, the most layers that are trained",
        TIME_SAVED, ">", 0.0, "share",
    ),
    _claim(
        "X5b",
        "Selected layers save memory",
        "and memory",
        "share of the peak memory that is saved, the most layers that are trained",
        MEMORY_SAVED, ">", 0.0, "share",
    ),
)  # fmt: skip
