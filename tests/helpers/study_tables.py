"""Tables of a study that was never run, of any size: what the explorer is made from."""

from itertools import product

import numpy as np
import pandas as pd

from strata.study.run_records import RunMetrics

CONFIGURATIONS = ("untuned", "tuned", "tuned-converged", "tuned-orig", "tuned-orig-converged")
EXAMPLES = 400


def study_tables(models, tasks, seeds, depths, rng=None) -> dict[str, pd.DataFrame]:
    """Tables by their names in the explorer, random where a number is wanted."""
    rng = rng or np.random.default_rng(0)
    makers = (_cka, _blocks, _truncation, _calibration, _controls, _verdicts, _skipping, _frontier)
    pairs = list(product(models, tasks))
    return {
        make.__name__[1:]: pd.concat(
            [
                make(seeds, depths, rng).assign(model=model, task=task)
                for model, task in pairs
            ],
            ignore_index=True,
        )
        for make in (*makers, _variability)
    }  # fmt: skip


def runs(models, tasks, seeds, failed=()) -> dict[tuple[str, str, int], RunMetrics]:
    """Records of runs, of which some `failed`."""
    found = {}
    for run in product(models, tasks, seeds):
        bad = run in failed
        score = 0.5 if bad else 0.9
        found[run] = RunMetrics(
            "accuracy", score, score - 0.05, score + 0.05, 0.5, EXAMPLES, False, bad, 0.95, 1000
        )
    return found


def _cka(seeds, depths, rng):
    states = ["pretrained", *(f"full-seed{seed}" for seed in seeds)]
    compared = [(y, x) for y in states for x in states[:1]] + [(s, s) for s in states[1:]]
    compared += [(states[1], states[2])] if len(seeds) > 1 else []
    places = list(product(range(1, depths + 1), repeat=2))
    rows = [
        (y, x, *place, "raw", estimator)
        for (y, x), estimator, place in product(compared, ("biased", "debiased"), places)
    ]
    names = ["y_state", "x_state", "y_depth", "x_depth", "pooling", "estimator"]
    return pd.DataFrame(rows, columns=names).assign(
        cka=rng.random(len(rows)), se=0.1 * rng.random(len(rows)), n=EXAMPLES, n_examples=EXAMPLES,
        note="", failed=False,
    )  # fmt: skip


def _blocks(seeds, depths, rng):
    begin = depths // 2 + 1
    rows = [
        {"state": f"full-seed{seed}", "seed": seed, "kind": kind, "found": True, "early_begin": 1}
        for seed, kind in product(seeds, ("late", "two"))
    ]
    return pd.DataFrame(rows).assign(
        pooling="raw", separation=0.3, separation_low=0.2, early_end=begin - 1, late_begin=begin,
        layers=depths, n_examples=EXAMPLES, failed=False,
    )  # fmt: skip


def _by_depth(seeds, depths):
    rows = list(product(seeds, CONFIGURATIONS, range(1, depths + 1)))
    return pd.DataFrame(rows, columns=["seed", "configuration", "depth"])


def _truncation(seeds, depths, rng):
    table = _by_depth(seeds, depths)
    full = [(seed, "full", depths) for seed in seeds] + [(None, "baseline", None)]
    table = pd.concat([table, pd.DataFrame(full, columns=table.columns)], ignore_index=True)
    value = rng.random(len(table))
    return table.assign(
        metric="accuracy", value=value, low=value - 0.1, high=value + 0.1, degenerate=False,
        n=EXAMPLES, n_examples=EXAMPLES, failed=False,
    )  # fmt: skip


def _calibration(seeds, depths, rng):
    table, columns = _by_depth(seeds, depths), ("nll", "ece", "flips")
    table = table.assign(
        squared_error=np.nan,
        squared_error_se=np.nan,
        moved=np.nan,
        moved_se=np.nan,
        ece_noise_high=0.05,
        n_examples=EXAMPLES,
    )
    for column in columns:
        table[column], table[f"{column}_se"] = rng.random(len(table)), 0.01
    table = table.drop(columns="ece_se")  # it has ece_noise
    return table


