"""Score and speed of an exported model, compared with the full model."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.resampling import interval, resampled_scores
from strata.modeling.compute import device, inference
from strata.modeling.encoder import num_parameters
from strata.modeling.head_styles import auto_class
from strata.modeling.inference import predict, row_logits
from strata.study.settings import ForwardSettings, Sampling


@dataclass(frozen=True)
class Measured:
    """An exported model, and the full model it was cut from (``full_…``).

    Attributes
    ----------
    score, full_score : float
        The scores, as fractions; their difference has a paired bootstrap interval over examples.
    examples_per_second, full_examples_per_second : float
        Speeds, measured in one job, on `device`.
    """

    score: float
    full_score: float
    difference_low: float
    difference_high: float
    n_examples: int
    layers: int
    full_layers: int
    parameters: int
    full_parameters: int
    examples_per_second: float
    full_examples_per_second: float
    device: str


def measure(
    folder: str | Path,
    full: PreTrainedModel,
    rows: Rows,
    task: Task,
    forward: ForwardSettings,
    sampling: Sampling,
    outputs: Sequence[int] | None = None,
) -> Measured:
    """Score, size and speed of an exported folder against the full model, in one job.

    Parameters
    ----------
    folder : path-like
        The folder, loaded as any user would load it, with the plain auto class.
    full : PreTrainedModel
        The run's full model.
    sampling : Sampling
        How the interval of the difference is made.
    outputs : sequence of int, optional
        For each label of the task, the number of its output in the folder; None if they are in the
        task's order.
    """
    small = auto_class(task).from_pretrained(folder, trust_remote_code=False)
    labels = rows.examples["label"].to_numpy()
    models = {"full": full, "small": small}
    predictions = {name: predict(model, rows, task, forward) for name, model in models.items()}
    if outputs is not None:
        predictions["small"] = np.argsort(outputs)[predictions["small"]]
    both = np.stack([predictions["small"], predictions["full"]])
    drawn, drawn_full = resampled_scores(task.metric, labels, both, sampling)
    low, high = interval(drawn - drawn_full, sampling.confidence)
    speeds = throughput(models, rows, task, forward)
    return Measured(
        score=score(task.metric, labels, predictions["small"]).value,
        full_score=score(task.metric, labels, predictions["full"]).value,
        difference_low=low,
        difference_high=high,
        n_examples=len(labels),
        layers=small.config.num_hidden_layers,
        full_layers=full.config.num_hidden_layers,
        parameters=num_parameters(small),
        full_parameters=num_parameters(full),
        examples_per_second=speeds["small"],
        full_examples_per_second=speeds["full"],
        device=str(device()),
    )


def throughput(
    models: Mapping[str, PreTrainedModel],
    rows: Rows,
    task: Task,
    forward: ForwardSettings,
    rounds: int = 3,
    limit: int = 128,
) -> dict[str, float]:
    """Examples per second of each model: the median of rounds, in turn.

    Measured on the first `limit` rows, after one untimed batch each.
    """
    window = next(rows.windows(limit))
    prepared = [inputs for _, inputs, _ in rows.batches(window, forward.batch_size, device())]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with inference(forward.precision):
        for model in models.values():
            row_logits(model.eval().to(device()), prepared[0], task).cpu()
        for _ in range(rounds):
            for name, model in models.items():
                began = time.perf_counter()
                for inputs in prepared:
                    logits = row_logits(model, inputs, task)
                logits.cpu()  # waits for the GPU
                seconds[name].append(time.perf_counter() - began)
    examples = len(window) / rows.choices
    return {name: examples / float(np.median(taken)) for name, taken in seconds.items()}
