"""The model card of an exported model."""

from strata.data.task import Task
from strata.export.measure import Measured
from strata.modeling.head_styles import auto_class
from strata.study.plain_heads import OWN


def model_card(
    title: str,
    task: Task,
    seed: int,
    threads: int,
    measured: Measured,
    confidence: float,
    claim: str,
    style: str = OWN,
) -> str:
    """The README.md of an exported folder.

    Parameters
    ----------
    claim : what may be said of its depth (``cut.Choice``).
    style : of the head.
    """
    smaller = 1 - measured.parameters / measured.full_parameters
    faster = measured.examples_per_second / measured.full_examples_per_second
    auto = auto_class(task).__name__
    place = measured.device + (f", {threads} threads" if measured.device == "cpu" else "")
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---

# {title}, cut to {measured.layers} of {measured.full_layers} layers

{_made_of(measured, seed)} Made by Strata (TUNED truncation, Phang, Liu and Bowman 2021).

{claim}

| | full model | this model |
|---|---:|---:|
| layers | {measured.full_layers} | {measured.layers} |
| parameters | {measured.full_parameters:,} | {measured.parameters:,} |
| {task.metric} on {measured.n_examples:,} eval examples | {measured.full_score:.4f} \
| {measured.score:.4f} |
| examples a second ({place}) | {measured.full_examples_per_second:,.1f} \
| {measured.examples_per_second:,.1f} |

Difference of this run (seed {seed}): {100 * (measured.score - measured.full_score):+.2f} points, \
{confidence:.0%} paired
bootstrap interval over examples {100 * measured.difference_low:+.2f} to
{100 * measured.difference_high:+.2f}. {smaller:.0%} fewer parameters, {faster:.2f} times the speed;
both speeds were measured in one job.

```python
from transformers import AutoTokenizer, {auto}

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = {auto}.from_pretrained("FOLDER")
```

Task: {task.name} ({task.type}{", labels " + ", ".join(task.labels) if task.labels else ""}), from
`{task.source["source"]}`. {_head_words(style)}
"""


def _head_words(style: str) -> str:
    if style == OWN:
        return f"Style of the head: `{style}`, the class's own."
    return (
        f"Style of the head: `{style}`\n(dropout, dense, tanh, dropout, out_proj on the CLS "
        "vector), in the places that this class has for such layers."
    )


def _made_of(measured: Measured, seed: int) -> str:
    dropped = measured.full_layers - measured.layers
    head = "the head was tuned further"
    if not dropped:
        return f"The encoder of the full model (seed {seed}), nothing cut; {head} on it, frozen."
    layers = "its top layer" if dropped == 1 else f"its top {dropped} layers"
    return (
        f"A fine-tuned encoder without {layers}: those below are the full model's (seed {seed}), "
        f"{head} at depth {measured.layers} on the frozen encoder."
    )
