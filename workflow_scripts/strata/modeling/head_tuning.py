"""Heads of all depths tuned at once, on cached representations (torch.func).

Each head is a copy of the model's own head module. Parameters are stacked along a new first axis,
so that one vectorised forward, backward and AdamW step serves every depth (and every rate, while
one is chosen). Clipping and weight decay are per head, so the result is the same as when heads are
tuned one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup, set_seed

from strata.data.task import Task
from strata.evaluation.predictions import decode
from strata.modeling.compute import device
from strata.modeling.head import Head
from strata.runtime.progress import Progress
from strata.study.settings import HeadSettings

Stack = dict[str, Tensor]  # parameter name -> [heads, ...]


def repeat_head(head: Head, count: int) -> Stack:
    """A stack of `count` copies of a head's parameters."""
    return {
        name: parameter.detach().to(device()).expand(count, *parameter.shape).clone()
        for name, parameter in head.named_parameters()
    }


@dataclass(frozen=True)
class Standardizer:
    """Each depth's mean and standard deviation over examples, (depths, 1, hidden), float32."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, rows: int = 4096) -> "Standardizer":
        """From vectors (depths, rows, hidden), in two passes, `rows` at a time."""
        parts = [slice(b, b + rows) for b in range(0, vectors.shape[1], rows)]
        count = vectors.shape[1]
        mean = sum(vectors[:, p].sum(1, keepdims=True, dtype=np.float64) for p in parts) / count
        squares = sum(((vectors[:, p] - mean) ** 2).sum(1, keepdims=True) for p in parts)
        # A spread below the resolution of the stored type is rounding, not signal.
        step = np.finfo(vectors.dtype).eps * np.abs(mean)
        deviation = np.maximum(np.sqrt(squares / count), step)
        deviation[deviation == 0] = 1.0
        return cls(mean.astype(np.float32), deviation.astype(np.float32))


@dataclass(frozen=True)
class HeadInputs:
    """What heads are tuned on or applied to.

    Attributes
    ----------
    vectors : ndarray of shape (depths, rows, hidden)
        Head inputs, an array or memory map.
    labels : ndarray of shape (examples,)
        The examples' labels; each example has `task.choices` rows.
    examples : ndarray or None
        Indices of the examples that are used; None for all.
    standard : Standardizer or None
        If given, it standardises the vectors before heads read them.
    """

    vectors: np.ndarray
    labels: np.ndarray
    task: Task
    examples: np.ndarray | None = None
    standard: Standardizer | None = None

    @property
    def numbers(self) -> np.ndarray:
        """Indices of the examples that are used."""
        return np.arange(len(self.labels)) if self.examples is None else self.examples

    def rows(self, examples: np.ndarray) -> np.ndarray:
        """Row indices of some examples."""
        choices = self.task.choices
        return (examples[:, None] * choices + np.arange(choices)).reshape(-1)

    def load(self, examples: np.ndarray) -> Tensor:
        """The rows of some examples as float32 on the device, (depths, rows, hidden)."""
        rows = np.array(self.vectors[:, self.rows(examples)], dtype=np.float32)
        if self.standard is not None:
            rows = (rows - self.standard.mean) / self.standard.deviation
        return torch.from_numpy(rows).to(device())


@dataclass(frozen=True)
class Copies:
    """Which heads are tuned.

    Attributes
    ----------
    slots : sequence of int
        Each head's index in `HeadInputs.vectors`.
    rates : sequence of float
        Each head's learning rate.
    starts : Stack or None
        The starting heads, one per slot; None if all start as the given head.
    """

    slots: Sequence[int]
    rates: Sequence[float]
    starts: Stack | None = None

    @classmethod
    def by_depth(
        cls, inputs: HeadInputs, rates: float | Sequence[float], starts: Stack | None = None
    ) -> "Copies":
        """One head per depth, all at one rate or each at its own."""
        depths = len(inputs.vectors)
        each = rates if isinstance(rates, Sequence) else [rates] * depths
        return cls(range(depths), each, starts)

    @classmethod
    def grid(
        cls, inputs: HeadInputs, rates: Sequence[float], starts: Stack | None = None
    ) -> "Copies":
        """One head per rate and depth, the depths of the first rate first."""
        depths = range(len(inputs.vectors))
        slots = [slot for _ in rates for slot in depths]
        return cls(slots, [rate for rate in rates for _ in depths], starts)

    def begin(self, head: Head) -> Stack:
        """The heads before tuning, in order."""
        if self.starts is None:
            return repeat_head(head, len(self.slots))
        return {name: tensor[list(self.slots)] for name, tensor in self.starts.items()}


def tune_heads(
    head: Head,
    inputs: HeadInputs,
    settings: HeadSettings,
    seed: int,
    copies: Copies | None = None,
) -> Stack:
    """Tune copies of `head` on frozen representations.

    Parameters
    ----------
    head : Head
        The head that copies start as, unless `copies` says otherwise. Its dropout is on during
        tuning, with one mask for all heads.
    seed : int
        Decides the order of examples and the dropout masks.
    copies : Copies, optional
        By default one head per depth, at the settings' learning rate.

    Returns
    -------
    Stack
        The tuned parameters, stacked in the order of `copies`.
    """
    copies = copies or Copies.by_depth(inputs, settings.learning_rate)
    set_seed(seed)
    head = head.to(device()).train()
    # AdamW has one rate per parameter group, so heads with the same rate are adjacent.
    order = np.argsort(copies.rates, kind="stable")
    stack = {name: t[order].requires_grad_(True) for name, t in copies.begin(head).items()}
    optimizer = _optimizer(stack, [copies.rates[i] for i in order], settings)
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
    forward = _vectorised(head, randomness="same")
    read = torch.tensor([copies.slots[i] for i in order], device=device())
    progress = Progress(settings.steps, f"steps of {len(order)} heads")
    for batch, vectors in _stream(inputs, settings, seed):
        logits = forward(stack, vectors[read])
        labels = torch.from_numpy(inputs.labels[batch]).to(device())
        losses = _losses(logits, labels, inputs.task)
        for tensor in stack.values():
            tensor.grad.zero_()
        losses.sum().backward()
        _clip(stack, settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        progress.advance(note=partial(_mean_loss, losses))
    head.eval()
    back = torch.from_numpy(np.argsort(order)).to(device())
    return {name: tensor.detach()[back] for name, tensor in stack.items()}


def apply_heads(
    head: Head,
    stack: Stack,
    inputs: HeadInputs,
    slots: Sequence[int] | None = None,
    at_once: int = 4096,
) -> np.ndarray:
    """Predictions of stacked heads, (heads, examples); parameters as for ``head_logits``."""
    return decode(head_logits(head, stack, inputs, slots, at_once), inputs.task)


def head_logits(
    head: Head,
    stack: Stack,
    inputs: HeadInputs,
    slots: Sequence[int] | None = None,
    at_once: int = 4096,
) -> Tensor:
    """Logits of stacked heads, (heads, rows, outputs), in float32 on the CPU.

    Parameters
    ----------
    slots : sequence of int, optional
        The index in `inputs.vectors` that each head reads; by default there is one head per depth.
    at_once : int, default 4096
        The number of rows that are read together.
    """
    slots = list(range(len(inputs.vectors)) if slots is None else slots)
    examples = inputs.numbers
    head = head.to(device()).eval()
    forward = _vectorised(head, randomness="error")
    step = max(at_once // inputs.task.choices, 1)
    logits = []
    with torch.inference_mode():
        for begin in range(0, len(examples), step):
            vectors = inputs.load(examples[begin : begin + step])
            logits.append(forward(stack, vectors[slots]).cpu())
    return torch.cat(logits, dim=1)


def save_stack(stack: Stack, depths: Sequence[int], path: str | Path) -> None:
    """Write stacked heads as safetensors, under their names in the task model's state dict."""
    tensors = {name.removeprefix("model."): t.contiguous().cpu() for name, t in stack.items()}
    save_file(tensors | {"depths": torch.tensor(list(depths))}, path)


