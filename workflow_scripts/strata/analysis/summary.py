"""The answer: the smallest depth that keeps a run's score, and what cutting there saves."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from strata.analysis.failed_runs import truncation_of_all_runs
from strata.evaluation.metrics import bootstrap
from strata.study.architectures import ARCHITECTURES, layer_count, read_config
from strata.study.run_records import RunMetrics
from strata.study.settings import SummarySettings

COLUMNS = [
    "model", "task", "configuration", "metric", "n_examples", "seeds", "failed_seeds",
    "baseline", "full", "full_low", "full_high", "layers", "depth", "value", "difference",
    "difference_low", "difference_high", "layers_saved", "parameters", "parameters_saved",
    "full_all_runs", "value_all_runs", "difference_all_runs", "note",
]  # fmt: skip


def smallest_depth(scores: Mapping[int, float], full: float, tolerance: float) -> int:
    """The smallest depth k such that every depth from k to L stays within `tolerance` of `full`.

    Parameters
    ----------
    scores : depth -> score, for depths 1..L.
    full : the full model's score; depth L is always taken to be within.
    """
    depths = sorted(scores)
    smallest = depths[-1]
    for depth in reversed(depths[:-1]):
        # The last digits of a float are no reason to keep a layer.
        if scores[depth] < full - tolerance - 1e-9:
            break
        smallest = depth
    return smallest


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's runs on a task.

    Attributes
    ----------
    truncation : the pair's truncation table.
    predictions : (configuration, seed) -> prediction table.
    metrics : seed -> its metrics.
    checkpoint : a run's model folder, for its size.
    """

    truncation: pd.DataFrame
    predictions: Mapping[tuple[str, int], pd.DataFrame]
    metrics: Mapping[int, RunMetrics]
    checkpoint: str | Path

    @property
    def good(self) -> list[int]:
        """Seeds of the runs that did not fail; the others are left out of the answer."""
        return [seed for seed, run in self.metrics.items() if not run.failed]


def summarise(model: str, task: str, evidence: Evidence, settings: SummarySettings) -> pd.DataFrame:
    """Two rows, UNTUNED and TUNED, that say how far this model can be cut on this task."""
    good, metrics = evidence.good, evidence.metrics
    any_run = next(iter(metrics.values()))
    common = {
        "model": model,
        "task": task,
        "metric": any_run.metric,
        "n_examples": any_run.n_examples,
        "seeds": _listed(good),
        "failed_seeds": _listed([seed for seed in metrics if seed not in good]),
        "baseline": any_run.baseline,
        "layers": layer_count(read_config(evidence.checkpoint)),
        "parameters": parameter_count(evidence.checkpoint),
    }
    rows = []
    for configuration in ("untuned", "tuned"):
        row: dict[str, Any] = {**common, "configuration": configuration, "note": ""}
        if good:
            row |= _answer(configuration, evidence, settings)
        else:
            row["note"] = "every run failed: no score beats the baseline"
        depth = row.get("depth")
        row |= truncation_of_all_runs(evidence.truncation, configuration, depth, metrics)
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _answer(
    configuration: str, evidence: Evidence, settings: SummarySettings
) -> dict[str, float | int | str]:
    seeds, metrics = evidence.good, evidence.metrics
    means = _mean_scores(evidence.truncation, configuration, seeds)
    layers = max(means)
    full = float(np.mean([metrics[seed].score for seed in seeds]))
    depth = smallest_depth(means, full, settings.tolerance)
    whole, cut = (
        {seed: _at_depth(evidence.predictions[name, seed], at) for seed in seeds}
        for name, at in (("untuned", layers), (configuration, depth))
    )
    metric, labels = metrics[seeds[0]].metric, whole[seeds[-1]]["label"].to_numpy()
    fulls = {f"full{seed}": table["prediction"].to_numpy() for seed, table in whole.items()}
    cuts = {f"cut{seed}": table["prediction"].to_numpy() for seed, table in cut.items()}
    full_low, full_high = bootstrap(
        metric, labels, fulls, lambda s: float(np.mean(list(s.values()))), settings
    )
    low, high = bootstrap(
        metric,
        labels,
        fulls | cuts,
        lambda s: float(np.mean([s[f"cut{seed}"] - s[f"full{seed}"] for seed in seeds])),
        settings,
    )
    checkpoint = evidence.checkpoint
    saved = parameter_count(checkpoint) - parameter_count(checkpoint, depth)
    shared = ARCHITECTURES[read_config(checkpoint)["model_type"]].shares_layers
    return {
        "full": full,
        "full_low": full_low,
        "full_high": full_high,
        "depth": depth,
        "value": means[depth],
        "difference": means[depth] - full,
        "difference_low": low,
        "difference_high": high,
        "layers_saved": layers - depth,
        "parameters_saved": saved,
        "note": "layers share weights: saves layers and time, no parameters" if shared else "",
    }


