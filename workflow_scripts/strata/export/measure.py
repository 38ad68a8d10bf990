"""What an exported model scores and how fast it is, beside the full model."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.metrics import bootstrap, score
from strata.modeling.compute import device, inference
from strata.modeling.encoder import num_parameters
from strata.modeling.inference import predict, row_logits
from strata.modeling.loading import auto_class


def measure(
    folder: str | Path,
    full: PreTrainedModel,
    rows: Rows,
    task: Task,
    evaluation: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Score, size and speed of an exported folder against the full model, in one job.

    Parameters
    ----------
    folder : is loaded as a stranger would, with the plain auto class.
    full : the run's full model.
    sampling : ``resamples`` and ``confidence`` of the interval of the difference.
    """
    small = auto_class(task).from_pretrained(folder, trust_remote_code=False)
    labels = rows.examples["label"].to_numpy()
    options = (evaluation["batch_size"], evaluation["precision"])
    predictions = {
        "full": predict(full, rows, task, *options),
        "small": predict(small, rows, task, *options),
    }
    low, high = bootstrap(
        task.metric, labels, predictions, lambda s: s["small"] - s["full"], **sampling
    )
    speeds = throughput({"full": full, "small": small}, rows, task, *options)
    return {
        "score": score(task.metric, labels, predictions["small"]).value,
        "full_score": score(task.metric, labels, predictions["full"]).value,
        "difference_low": low,
        "difference_high": high,
        "n_examples": len(labels),
        "layers": small.config.num_hidden_layers,
        "full_layers": full.config.num_hidden_layers,
        "parameters": num_parameters(small),
        "full_parameters": num_parameters(full),
        "examples_per_second": speeds["small"],
        "full_examples_per_second": speeds["full"],
        "device": str(device()),
    }


def throughput(
    models: Mapping[str, PreTrainedModel],
    rows: Rows,
    task: Task,
    batch_size: int,
    precision: str,
    rounds: int = 3,
    limit: int = 256,
) -> dict[str, float]:
    """Examples a second of each model, the median of rounds that take turns.

    Measured on the first `limit` rows, after one uncounted batch each.
    """
    window = next(rows.windows(limit))
    prepared = [inputs for _, inputs, _ in rows.batches(window, batch_size, device())]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with inference(precision):
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
    return {name: examples / float(np.median(found)) for name, found in seconds.items()}