def load_head_of_depth(path: str | Path, depth: int) -> dict[str, Tensor]:
    """The head of one depth, as part of the task model's state dict."""
    tensors = load_file(path)
    index = tensors.pop("depths").tolist().index(depth)
    return {name: tensor[index] for name, tensor in tensors.items()}


def _vectorised(head: Head, randomness: str) -> Callable[[Stack, Tensor], Tensor]:
    return vmap(lambda p, x: functional_call(head, p, (x,)), randomness=randomness)


def _optimizer(stack: Stack, rates: Sequence[float], settings: HeadSettings) -> torch.optim.AdamW:
    """An optimizer for a stack with heads ordered by rate; the stack also gets its gradients.

    Its parameters are views of each rate's heads, and their gradients views of the stack's.
    """
    for tensor in stack.values():
        tensor.grad = torch.zeros_like(tensor)
    groups = []
    for rate in dict.fromkeys(rates):
        begin = rates.index(rate)
        heads = slice(begin, begin + rates.count(rate))
        # A bias has one axis besides that of the heads; biases (and norms) are not decayed.
        for decayed in (True, False):
            tensors = [tensor for tensor in stack.values() if (tensor.ndim > 2) == decayed]
            views = [tensor.detach()[heads] for tensor in tensors]
            for tensor, view in zip(tensors, views, strict=True):
                view.grad = tensor.grad[heads]
            decay = settings.weight_decay if decayed else 0.0
            groups.append({"params": views, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, eps=settings.adam_epsilon, fused=True)


def _losses(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Mean loss of each head over the batch, (heads,), from logits (heads, rows, outputs)."""
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
    """Clip the gradient norm of each head separately, as clip_grad_norm_ does for one."""
    norms = torch.stack(
        [torch.linalg.vector_norm(t.grad.flatten(1), dim=1) for t in stack.values()]
    )
    scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for tensor in stack.values():
        tensor.grad.mul_(scale.view(-1, *[1] * (tensor.ndim - 1)))


def _stream(
    inputs: HeadInputs, settings: HeadSettings, seed: int, window: int = 64
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Batches in a new order each epoch: example indices, and vectors (depths, rows, hidden).

    The rows of `window` batches are read from the file together, in the file's order.
    """
    rng, examples = np.random.default_rng(seed), inputs.numbers
    size, steps = min(settings.batch_size, len(examples)), settings.steps
    epochs = -(-steps * size // len(examples)) + 1
    # Each epoch's incomplete last batch is filled up with the next epoch's first examples.
    order = np.concatenate([rng.permutation(examples) for _ in range(epochs)])
    for begin in range(0, steps, window):
        batches = order[begin * size : min(begin + window, steps) * size].reshape(-1, size)
        wanted, where = np.unique(batches, return_inverse=True)
        loaded = inputs.load(wanted)
        for batch, local in zip(batches, where.reshape(batches.shape), strict=True):
            yield batch, loaded[:, torch.from_numpy(inputs.rows(local)).to(device())]