def _mean_scores(
    truncation: pd.DataFrame, configuration: str, seeds: Sequence[int]
) -> dict[int, float]:
    """depth -> the mean score of some runs."""
    wanted = (truncation["configuration"] == configuration) & truncation["seed"].isin(seeds)
    means = truncation[wanted].groupby("depth")["value"].mean()
    return dict(zip(means.index.astype(int).tolist(), means.tolist(), strict=True))


def _at_depth(predictions: pd.DataFrame, depth: int) -> pd.DataFrame:
    return predictions[predictions["depth"] == depth]


def parameter_count(checkpoint: str | Path, depth: int | None = None) -> int:
    """Parameters of a model folder's weights, or of those left when cut to `depth` layers."""
    count = 0
    for file in sorted(Path(checkpoint).glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no dict)
                layer = re.search(r"\.layer\.(\d+)\.", name)
                if depth is None or layer is None or int(layer[1]) < depth:
                    count += int(np.prod(tensors.get_slice(name).get_shape()))
    return count


def final_words(outdir: str | Path, analyses: Collection[str]) -> Iterator[str]:
    """A study's answers in words, of those analyses that it has."""
    summary, findings = (Path(outdir) / f"{name}.csv" for name in ("summary", "agreement"))
    if "truncation" in analyses and summary.is_file():
        yield f"{summary_text(pd.read_csv(summary))}\n\n(from {summary})"
    if "agreement" in analyses and findings.is_file():
        yield "\n".join([*pd.read_csv(findings)["finding"], f"\n(from {findings})"])


def summary_text(table: pd.DataFrame) -> str:
    """The summary in words, for the end of a run; failed runs are named."""
    lines = []
    for (model, task), rows in table.groupby(["model", "task"], sort=False):
        first = rows.iloc[0]
        if _text(first["seeds"]):
            lines.append(
                f"{model} on {task}: {first['metric']} {first['full']:.3f} "
                f"[{first['full_low']:.3f}, {first['full_high']:.3f}] with all "
                f"{first['layers']:.0f} layers (baseline {first['baseline']:.3f}, "
                f"n={first['n_examples']}, seeds {_text(first['seeds'])})"
            )
            lines += [f"  {_sentence(row)}" for _, row in rows.iterrows()]
        if _text(first["failed_seeds"]):
            lines.append(
                f"{model} on {task}: FAILED, seed {_text(first['failed_seeds'])}: the score does "
                f"not beat the baseline of {first['baseline']:.3f}; left out of the answer"
            )
    return "\n".join(lines)


def _sentence(row: pd.Series) -> str:
    name = row["configuration"].upper()
    if row["layers_saved"] == 0:
        return f"{name}: every layer is needed"
    share = row["parameters_saved"] / row["parameters"]
    saving = (
        _text(row["note"])
        if row["parameters_saved"] == 0
        else f"{row['parameters_saved'] / 1e6:.1f}M of {row['parameters'] / 1e6:.1f}M parameters "
        f"({share:.0%})"
    )
    return (
        f"{name}: depth {row['depth']:.0f} is enough ({100 * row['difference']:+.1f} points "
        f"[{100 * row['difference_low']:+.1f}, {100 * row['difference_high']:+.1f}]); saves "
        f"{row['layers_saved']:.0f} of {row['layers']:.0f} layers, {saving}"
    )


def _listed(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))


def _text(value: str | float | None) -> str:
    return "" if pd.isna(value) else str(value).removesuffix(".0")
