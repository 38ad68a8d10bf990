"""Heads of all depths tuned at once, on cached representations (torch.func).

Each head is a copy of the model's own head module; its parameters are stacked along a new first
axis, so that one vectorised forward, backward and AdamW step serves every depth (and, when a rate
is being chosen, every rate). Clipping and weight decay are per head: the result is that of
tuning the heads one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup, set_seed

from strata.data.task import Task
from strata.evaluation.metrics import score
from strata.evaluation.predictions import decode
from strata.modeling.compute import device
from strata.modeling.head import Head
from strata.runtime.progress import Progress

Stack = dict[str, Tensor]  # parameter name -> [heads, ...]


def repeat_head(head: Head, count: int) -> Stack:
    """A stack of `count` copies of a head's parameters."""
    return {
        name: parameter.detach().to(device()).expand(count, *parameter.shape).clone()
        for name, parameter in head.named_parameters()
    }


@dataclass(frozen=True)
class Standardizer:
    """Each depth's mean and standard deviation over examples, [depths, 1, hidden], float32."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, rows: int = 4096) -> "Standardizer":
        """Of [depths, rows, hidden], in two passes over blocks of rows."""
        blocks = [slice(b, b + rows) for b in range(0, vectors.shape[1], rows)]
        count = vectors.shape[1]
        mean = sum(vectors[:, b].sum(1, keepdims=True, dtype=np.float64) for b in blocks) / count
        squares = sum(((vectors[:, b] - mean) ** 2).sum(1, keepdims=True) for b in blocks)
        # A spread below one step of the stored type is rounding, not a feature.
        step = np.finfo(vectors.dtype).eps * np.abs(mean)
        deviation = np.maximum(np.sqrt(squares / count), step)
        deviation[deviation == 0] = 1.0
        return cls(mean.astype(np.float32), deviation.astype(np.float32))


def tune_heads(
    head: Head,
    vectors: np.ndarray,
    labels: np.ndarray,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    rates: Sequence[float] | None = None,
    slots: Sequence[int] | None = None,
    examples: np.ndarray | None = None,
    standard: Standardizer | None = None,
) -> Stack:
    """Tune copies of `head` on frozen representations.

    Parameters
    ----------
    head : where every copy starts; its dropout is on while tuning, one mask for all heads.
    vectors : [depths, rows, hidden] head inputs, an array or memory map.
    labels : [examples]; `task.choices` rows each.
    settings : the ``heads`` section: steps, batch_size, learning_rate, warmup_steps,
        weight_decay, adam_epsilon, max_grad_norm.
    seed : orders the examples and draws dropout.
    rates : a learning rate a head; settings["learning_rate"] for all by default.
    slots : the index in `vectors` each head reads; by default one head a depth.
    examples : numbers of the examples to tune on; by default all.
    standard : the heads read standardised vectors.

    Returns
    -------
    The tuned parameters, stacked in the order of `slots`.
    """
    slots = list(range(len(vectors)) if slots is None else slots)
    rates = [settings["learning_rate"]] * len(slots) if rates is None else list(rates)
    examples = np.arange(len(labels)) if examples is None else examples
    set_seed(seed)
    head = head.to(device()).train()
    stacks, order = _groups(head, rates)
    optimizer = _optimizer(stacks, settings)
    schedule = get_linear_schedule_with_warmup(
        optimizer, settings["warmup_steps"], settings["steps"]
    )
    forward = _vectorised(head, randomness="same")
    read = torch.tensor([slots[i] for i in order], device=device())
    progress = Progress(settings["steps"], f"steps of {len(slots)} heads")
    for batch, inputs in _stream(vectors, examples, task, settings, seed, standard):
        logits = forward(_join(stacks), inputs[read])
        losses = _losses(logits, torch.from_numpy(labels[batch]).to(device()), task)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        for stack in stacks.values():
            _clip(stack, settings["max_grad_norm"])
        optimizer.step()
        schedule.step()
        progress.advance(note=partial(_mean_loss, losses))
    head.eval()
    back = torch.from_numpy(np.argsort(order)).to(device())
    return {name: tensor.detach()[back] for name, tensor in _join(stacks).items()}


def tune_converged(
    head: Head,
    vectors: np.ndarray,
    labels: np.ndarray,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[Stack, list[float], Standardizer]:
    """Tune a head a depth as far as it will go: standardised inputs, and the best rate.

    Where the representations' spread is tiny beside their mean (CLS vectors at low depths), no
    rate takes a head from its start to a solution in any reasonable number of steps.
    Standardising is an affine map, which the first linear layer of every supported head could
    learn, so it adds nothing to what a head can say. All of
    settings["converged"]["learning_rates"] are tried at every depth, together, on a part of the
    examples; then the heads are tuned on all of them, each at the rate that scored best on the
    examples held out (the smallest of equals).

    Returns
    -------
    The tuned parameters, stacked by depth, each depth's rate, and the standardisation to apply.
    """
    rates = sorted(settings["converged"]["learning_rates"])
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    held = round(len(labels) * settings["converged"]["held_out"])
    held = min(max(held, 1), len(labels) - 1)
    held_out, kept = np.sort(shuffled[:held]), np.sort(shuffled[held:])
    standard, depths = Standardizer.of(vectors), len(vectors)
    slots = [slot for _ in rates for slot in range(depths)]
    each = [rate for rate in rates for _ in range(depths)]
    trial = tune_heads(head, vectors, labels, task, settings, seed, each, slots, kept, standard)
    predictions = apply_heads(head, trial, vectors, task, slots, held_out, standard)
    scores = np.array([score(task.metric, labels[held_out], p).value for p in predictions])
    best = scores.reshape(len(rates), depths).argmax(axis=0)
    chosen = [rates[i] for i in best]
    stack = tune_heads(head, vectors, labels, task, settings, seed, rates=chosen, standard=standard)
    return stack, chosen, standard


def apply_heads(
    head: Head,
    stack: Stack,
    vectors: np.ndarray,
    task: Task,
    slots: Sequence[int] | None = None,
    examples: np.ndarray | None = None,
    standard: Standardizer | None = None,
    at_once: int = 4096,
) -> np.ndarray:
    """Predictions of stacked heads, [heads, examples]; head h reads vectors[slots[h]]."""
    slots = list(range(len(vectors)) if slots is None else slots)
    if examples is None:
        examples = np.arange(vectors.shape[1] // task.choices)
    head = head.to(device()).eval()
    forward = _vectorised(head, randomness="error")
    step = max(at_once // task.choices, 1)
    logits = []
    with torch.inference_mode():
        for begin in range(0, len(examples), step):
            inputs = _load(vectors, examples[begin : begin + step], task, standard)
            logits.append(forward(stack, inputs[slots]).cpu())
    return decode(torch.cat(logits, dim=1), task)


def save_stack(stack: Stack, depths: Sequence[int], path: str | Path) -> None:
    """Write stacked heads as safetensors, under their names in the task model's state dict."""
    tensors = {name.removeprefix("model."): t.contiguous().cpu() for name, t in stack.items()}
    save_file(tensors | {"depths": torch.tensor(list(depths))}, path)


