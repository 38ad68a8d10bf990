"""The smaller model: the encoder cut to a depth with the head tuned there, a plain checkpoint."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.batches import Rows
from strata.devices import device, inference
from strata.heads import load_head_of_depth
from strata.metrics import bootstrap, score
from strata.models import auto_class, load_model, num_parameters, truncate
from strata.predictions import predict, row_logits
from strata.tasks import Task


def choose_depth(summary: pd.DataFrame) -> int:
    """The depth that the summary gives for TUNED (the exported head is the tuned one).

    With every run failed there is no answer, and the full depth is returned.
    """
    row = summary[summary["configuration"] == "tuned"].iloc[0]
    return int(row["layers"] if pd.isna(row["depth"]) else row["depth"])


def choose_seed(runs: Mapping[int, Mapping[str, Any]]) -> int:
    """The first seed whose run did not fail; the first of all if every one did."""
    return next((seed for seed, run in runs.items() if not run["failed"]), next(iter(runs)))


def cut_model(checkpoint: str | Path, heads: str | Path, task: Task, depth: int) -> PreTrainedModel:
    """A run's model cut to `depth` layers, with the head that was tuned at that depth.

    Parameters
    ----------
    heads : stacked heads as ``heads.save_stack`` wrote them.
    """
    model = truncate(load_model(checkpoint, task), depth)
    _, unexpected = model.load_state_dict(load_head_of_depth(heads, depth), strict=False)
    if unexpected:
        raise ValueError(f"{heads} holds {', '.join(unexpected)}, which the model has not.")
    return model


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write the model folder: config, safetensors weights, tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(
    folder: str | Path,
    full: PreTrainedModel,
    rows: Rows,
    task: Task,
    evaluation: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Score, size and speed of an exported folder against the full model, in one job.

    Parameters
    ----------
    folder : is loaded as a stranger would, with the plain auto class.
    full : the run's full model.
    sampling : ``resamples`` and ``confidence`` of the interval of the difference.
    """
    small = auto_class(task.type).from_pretrained(folder, trust_remote_code=False)
    labels = rows.examples["label"].to_numpy()
    options = (evaluation["batch_size"], evaluation["precision"])
    predictions = {
        "full": predict(full, rows, task, *options),
        "small": predict(small, rows, task, *options),
    }
    low, high = bootstrap(
        task.metric, labels, predictions, lambda s: s["small"] - s["full"], **sampling
    )
    speeds = throughput({"full": full, "small": small}, rows, task, *options)
    return {
        "score": score(task.metric, labels, predictions["small"]).value,
        "full_score": score(task.metric, labels, predictions["full"]).value,
        "difference_low": low,
        "difference_high": high,
        "n_examples": len(labels),
        "layers": small.config.num_hidden_layers,
        "full_layers": full.config.num_hidden_layers,
        "parameters": num_parameters(small),
        "full_parameters": num_parameters(full),
        "examples_per_second": speeds["small"],
        "full_examples_per_second": speeds["full"],
        "device": str(device()),
    }


def throughput(
    models: Mapping[str, PreTrainedModel],
    rows: Rows,
    task: Task,
    batch_size: int,
    precision: str,
    rounds: int = 3,
    limit: int = 256,
) -> dict[str, float]:
    """Examples a second of each model, the median of rounds that take turns.

    Measured on the first `limit` rows, after one uncounted batch each.
    """
    window = next(rows.windows(limit))
    prepared = [inputs for _, inputs, _ in rows.batches(window, batch_size, device())]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with inference(precision):
        for model in models.values():
            row_logits(model.eval().to(device()), prepared[0], task).cpu()
        for _ in range(rounds):
            for name, model in models.items():
                began = time.perf_counter()
                for inputs in prepared:
                    logits = row_logits(model, inputs, task)
                logits.cpu()  # waits for the GPU
                seconds[name].append(time.perf_counter() - began)
    examples = len(window) / rows.choices
    return {name: examples / float(np.median(found)) for name, found in seconds.items()}


def model_card(
    title: str, task: Task, seed: int, threads: int, found: Mapping[str, Any], confidence: float
) -> str:
    """The README.md of an exported folder."""
    dropped = found["full_layers"] - found["layers"]
    smaller = 1 - found["parameters"] / found["full_parameters"]
    faster = found["examples_per_second"] / found["full_examples_per_second"]
    auto = auto_class(task.type).__name__
    place = found["device"] + (f", {threads} threads" if found["device"] == "cpu" else "")
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---

# {title}, cut to {found["layers"]} of {found["full_layers"]} layers

A fine-tuned encoder without its top {dropped} layers: the layers below are those of the full model
(seed {seed}), the head was tuned further at depth {found["layers"]} on the frozen encoder. Made by
Strata (TUNED truncation, Phang, Liu and Bowman 2021).

| | full model | this model |
|---|---:|---:|
| layers | {found["full_layers"]} | {found["layers"]} |
| parameters | {found["full_parameters"]:,} | {found["parameters"]:,} |
| {task.metric} on {found["n_examples"]:,} eval examples | {found["full_score"]:.4f} \
| {found["score"]:.4f} |
| examples a second ({place}) | {found["full_examples_per_second"]:,.1f} \
| {found["examples_per_second"]:,.1f} |

Difference: {100 * (found["score"] - found["full_score"]):+.2f} points, {confidence:.0%} paired
bootstrap interval over examples {100 * found["difference_low"]:+.2f} to
{100 * found["difference_high"]:+.2f}. The depth was chosen on these same examples, so the
difference is slightly optimistic. {smaller:.0%} fewer parameters, {faster:.2f} times the speed;
both speeds were measured in one job.

```python
from transformers import AutoTokenizer, {auto}

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = {auto}.from_pretrained("FOLDER")
```

Task: {task.name} ({task.type}{", labels " + ", ".join(task.labels) if task.labels else ""}), from
`{task.source["source"]}`.
"""
