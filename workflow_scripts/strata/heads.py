"""Heads of all depths tuned at once, on cached representations (torch.func).

Each head is a copy of the model's own head module; its parameters are stacked along a new first
axis, so that one vectorised forward, backward and AdamW step serves every depth (and, when a rate
is being chosen, every rate). Clipping and weight decay are per head: the result is that of
tuning the heads one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
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

from strata.devices import device
from strata.jobs import Progress
from strata.metrics import score
from strata.models import Head
from strata.predictions import decode
from strata.tasks import Task

Stack = dict[str, Tensor]  # parameter name -> [heads, ...]


def repeat(head: Head, count: int) -> Stack:
    """A stack of `count` copies of a head's parameters."""
    return {
        name: parameter.detach().to(device()).expand(count, *parameter.shape).clone()
        for name, parameter in head.named_parameters()
    }


def tune(
    head: Head,
    vectors: np.ndarray,
    labels: np.ndarray,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
    rates: Sequence[float] | None = None,
    slots: Sequence[int] | None = None,
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

    Returns
    -------
    The tuned parameters, stacked in the order of `slots`.
    """
    slots = list(range(len(vectors)) if slots is None else slots)
    rates = [settings["learning_rate"]] * len(slots) if rates is None else list(rates)
    set_seed(seed)
    head = head.to(device()).train()
    stacks, members = _groups(head, rates)
    parameters = [tensor for stack in stacks.values() for tensor in stack.values()]
    optimizer = _optimizer(stacks, settings)
    schedule = get_linear_schedule_with_warmup(
        optimizer, settings["warmup_steps"], settings["steps"]
    )
    order = [head_index for rate in stacks for head_index in members[rate]]
    forward = _vectorised(head, randomness="same")
    progress = Progress(settings["steps"], f"steps of {len(slots)} heads")
    taken = torch.tensor([slots[i] for i in order], device=device())
    for inputs, wanted in _stream(vectors, labels, task.choices, settings, seed):
        joined = {
            name: torch.cat([stack[name] for stack in stacks.values()])
            for name in next(iter(stacks.values()))
        }
        logits = forward(joined, inputs[taken])
        losses = _losses(logits, wanted, task)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        for stack in stacks.values():
            _clip(stack, settings["max_grad_norm"])
        optimizer.step()
        schedule.step()
        progress.advance(note=partial(_mean_loss, losses))
    for tensor in parameters:
        tensor.requires_grad_(False)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    head.eval()
    return {
        name: torch.cat([stack[name] for stack in stacks.values()])[back.to(device())]
        for name in next(iter(stacks.values()))
    }


def tune_converged(
    head: Head,
    vectors: np.ndarray,
    labels: np.ndarray,
    task: Task,
    settings: Mapping[str, Any],
    seed: int,
) -> tuple[Stack, list[float]]:
    """Tune a head a depth at the rate that does best on held-out train examples.

    All of settings["converged"]["learning_rates"] are tried at every depth, together, on a part
    of the examples; then the heads are tuned on all of them, each at its own best rate (the
    smallest of equals).

    Returns
    -------
    The tuned parameters, stacked by depth, and each depth's rate.
    """
    rates = sorted(settings["converged"]["learning_rates"])
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    held = max(1, round(len(labels) * settings["converged"]["held_out"]))
    held_out, kept = np.sort(shuffled[:held]), np.sort(shuffled[held:])
    depths = len(vectors)
    slots = [slot for _ in rates for slot in range(depths)]
    trial = tune(
        head,
        vectors[:, _rows(kept, task.choices)],
        labels[kept],
        task,
        settings,
        seed,
        rates=[rate for rate in rates for _ in range(depths)],
        slots=slots,
    )
    predictions = apply(head, trial, vectors[:, _rows(held_out, task.choices)], task, slots)
    scores = np.array([score(task.metric, labels[held_out], p).value for p in predictions])
    best = scores.reshape(len(rates), depths).argmax(axis=0)
    chosen = [rates[i] for i in best]
    return tune(head, vectors, labels, task, settings, seed, rates=chosen), chosen


def apply(
    head: Head,
    stack: Stack,
    vectors: np.ndarray,
    task: Task,
    slots: Sequence[int] | None = None,
    rows: int = 4096,
) -> np.ndarray:
    """Predictions of stacked heads, [heads, examples]; head h reads vectors[slots[h]]."""
    slots = list(range(len(vectors)) if slots is None else slots)
    head = head.to(device()).eval()
    forward = _vectorised(head, randomness="error")
    step = max(rows // task.choices, 1) * task.choices
    logits = []
    with torch.inference_mode():
        for begin in range(0, vectors.shape[1], step):
            part = np.array(vectors[:, begin : begin + step], dtype=np.float32)
            inputs = torch.from_numpy(part).to(device())
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


def _groups(head: Head, rates: Sequence[float]) -> tuple[dict[float, Stack], dict[float, list]]:
    """Heads of one rate are one stack: AdamW has one rate a parameter group."""
    members: dict[float, list[int]] = {}
    for index, rate in enumerate(rates):
        members.setdefault(rate, []).append(index)
    stacks = {rate: repeat(head, len(found)) for rate, found in members.items()}
    for stack in stacks.values():
        for tensor in stack.values():
            tensor.requires_grad_(True)
    return stacks, members


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
    if task.type == "regression":
        return ((logits[..., 0] - labels.float()) ** 2).mean(1)
    if task.type == "multiple-choice":
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
    labels: np.ndarray,
    choices: int,
    settings: Mapping[str, Any],
    seed: int,
    window: int = 64,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in an order drawn anew each epoch: [depths, rows, hidden] and labels [examples].

    Rows of `window` batches are read from the file together, in the file's order.
    """
    rng = np.random.default_rng(seed)
    size, steps = min(settings["batch_size"], len(labels)), settings["steps"]
    epochs = -(-steps * size // len(labels)) + 1
    # Each epoch's incomplete last batch is made up from the next epoch's first examples.
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])
    for begin in range(0, steps, window):
        batches = order[begin * size : min(begin + window, steps) * size].reshape(-1, size)
        wanted, where = np.unique(batches, return_inverse=True)
        rows = np.array(vectors[:, _rows(wanted, choices)], dtype=np.float32)
        loaded = torch.from_numpy(rows).to(device())
        for batch, local in zip(batches, where.reshape(batches.shape), strict=True):
            local_rows = torch.from_numpy(_rows(local, choices)).to(device())
            yield loaded[:, local_rows], torch.from_numpy(labels[batch]).to(device())


def _rows(examples: np.ndarray, choices: int) -> np.ndarray:
    """Row numbers of examples that have `choices` rows each."""
    return (examples[:, None] * choices + np.arange(choices)).reshape(-1)
