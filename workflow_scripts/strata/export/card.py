"""The model card of an exported model."""

from collections.abc import Mapping
from typing import Any

from strata.data.task import Task
from strata.modeling.loading import auto_class


def model_card(
    title: str, task: Task, seed: int, threads: int, found: Mapping[str, Any], confidence: float
) -> str:
    """The README.md of an exported folder."""
    dropped = found["full_layers"] - found["layers"]
    smaller = 1 - found["parameters"] / found["full_parameters"]
    faster = found["examples_per_second"] / found["full_examples_per_second"]
    auto = auto_class(task).__name__
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
