"""Fine-tuning by the Transformers Trainer, and what is written about a run."""

import csv
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import Dataset
from transformers import (
    DataCollatorForMultipleChoice,
    DataCollatorWithPadding,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from strata.batches import Rows
from strata.devices import device, refuse_many_gpus, training_precision
from strata.jobs import Progress
from strata.metrics import score
from strata.models import check_length
from strata.predictions import decode
from strata.tasks import Task
from strata.variants import Variant


def training_examples(examples: pd.DataFrame, variant: Variant, seed: int) -> pd.DataFrame:
    """The examples a run trains on: all, or the first `variant.size` of a permutation by `seed`."""
    if variant.size is None or variant.size >= len(examples):
        return examples
    rows = np.random.default_rng(seed).permutation(len(examples))[: variant.size]
    return examples.iloc[rows].reset_index(drop=True)


def finetune(
    model: PreTrainedModel,
    train: Rows,
    dev: Rows,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    history: str | Path,
    scratch: str | Path,
) -> dict[str, Any]:
    """Fine-tune `model` in place.

    AdamW (fused), linear warm-up then linear decay, clipped gradients (Phang et al. 2021,
    section 2, and the jiant library's defaults).

    Parameters
    ----------
    model : trained as far as its parameters require gradients.
    train, dev : rows; `dev` is looked at only where settings["checkpoint"] is "best".
    settings : the ``training`` section of the config.
    history : CSV written as training goes: step, loss, learning_rate, examples_per_second.
    scratch : folder on a disk with room for a checkpoint.

    Returns
    -------
    device, precision, steps, wall_seconds, seconds_per_step (the median of the logged intervals').
    """
    refuse_many_gpus()
    check_length(model, settings["max_length"])
    tokenizer, speed = train.tokenizer, _History(history, settings["batch_size"])
    precision = training_precision(settings["precision"])
    steps = step_count(settings, len(train.examples))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(settings, steps, precision, seed, folder),
            train_dataset=_Dataset(train),
            eval_dataset=_Dataset(dev),
            data_collator=(
                DataCollatorForMultipleChoice(tokenizer)
                if task.type == "multiple-choice"
                else DataCollatorWithPadding(tokenizer)
            ),
            compute_metrics=_metrics(task),
            callbacks=[speed],
        )
        trainer.remove_callback(PrinterCallback)  # _History prints, with rate and time left
        trainer.train()
        # Trainer leaves its autocast around the model's forward; whoever scores it wants it plain.
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return {
        "device": str(device()),
        "precision": precision,
        "steps": trainer.state.global_step,
        "wall_seconds": round(time.monotonic() - began, 2),
        "seconds_per_step": speed.seconds_per_step(),
    }


def step_count(settings: Mapping[str, Any], examples: int) -> int:
    """Optimiser steps: of so many epochs where those are given, else max_steps."""
    if settings["epochs"] is None:
        return settings["max_steps"]
    return max(1, round(settings["epochs"] * math.ceil(examples / settings["batch_size"])))


def _arguments(
    settings: Mapping[str, Any], steps: int, precision: str, seed: int, folder: str
) -> TrainingArguments:
    best = settings["checkpoint"] == "best"
    each_epoch = settings["eval_steps"] == "epoch"
    when = ("epoch" if each_epoch else "steps") if best else "no"
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=settings["batch_size"],
        per_device_eval_batch_size=64,
        learning_rate=settings["learning_rate"],
        warmup_steps=settings["warmup_steps"],
        lr_scheduler_type="linear",
        weight_decay=settings["weight_decay"],
        adam_epsilon=settings["adam_epsilon"],
        max_grad_norm=settings["max_grad_norm"],
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length" if settings["group_by_length"] else "random",
        bf16=precision == "bfloat16",
        use_cpu=device().type == "cpu",
        seed=seed,
        full_determinism=True,
        logging_steps=max(1, steps // 100),
        eval_strategy=when,
        save_strategy=when,
        eval_steps=None if each_epoch or not best else settings["eval_steps"],
        save_steps=500 if each_epoch else settings["eval_steps"],
        save_total_limit=1,
        load_best_model_at_end=best,
        metric_for_best_model="score" if best else None,
        greater_is_better=True if best else None,
        disable_tqdm=True,
        report_to=[],
    )


class _Dataset(Dataset):
    """A task's examples, tokenised batch by batch as the training asks for them."""

    def __init__(self, rows: Rows):
        self.rows, self.labels = rows, rows.examples["label"].tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        features, _ = self.rows.tokenize(indices)
        if "choices" in self.rows.examples:
            count = self.rows.choices
            each = [features[i * count : (i + 1) * count] for i in range(len(indices))]
            features = [{name: [row[name] for row in own] for name in own[0]} for own in each]
        return [{**row, "label": self.labels[i]} for row, i in zip(features, indices, strict=True)]


def _metrics(task: Task) -> Any:
    def compute(output: Any) -> dict[str, float]:
        import torch

        logits = torch.as_tensor(output.predictions)
        if task.type == "multiple-choice":  # [examples, choices] already
            predictions = logits.argmax(-1).numpy()
        else:
            predictions = decode(logits, task)
        return {"score": score(task.metric, np.asarray(output.label_ids), predictions).value}

    return compute


class _History(TrainerCallback):
    """Writes history.csv and progress lines."""

    def __init__(self, path: str | Path, batch_size: int):
        self.path, self.batch_size = path, batch_size

    def on_train_begin(self, args, state, control, **kwargs):
        # Closed by on_train_end; a run that dies takes its history with it.
        self.file = Path(self.path).open("w", newline="", encoding="utf-8")  # noqa: SIM115
        self.writer = csv.writer(self.file)
        self.writer.writerow(["step", "loss", "learning_rate", "examples_per_second"])
        self.progress = Progress(state.max_steps, "steps")
        self.step, self.time, self.paces = 0, time.monotonic(), []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs:
            return
        now = time.monotonic()
        steps = state.global_step - self.step
        self.paces.append((now - self.time) / steps)
        rate = steps * self.batch_size / max(now - self.time, 1e-9)
        self.writer.writerow(
            [state.global_step, logs["loss"], logs["learning_rate"], round(rate, 2)]
        )
        self.file.flush()
        self.progress.advance(
            steps,
            lambda: f"loss {float(logs['loss']):.4f}, {rate:,.1f} examples/s",
        )
        self.step, self.time = state.global_step, now

    def on_train_end(self, args, state, control, **kwargs):
        self.file.close()

    def seconds_per_step(self) -> float:
        """The median over the logged intervals, so that no start-up or evaluation counts."""
        return round(float(np.median(self.paces)), 5)
