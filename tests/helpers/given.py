"""Models that others fine-tuned: with a plain Trainer, without Strata."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from helpers import tiny

LABELS = ["against", "for", "neither"]
# What a user who knows the labels writes into the model's entry for LABELS.
WORDS = {"against": "bad", "for": "good", "neither": "same"}


def opinion_rows(count: int, seed: int = 0) -> pd.DataFrame:
    """One text; its label is given by the one word of WORDS in it."""
    rng = np.random.default_rng(seed)
    labels = [LABELS[i] for i in rng.integers(3, size=count)]
    texts = [
        " ".join(rng.permutation([WORDS[label], *words]))
        for label, words in zip(labels, tiny.sentences(count, seed + 1), strict=True)
    ]
    return pd.DataFrame({"text": texts, "label": labels})


def task(folder: Path, named: str | None = None) -> dict:
    """Files of the task above, and its entry without a train split."""
    folder.mkdir(parents=True, exist_ok=True)
    opinion_rows(160, 5).to_json(folder / "opinions.jsonl", orient="records", lines=True)
    return {
        "source": f"path:{named or folder}",
        "type": "classification",
        "texts": ["text"],
        "label": "label",
        "labels": LABELS,
        "splits": {"eval": "opinions.jsonl"},
        "metric": "accuracy",
    }


def fine_tuned(
    folder: Path, names: list[str] | None = None, architecture: str = "bert", steps: int = 150
) -> PreTrainedModel:
    """A folder as a plain Trainer leaves it, with a model that classifies the opinions.

    Parameters
    ----------
    names : sequence of str, optional
        Its labels, in the order of its outputs; by default LABEL_0 to LABEL_2, for LABELS.
    """
    settings = tiny.config(architecture)
    settings.num_labels = 3
    if names is not None:
        settings.id2label = dict(enumerate(names))
        settings.label2id = {name: i for i, name in enumerate(names)}
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(settings)
    tokenizer, rows = tiny.tokenizer(), opinion_rows(300, 1)
    order = names if names and set(names) == set(LABELS) else LABELS
    data = [
        {**tokenizer(text), "labels": order.index(label)}
        for text, label in rows.itertuples(index=False)
    ]
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=steps,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
    )
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), train_dataset=data)
    trainer.train()
    trainer.save_model(str(folder))
    tokenizer.save_pretrained(folder)
    return model.eval()
