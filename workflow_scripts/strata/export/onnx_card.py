"""The card of a folder with ONNX files."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from huggingface_hub import ModelCardData

from strata.analysis.formats import TORCH
from strata.data.task import Task
from strata.export.onnx_files import FILES, INT8

WORDS = {TORCH: "torch, float32", "fp32": "ONNX, float32", INT8: "ONNX, int8"}
INT8_NOTE = """
int8: weights are rounded to 7 bits, with one scale per channel; activations are rounded at each
call, with one scale for the whole batch. So a prediction may depend on what else is in its batch:
the score above is for batches of 32.
"""


def onnx_card(
    title: str, made_from: str, task: Task, config: Mapping[str, Any], measured: pd.DataFrame
) -> str:
    """The README.md of the folder.

    Parameters
    ----------
    made_from : str
        The name of the folder that torch loads.
    config : mapping of str to object
        The folder's config.json.
    measured : DataFrame
        The table of ``formats.measure_folder``.
    """
    first = measured.iloc[0]
    last = FILES[measured["format"].iloc[-1]]
    metadata = ModelCardData(
        library_name="onnx", pipeline_tag="text-classification", tags=["onnxruntime"]
    ).to_yaml()
    columns = " | ".join(WORDS[form] for form in measured["format"])
    int8 = INT8_NOTE if INT8 in set(measured["format"]) else ""
    return f"""---
{metadata}
---

# {title}, as ONNX

The model in the folder `{made_from}` next to this one ({config["model_type"]}, {_layers(config)}
layers). The card there says what it was cut from and what may be claimed about it. Made by Strata
with torch's exporter and onnxruntime.

| | {columns} |
|---|{"---:|" * len(measured)}
{_table(measured, task)}

Differences are from torch, on {first["n_examples"]:,} examples; times were measured in turn on one
machine ({first["device"]}, {first["threads"]} threads); memory is that of a process that runs a
batch of 32, including libraries.
{int8}
```python
{_code(task, last)}
```

Inputs are the tokenizer's output, {_axes(task)}, of any size; the output is `logits`.
"""


def _layers(config: Mapping[str, Any]) -> int:
    return next(
        config[key] for key in ("num_hidden_layers", "n_layers", "n_layer") if key in config
    )


def _table(measured: pd.DataFrame, task: Task) -> str:
    formats = measured.to_dict("records")
    rows = {
        task.metric: [f"{each['value']:.4f}" for each in formats],
        "difference of the score, points": [
            f"{100 * each['from_torch']:+.2f} [{100 * each['from_torch_low']:+.2f}, "
            f"{100 * each['from_torch_high']:+.2f}]"
            for each in formats
        ],
        "same answer": [_or_nothing(each["agreement"], ".1%") for each in formats],
        "largest difference of a logit": [f"{each['max_difference']:.1g}" for each in formats],
        "latency of one text, ms (95th percentile)": [
            f"{each['latency_ms']:.1f} ({each['latency_p95_ms']:.1f})" for each in formats
        ],
        "examples per second, batches of 32": [
            f"{each['examples_per_second']:,.1f}" for each in formats
        ],
        "weights, MB": [f"{each['file_mb']:.1f}" for each in formats],
        "memory, MB": [_or_nothing(each["memory_mb"], ",.0f") for each in formats],
    }
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())


def _or_nothing(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _axes(task: Task) -> str:
    return "[examples, choices, tokens]" if task.kind.compares_rows else "[examples, tokens]"


def _code(task: Task, file: str) -> str:
    """How to load it, without Strata."""
    start = f"""import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
session = onnxruntime.InferenceSession("FOLDER/{file}")"""
    if task.kind.compares_rows:
        return f"""{start}
inputs = tokenizer(["a prompt"] * 2, ["a choice", "another"], padding=True, return_tensors="np")
logits = session.run(None, {{name: array[None] for name, array in inputs.items()}})[0]"""
    return f"""{start}
inputs = tokenizer(["a text", "another"], padding=True, return_tensors="np")
logits = session.run(None, dict(inputs))[0]"""
