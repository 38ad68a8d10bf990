"""The model card of an exported model."""

from dataclasses import dataclass

from strata.data.task import Task
from strata.export.measure import Measured
from strata.modeling.head_styles import auto_class
from strata.study.plain_heads import OWN


@dataclass(frozen=True)
class MadeFrom:
    """What an exported model was made of.

    Attributes
    ----------
    seed : of the run; of a model that came fine-tuned the checkpoint's number.
    given : where that checkpoint came from; None of a run that was trained here.
    tuned : the head was tuned further; else it is the run's own.
    style : of the head.
    """

    seed: int
    given: str | None = None
    tuned: bool = True
    style: str = OWN

    @property
    def run(self) -> str:
        """The run, in words."""
        return f"checkpoint {self.seed}, `{self.given}`" if self.given else f"seed {self.seed}"


def model_card(
    title: str,
    task: Task,
    made: MadeFrom,
    threads: int,
    measured: Measured,
    confidence: float,
    claim: str,
) -> str:
    """The README.md of an exported folder.

    Parameters
    ----------
    claim : what may be said of its depth (``cut.Choice``).
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

{_made_of(measured, made)} Made by Strata ({"TUNED" if made.tuned else "UNTUNED"} truncation,
Phang, Liu and Bowman 2021).

{claim}

| | full model | this model |
|---|---:|---:|
| layers | {measured.full_layers} | {measured.layers} |
| parameters | {measured.full_parameters:,} | {measured.parameters:,} |
| {task.metric} on {measured.n_examples:,} eval examples | {measured.full_score:.4f} \
| {measured.score:.4f} |
| examples a second ({place}) | {measured.full_examples_per_second:,.1f} \
| {measured.examples_per_second:,.1f} |

Difference of this run ({made.run}): {100 * (measured.score - measured.full_score):+.2f} points, \
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
`{task.source["source"]}`. {_head_words(made.style)}
"""


def _head_words(style: str) -> str:
    if style == OWN:
        return f"Style of the head: `{style}`, the class's own."
    return (
        f"Style of the head: `{style}`\n(dropout, dense, tanh, dropout, out_proj on the CLS "
        "vector), in the places that this class has for such layers."
    )


def _made_of(measured: Measured, made: MadeFrom) -> str:
    dropped = measured.full_layers - measured.layers
    head = "the head was tuned further" if made.tuned else "the head is its own"
    if not dropped:
        how = "on it, frozen" if made.tuned else "as it was"
        return f"The encoder of the full model ({made.run}), nothing cut; {head}, {how}."
    layers = "its top layer" if dropped == 1 else f"its top {dropped} layers"
    how = f" at depth {measured.layers} on the frozen encoder" if made.tuned else ""
    return (
        f"A fine-tuned encoder without {layers}: those below are the full model's ({made.run}), "
        f"{head}{how}."
    )