def _controls(seeds, depths, rng):
    one = [
        (depth, None, m)
        for depth in range(1, depths + 1)
        for m in ("pc1_share", "pc1_label", "step")
    ]
    two = [
        (low, high, measure)
        for low in range(1, depths + 1)
        for high in range(low + 1, depths + 1)
        for measure in ("cka", "cka_without_pc1", "neighbours")
    ]
    states = ["pretrained", *(f"full-seed{seed}" for seed in seeds)]
    rows = [(state, *row) for state, row in product(states, one + two)]
    table = pd.DataFrame(rows, columns=["state", "depth", "other_depth", "measure"])
    return table.assign(
        pooling="raw", value=rng.random(len(rows)), se=0.01, chance=0.1, n=EXAMPLES,
        n_examples=EXAMPLES, failed=False,
    )  # fmt: skip


def _verdicts(seeds, depths, rng):
    rows = list(product(("untuned", "tuned"), range(1, depths + 1)))
    table = pd.DataFrame(rows, columns=["configuration", "depth"])
    difference = -0.1 * rng.random(len(rows))
    return table.assign(
        metric="accuracy", value=rng.random(len(rows)), difference=difference,
        difference_low=difference - 0.02, difference_high=difference + 0.02,
        verdict="cannot be told", changed=rng.random(len(rows)), examples_needed=1000.0,
        parameters=table["depth"] * 1_000_000, claim="these runs", n_examples=EXAMPLES,
        seeds=" ".join(map(str, seeds)),
    )  # fmt: skip


def _skipping(seeds, depths, rng):
    spans = [(a, b) for a in range(1, depths + 1) for b in range(a, depths + 1)]
    rows = [(seed, *span) for seed, span in product(seeds, spans)]
    table = pd.DataFrame(rows, columns=["seed", "first", "last"])
    return table.assign(
        metric="accuracy", value=0.5 + 0.4 * rng.random(len(rows)), low=0.4, high=0.9, full=0.9,
        baseline=0.5,
        degenerate=False, n=EXAMPLES, n_examples=EXAMPLES, failed=False,
    )  # fmt: skip


def _frontier(seeds, depths, rng):
    rows = [
        (seed, method, f"1-{size}" if size > 1 else "1", size, "as is")
        for seed, method, size in product(seeds, ("top", "greedy"), range(1, depths))
    ]
    rows += [(seed, "full", f"1-{depths}", depths, "as is") for seed in seeds]
    table = pd.DataFrame(rows, columns=["seed", "method", "layers", "size", "done"])
    value = rng.random(len(rows))
    return table.assign(
        name="layers" + table["layers"], value=value, low=value - 0.05, high=value + 0.05,
        difference=-0.01, difference_low=-0.03, difference_high=0.01, verdict="cannot be told",
        chosen=table["method"] == "top", n_examples=EXAMPLES, latency_ms=1.5 * table["size"],
        latency_p95_ms=2.0 * table["size"], latency_ratio=depths / table["size"],
        speed_ratio=depths / table["size"], parameters=table["size"] * 1_000_000,
        file_mb=4.0 * table["size"], device="a processor", threads=2, examples_needed=1000.0,
        choose_score=0.5, choose_loss=0.7, way=None, steps=np.nan, examples_per_second=100.0,
        memory_mb=100.0,
    )  # fmt: skip


def _variability(seeds, depths, rng):
    nu = 1 + rng.random(depths)
    return pd.DataFrame(
        {
            "depth": range(1, depths + 1), "nu": nu, "nu_low": nu - 0.1, "nu_high": nu + 0.1,
            "shuffled": nu + 0.2, "shuffled_sd": 0.05, "corrected": nu - 0.05,
            "probe": rng.random(depths), "probe_low": 0.1, "probe_high": 0.9,
            "probe_score": "balanced accuracy", "n": EXAMPLES,
        }
    )  # fmt: skip
