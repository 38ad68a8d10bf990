"""Fine-tuning with the paper's batch size of 4 and with 16, compared with plain Trainer."""

import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from works import Run, Work

EXAMPLES = {4: 128, 16: 256}  # by batch size: one epoch, so that both see every length
LAYERS = 6
SETTINGS = {
    "max_steps": 1,  # epochs count instead
    "epochs": 1,
    "learning_rate": 1e-5,
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "max_length": 128,
    "group_by_length": True,
    "checkpoint": "last",
    "eval_steps": 500,
    "precision": "auto",
}


def prepare(folder: Path, examples: int) -> None:
    from works import models

    models.prepare(folder, examples, LAYERS)


def default_trainer(model: Any, rows: Any, batch_size: int, steps: int, out: str) -> Any:
    """Trainer with default arguments, but without saving; rows are tokenised beforehand."""
    import datasets
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    features, _ = rows.tokenize(slice(None))
    labels = rows.examples["label"].tolist()
    each = [{**row, "label": label} for row, label in zip(features, labels, strict=True)]
    return Trainer(
        model=model,
        args=TrainingArguments(
            out, max_steps=steps, per_device_train_batch_size=batch_size, save_strategy="no"
        ),
        train_dataset=datasets.Dataset.from_list(each),
        data_collator=DataCollatorWithPadding(rows.tokenizer),
    )


def strata(folder: Path, batch_size: int) -> Run:
    from strata.modeling.training import finetune
    from strata.study.settings import TrainingSettings
    from works.models import TASK, Given

    given = Given.load(folder)
    settings = TrainingSettings(**SETTINGS | {"batch_size": batch_size})

    def run() -> None:
        model = deepcopy(given.model)
        with tempfile.TemporaryDirectory() as out:
            history = Path(out) / "history.csv"
            finetune(model, given.rows, given.rows, TASK, settings, 1, history, Path(out) / "kept")

    return run


def trainer(folder: Path, batch_size: int) -> Run:
    from works.models import Given

    given = Given.load(folder)

    def run() -> None:
        with tempfile.TemporaryDirectory() as out:
            model = deepcopy(given.model)
            steps = len(given.rows) // batch_size
            default_trainer(model, given.rows, batch_size, steps, out).train()

    return run


WORKS = {
    f"finetune-{batch}": Work(
        name="fine-tuning",
        size=f"{LAYERS} layers x 384, {examples // batch} steps of {batch}",
        prepare=partial(prepare, examples=examples),
        contestants={
            "strata": partial(strata, batch_size=batch),
            "Trainer": partial(trainer, batch_size=batch),
        },
        goals={"Trainer": 1.5},
        notes={"Trainer": "default arguments, saves nothing"},
    )
    for batch, examples in EXAMPLES.items()
}
