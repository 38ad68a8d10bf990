"""A run from input to output files, as the jobs of the rules finetune and ablate make it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.data.task import Task, read_examples
from strata.data.tokens import TokenisedRows, load_tokenizer
from strata.evaluation.prediction_files import write_predictions
from strata.modeling.adopt import is_adopted
from strata.modeling.encoder import trainable_parameters
from strata.modeling.inference import timed_predictions
from strata.modeling.loading import load_model
from strata.modeling.resumption import file_facts, resumable
from strata.modeling.trained_heads import trained_head
from strata.modeling.training import finetune
from strata.runtime.provenance import versions
from strata.study.run_records import Origin, RunName, RunRecord, read_model_source
from strata.study.settings import TrainingSettings


def make_run(
    snakemake: Any,
    prepare: Callable[[PreTrainedModel], dict[str, float]] = lambda model: {},
    choose: Callable[[pd.DataFrame], pd.DataFrame] = lambda examples: examples,
    finish: Callable[[PreTrainedModel, PreTrainedTokenizerBase], None] = lambda *made: None,
) -> None:
    """Fine-tune a model and write predictions, history and record.

    What a run does differently from plain fine-tuning is passed in, so that plain runs do not
    depend on that code.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives the scripts of these rules.
    prepare : callable, optional
        Changes the pretrained model before training, in place; returns the ``rates`` of
        ``training.finetune``.
    choose : callable, optional
        Selects the train examples from all that there are.
    finish : callable, optional
        Is called with the trained model and its tokenizer, before the run is marked as complete.
    """
    inputs, params, out = snakemake.input, snakemake.params, snakemake.output
    wildcards, seed = snakemake.wildcards, int(snakemake.wildcards.seed)
    task, settings = Task.read(inputs.task), TrainingSettings(**params.training)
    model = load_model(inputs.model, task, seed, params.style)
    tokenizer = load_tokenizer(inputs.model)
    notes = _notes(inputs.model, wildcards.model)
    rates = prepare(model)
    train = TokenisedRows(tokenizer, choose(read_examples(inputs.train)), inputs.train_tokens)
    dev = TokenisedRows(tokenizer, read_examples(inputs.eval), inputs.eval_tokens)
    print(
        f"{task.name}: {len(train.examples):,} train, {len(dev.examples):,} eval examples; "
        f"{trainable_parameters(model):,} parameters are trained",
        flush=True,
    )
    own = (params.training, params.get("ablation"), params.style)
    parts = (*own, params.code, dict(wildcards))
    with resumable(Path(out.history).parent, file_facts(inputs), *parts, versions()) as checkpoints:
        # Not a param: how often checkpoints are written changes no result.
        minutes = snakemake.config["resume"]["save_minutes"]
        trained = finetune(
            model, train, dev, task, settings, seed, out.history, checkpoints, minutes, rates
        )
        finish(model, tokenizer)
        # All eval examples, in float32: score_run decides which of them are scored, and how.
        predictions, speed = timed_predictions(model, dev, task)
        write_predictions(predictions, out.predictions)
        name = RunName(wildcards.model, wildcards.task, wildcards.variant, seed)
        origin = Origin(snakemake.threads, read_model_source(inputs.model), task.source)
        RunRecord.of(name, trained, settings, origin, speed, notes).write(out.run)


def _notes(folder: str, name: str) -> list[str]:
    """A note on an encoder with a trained head, which is replaced."""
    head = trained_head(folder)
    if not head or is_adopted(folder):
        return []
    note = (
        f"models.{name} has a trained head of its own ({head[0]}), which was replaced by a new "
        "one; to have that model analysed as it is, register it with 'checkpoints', not 'source'."
    )
    print(note, flush=True)
    return [note]
