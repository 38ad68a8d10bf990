"""Fine-tuning with the Transformers Trainer, and what is recorded about a run."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler
from transformers import (
    DataCollatorForMultipleChoice,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from strata.data.batches import Features, Rows
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.predictions import decide
from strata.modeling.compute import (
    PeakMemory,
    deterministic,
    device,
    refuse_many_gpus,
    training_precision,
)
from strata.modeling.encoder import encoder_layers, trainable_parameters
from strata.modeling.loading import check_length
from strata.modeling.resumption import CheckpointCallback, last_checkpoint
from strata.runtime.errors import StrataError
from strata.runtime.progress import Progress
from strata.study.run_records import Trained
from strata.study.settings import TrainingSettings

HISTORY = ["step", "loss", "learning_rate", "examples_per_second"]


def finetune(
    model: PreTrainedModel,
    train: Rows,
    dev: Rows,
    task: Task,
    settings: TrainingSettings,
    seed: int,
    history: str | Path,
    checkpoints: str | Path,
    save_minutes: float = 10,
    rates: Mapping[str, float] | None = None,
) -> Trained:
    """Fine-tune `model` in place, from the last of `checkpoints` if there is one.

    AdamW (fused), linear warm-up then linear decay, clipped gradients (Phang et al. 2021, section
    2, and the jiant library's defaults). A resumed run computes what an uninterrupted one would
    have: same order of examples, optimiser, schedule and random states.

    Parameters
    ----------
    model : PreTrainedModel
        The model; those of its parameters are trained that require gradients.
    train, dev : Rows
        Train and eval rows; `dev` is used only if the settings ask for the best checkpoint.
    seed : int
        Decides the order of examples and the dropout masks.
    history : path-like
        CSV file with columns step, loss, learning_rate, examples_per_second.
    checkpoints : path-like
        The folder of this run's checkpoints, on a disk with room for two.
    save_minutes : float, default 10
        Minutes between checkpoints, besides those for signals and for the best score.
    rates : mapping of str to float, optional
        For parameters by name, the factor to the learning rate throughout the schedule; 1 for those
        not named.

    Raises
    ------
    StrataError
        The GPU's memory is too small.
    SystemExit
        SIGTERM or SIGINT was received; a checkpoint has been saved.
    """
    deterministic()
    refuse_many_gpus()
    check_length(model, settings.max_length)
    precision, memory = training_precision(settings.precision), PeakMemory()
    steps = step_count(settings, len(train.examples))
    keep, resumed = CheckpointCallback(save_minutes), last_checkpoint(Path(checkpoints))
    trainer = _Trainer(
        model=model,
        args=_arguments(settings, steps, precision, seed, checkpoints),
        train_dataset=_Dataset(train),
        eval_dataset=_Dataset(dev),
        data_collator=(
            DataCollatorForMultipleChoice(train.tokenizer)
            if task.kind.compares_rows
            else DataCollatorWithPadding(train.tokenizer)
        ),
        compute_metrics=_metrics(task),
        callbacks=[ProgressCallback(settings.batch_size), keep],
    )
    trainer.rates = dict(rates or {})
    trainer.remove_callback(PrinterCallback)  # ProgressCallback prints, with rate and time left
    try:
        with keep.handling_signals():
            trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except torch.OutOfMemoryError as error:
        raise StrataError(
            f"Training runs out of the GPU's memory with batch_size {settings.batch_size} and "
            f"max_length {settings.max_length}: lower training.batch_size (or max_length), or "
            "gpus.jobs_per_device if jobs share the GPU."
        ) from error
    # Trainer leaves its autocast around the model's forward; scoring needs the plain forward.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    logged = pd.DataFrame([entry for entry in trainer.state.log_history if "loss" in entry])
    logged[HISTORY].to_csv(history, index=False)
    return Trained(
        device=str(device()),
        precision=precision,
        steps=trainer.state.global_step,
        resumed_at=None if resumed is None else int(resumed.name.rpartition("-")[2]),
        wall_seconds=round(float(logged["seconds"].sum()), 2),
        seconds_per_step=round(float(_seconds_per_step(logged).median()), 5),
        train_examples=len(train.examples),
        trainable_parameters=trainable_parameters(model),
        layers=len(encoder_layers(model)),
        peak_memory_mb=memory.read(),
    )


def _seconds_per_step(logged: pd.DataFrame) -> pd.Series:
    return logged["seconds"] / logged["step"].diff().fillna(logged["step"])


def step_count(settings: TrainingSettings, examples: int) -> int:
    """Optimiser steps: those of `epochs` if given, else max_steps."""
    if settings.epochs is None:
        return settings.max_steps
    return max(1, round(settings.epochs * math.ceil(examples / settings.batch_size)))


def _arguments(
    settings: TrainingSettings, steps: int, precision: str, seed: int, folder: str | Path
) -> TrainingArguments:
    best = settings.checkpoint == "best"
    each_epoch = settings.eval_steps == "epoch"
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length" if settings.group_by_length else "random",
        bf16=precision == "bfloat16",
        use_cpu=device().type == "cpu",
        seed=seed,
        logging_steps=max(1, steps // 100),
        eval_strategy=("epoch" if each_epoch else "steps") if best else "no",
        eval_steps=None if each_epoch or not best else settings.eval_steps,
        save_strategy="best" if best else "no",  # and timed ones, see strata.modeling.resumption
        save_total_limit=1,
        load_best_model_at_end=best,
        metric_for_best_model="score" if best else None,
        greater_is_better=True if best else None,
        disable_tqdm=True,
        report_to=[],
    )


class _Dataset(Dataset):
    """A task's examples, tokenised batch by batch when training needs them."""

    def __init__(self, rows: Rows):
        self.rows, self.labels = rows, rows.examples["label"].tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        rows, _ = self.rows.tokenize(indices)
        labels = [{"label": self.labels[i]} for i in indices]
        return [row | label for row, label in zip(self._by_example(rows), labels, strict=True)]

    def _by_example(self, rows: Features) -> list[dict[str, Any]]:
        """One row per example; for multiple choice, each field lists the values of the choices."""
        if "choices" not in self.rows.examples:
            return list(rows)
        count = self.rows.choices
        examples = (rows[i : i + count] for i in range(0, len(rows), count))
        return [{name: [row[name] for row in some] for name in some[0]} for some in examples]


def _metrics(task: Task) -> Callable[[EvalPrediction], dict[str, float]]:
    def compute(output: EvalPrediction) -> dict[str, float]:
        logits = torch.as_tensor(output.predictions)
        # For multiple choice (examples, choices), so (examples, answers) for every type.
        return {
            "score": score(task.metric, np.asarray(output.label_ids), decide(logits, task)).value
        }

    return compute


class _Trainer(Trainer):
    """Draws each epoch's order from seed and epoch alone, so that a resumed epoch has the same.

    Attributes
    ----------
    rates : mapping of str to float
        The factors to the learning rate, see ``finetune``.
    """

    rates: Mapping[str, float] = {}

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The recipe's optimiser, with separate groups for parameters with another rate."""
        optimizer = super().create_optimizer(model)
        named = dict((model or self.model).named_parameters())
        rates = {id(named[name]): rate for name, rate in self.rates.items()}
        for group in list(optimizer.param_groups):
            for rate in sorted(set(rates.values())):
                faster = [p for p in group["params"] if rates.get(id(p)) == rate]
                if faster:
                    group["params"] = [p for p in group["params"] if rates.get(id(p)) != rate]
                    options = {key: value for key, value in group.items() if key != "params"}
                    # Before the schedule is made, which scales each group's initial rate.
                    optimizer.add_param_group(
                        options | {"params": faster, "lr": rate * group["lr"]}
                    )
        return optimizer

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):  # others are seeded by accelerate
            sampler.generator = torch.Generator()
            sampler.set_epoch = lambda e: sampler.generator.manual_seed(self.args.seed + e)
        return sampler


class ProgressCallback(TrainerCallback):
    """Progress lines, and the time of each logged interval, kept with the Trainer's own state."""

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if state.global_step:
            print(f"resuming at step {state.global_step:,} of {state.max_steps:,}", flush=True)
        self.progress = Progress(state.max_steps - state.global_step, "steps")
        self.step, self.time = state.global_step, time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **others: Any,
    ) -> None:
        if "loss" not in logs:
            return
        seconds = max(time.monotonic() - self.time, 1e-9)
        steps = state.global_step - self.step
        rate = steps * self.batch_size / seconds
        state.log_history[-1] |= {"examples_per_second": round(rate, 2), "seconds": seconds}
        self.progress.advance(steps, lambda: f"loss {logs['loss']:.4f}, {rate:,.1f} examples/s")
        self.step, self.time = state.global_step, time.monotonic()