def load_head_of_depth(path: str | Path, depth: int) -> dict[str, Tensor]:
    """The head of one depth, as a part of the task model's state dict."""
    tensors = load_file(path)
    index = tensors.pop("depths").tolist().index(depth)
    return {name: tensor[index] for name, tensor in tensors.items()}


def _vectorised(head: Head, randomness: str) -> Any:
    return vmap(lambda p, x: functional_call(head, p, (x,)), randomness=randomness)


def _groups(head: Head, rates: Sequence[float]) -> tuple[dict[float, Stack], list[int]]:
    """A stack for each rate (AdamW has one a parameter group), and the heads in their order."""
    stacks, order = {}, []
    for rate in dict.fromkeys(rates):
        members = [index for index, own in enumerate(rates) if own == rate]
        stacks[rate] = {
            k: v.requires_grad_(True) for k, v in repeat_head(head, len(members)).items()
        }
        order += members
    return stacks, order


def _join(stacks: Mapping[float, Stack]) -> Stack:
    names = next(iter(stacks.values()))
    return {name: torch.cat([stack[name] for stack in stacks.values()]) for name in names}


def _optimizer(stacks: Mapping[float, Stack], settings: Mapping[str, Any]) -> torch.optim.AdamW:
    groups = []
    for rate, stack in stacks.items():
        # A bias has one axis beside the heads'; biases (and norms) are not decayed.
        for decayed in (True, False):
            tensors = [tensor for tensor in stack.values() if (tensor.ndim > 2) == decayed]
            decay = settings["weight_decay"] if decayed else 0.0
            groups.append({"params": tensors, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, eps=settings["adam_epsilon"], fused=True)


def _losses(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Mean loss of each head over the batch, [heads], from logits [heads, rows, outputs]."""
    heads = len(logits)
    if task.kind.continuous:
        return ((logits[..., 0] - labels.float()) ** 2).mean(1)
    if task.kind.compares_rows:
        logits = logits[..., 0].unflatten(1, (-1, task.choices))
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.repeat(heads), reduction="none")
    return losses.view(heads, -1).mean(1)


def _mean_loss(losses: Tensor) -> str:
    return f"mean loss {losses.mean().item():.4f}"


def _clip(stack: Stack, limit: float) -> None:
    """Clip the gradient norm of each head by itself, as clip_grad_norm_ does for one."""
    squares = sum(t.grad.flatten(1).pow(2).sum(1) for t in stack.values())
    scale = (limit / (squares.sqrt() + 1e-6)).clamp(max=1.0)
    for tensor in stack.values():
        tensor.grad.mul_(scale.view(-1, *[1] * (tensor.ndim - 1)))


def _stream(
    vectors: np.ndarray,
    examples: np.ndarray,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    standard: Standardizer | None,
    window: int = 64,
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Batches in an order drawn anew each epoch: example numbers, and [depths, rows, hidden].

    Rows of `window` batches are read from the file together, in the file's order.
    """
    rng = np.random.default_rng(seed)
    size, steps = min(settings["batch_size"], len(examples)), settings["steps"]
    epochs = -(-steps * size // len(examples)) + 1
    # Each epoch's incomplete last batch is made up from the next epoch's first examples.
    order = np.concatenate([rng.permutation(examples) for _ in range(epochs)])
    for begin in range(0, steps, window):
        batches = order[begin * size : min(begin + window, steps) * size].reshape(-1, size)
        wanted, where = np.unique(batches, return_inverse=True)
        loaded = _load(vectors, wanted, task, standard)
        for batch, local in zip(batches, where.reshape(batches.shape), strict=True):
            yield batch, loaded[:, torch.from_numpy(_rows(local, task)).to(device())]


def _load(
    vectors: np.ndarray, examples: np.ndarray, task: Task, standard: Standardizer | None
) -> Tensor:
    """The rows of some examples as float32 on the device, [depths, rows, hidden]."""
    rows = np.array(vectors[:, _rows(examples, task)], dtype=np.float32)
    if standard is not None:
        rows = (rows - standard.mean) / standard.deviation
    return torch.from_numpy(rows).to(device())


def _rows(examples: np.ndarray, task: Task) -> np.ndarray:
    """Row numbers of examples that have `task.choices` rows each."""
    return (examples[:, None] * task.choices + np.arange(task.choices)).reshape(-1)
