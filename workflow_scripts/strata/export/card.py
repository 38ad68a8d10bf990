"""The model card of an exported model."""

from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from strata.data.task import Task
from strata.export.measure import Measured
from strata.modeling.head_styles import auto_class
from strata.study.layer_sets import LayerSet
from strata.study.plain_heads import OWN
from strata.study.trained_cuts import TrainedCut


@dataclass(frozen=True)
class MadeFrom:
    """What an exported model was made from.

    Attributes
    ----------
    seed : int
        The run's seed; for a model that came fine-tuned, the checkpoint's number.
    given : str or None
        Where that checkpoint came from; None for a run that was trained here.
    tuned : bool
        Whether the head was tuned further; otherwise it is the run's own.
    style : str
        The style of the head.
    source : str
        The source of the encoder or checkpoint, as in the study ("hub:ORG/NAME").
    kept : LayerSet or None
        The layers; None for the layers up to a depth.
    cut : TrainedCut or None
        How it was trained after its cut; None if it was not.
    """

    seed: int
    given: str | None = None
    tuned: bool = True
    style: str = OWN
    source: str = ""
    kept: LayerSet | None = None
    cut: TrainedCut | None = None

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
    claim : str
        What may be claimed about its depth or layers (``cut.Choice``, ``cut.SetChoice``).
    """
    smaller = 1 - measured.parameters / measured.full_parameters
    faster = measured.examples_per_second / measured.full_examples_per_second
    auto = auto_class(task).__name__
    place = measured.device + (f", {threads} threads" if measured.device == "cpu" else "")
    head = "TUNED" if made.tuned else "UNTUNED"
    how = f"{head} truncation,\nPhang, Liu and Bowman 2021"
    if made.cut:
        how = f"layers {made.cut.kept}, {made.cut.about.words}, {made.cut.steps} steps"
    elif made.kept:
        how = f"a layer set, its head {'tuned' if made.tuned else 'as it was'}"
    return f"""---
{_metadata(title, task, made, measured)}
---

# {title}, cut to {measured.layers} of {measured.full_layers} layers

{_made_of(measured, made)} Made by Strata ({how}).

{claim}

| | full model | this model |
|---|---:|---:|
| layers | {measured.full_layers} | {measured.layers} |
| parameters | {measured.full_parameters:,} | {measured.parameters:,} |
| {task.metric} on {measured.n_examples:,} eval examples | {measured.full_score:.4f} \
| {measured.score:.4f} |
| examples per second ({place}) | {measured.full_examples_per_second:,.1f} \
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

To publish it: `hf upload YOUR-NAME/MODEL FOLDER`, after `hf auth login`; the block above the title
becomes the hub's metadata.

Task: {task.name} ({task.type}{", labels " + ", ".join(task.labels) if task.labels else ""}), from
`{task.source["source"]}`. {_head_words(made.style)}
"""


def _metadata(title: str, task: Task, made: MadeFrom, measured: Measured) -> str:
    """The part of a card that the hub reads."""
    kind, _, place = made.source.partition(":")
    result = EvalResult(
        task_type="text-classification",
        dataset_type=task.name,
        dataset_name=task.name,
        metric_type=task.metric,
        metric_value=round(measured.score, 6),
    )
    return ModelCardData(
        base_model=place if kind == "hub" else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        model_name=f"{title}, {measured.layers} layers",
        eval_results=[result],
    ).to_yaml()


def _head_words(style: str) -> str:
    if style == OWN:
        return f"Style of the head: `{style}`, the class's own."
    return (
        f"Style of the head: `{style}`\n(dropout, dense, tanh, dropout, out_proj on the CLS "
        "vector), in the places that this class has for such layers."
    )


def _made_of(measured: Measured, made: MadeFrom) -> str:
    dropped = measured.full_layers - measured.layers
    if made.cut:
        what = "the fine-tuned" if made.cut.about.from_finetuned else "the pretrained"
        learned = " and on the full model's outputs" if made.cut.about.distilled else ""
        return (
            f"Layers {made.cut.kept} of {what} encoder, trained for {made.cut.steps} steps on "
            f"labels{learned} ({made.run})."
        )
    head = "the head was tuned further" if made.tuned else "the head is its own"
    if not dropped:
        how = "on it, frozen" if made.tuned else "as it was"
        return f"The encoder of the full model ({made.run}), nothing cut; {head}, {how}."
    if made.kept and not made.kept.is_top_cut:
        gone = {*range(1, measured.full_layers + 1)} - {*made.kept.layers}
        left_out = LayerSet(tuple(sorted(gone)))
        how = " on what is left, frozen" if made.tuned else ""
        return (
            f"A fine-tuned encoder without layer{'s' * (dropped > 1)} {left_out}: the others are "
            f"the full model's ({made.run}), {head}{how}."
        )
    layers = "its top layer" if dropped == 1 else f"its top {dropped} layers"
    how = f" at depth {measured.layers} on the frozen encoder" if made.tuned else ""
    return (
        f"A fine-tuned encoder without {layers}: those below are the full model's ({made.run}), "
        f"{head}{how}."
    )
