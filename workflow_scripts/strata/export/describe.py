"""The end of every export: the folder is measured against the full model, and gets its card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from strata.data.batches import Rows
from strata.data.task import Task, read_examples
from strata.data.tokens import length_limit, load_tokenizer
from strata.export.card import MadeFrom, model_card
from strata.export.measure import measure
from strata.modeling.adopt import is_adopted, own_order
from strata.study.run_records import read_model_source
from strata.study.settings import ForwardSettings, Sample, Sampling
from strata.study.trained_cuts import TrainedCut


@dataclass(frozen=True)
class Described:
    """What exports are measured on and with, and what their cards say of the study.

    Attributes
    ----------
    title : str
        The model's title.
    style : str
        The style of its head.
    encoder : path-like
        The folder of the pretrained encoder; empty if there is none.
    examples : path-like
        Those that it is measured on.
    """

    task: Task
    title: str
    style: str
    encoder: str | Path
    examples: str | Path
    sample: Sample
    max_length: int
    forward: ForwardSettings
    sampling: Sampling
    threads: int

    @classmethod
    def of(cls, snakemake: Any) -> "Described":
        """As the inputs and params of an export's rule say."""
        inputs, params = snakemake.input, snakemake.params
        return cls(
            task=Task.read(inputs.task),
            title=params.title,
            style=params.style,
            encoder=inputs.model,
            examples=inputs.examples,
            sample=Sample(**params.sample),
            max_length=params.max_length,
            forward=ForwardSettings(**params.forward),
            sampling=Sampling(**params.sampling),
            threads=snakemake.threads,
        )

    def rows(self, checkpoint: str | Path, examples: Any = None) -> Rows:
        """The examples (or others) as the checkpoint's tokenizer reads them."""
        tokenizer = load_tokenizer(checkpoint)
        limit = length_limit(self.max_length, checkpoint, tokenizer)
        if examples is None:
            examples = read_examples(self.examples, self.sample)
        return Rows(tokenizer, examples, limit)

    def made_from(
        self, checkpoint: str | Path, seed: int, cut: TrainedCut | None = None, **made: Any
    ) -> MadeFrom:
        """Where an export of the run with this full checkpoint came from.

        Parameters
        ----------
        cut : TrainedCut, optional
            How it was trained after its cut; it may be the pretrained encoder that was cut.
        """
        adopted = is_adopted(checkpoint) and (cut is None or cut.about.from_finetuned)
        source = read_model_source(checkpoint if adopted else self.encoder)["source"]
        given = source if adopted else None
        return MadeFrom(seed=seed, given=given, style=self.style, source=source, cut=cut, **made)


def describe(
    folder: Path,
    checkpoint: str | Path,
    full: PreTrainedModel,
    made: MadeFrom,
    claim: str,
    of: Described,
) -> str:
    """Write the card of an exported folder, and say what was measured.

    Parameters
    ----------
    folder : Path
        The exported model and tokenizer.
    checkpoint : path-like
        What was cut: its tokenizer and the order of its labels are the folder's.
    full : PreTrainedModel
        The full model that it is compared with.
    claim : str
        What may be claimed about its depth or layers.
    """
    order = own_order(checkpoint)
    outputs = order.outputs if order else None
    measured = measure(folder, full, of.rows(checkpoint), of.task, of.forward, of.sampling, outputs)
    title, confidence = f"{of.title} on {of.task.name}", of.sampling.confidence
    card = model_card(title, of.task, made, of.threads, measured, confidence, claim)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return f"{claim}\n{measured}"
