"""Heads tuned to convergence, and the choice between them and heads tuned as the recipe says.

Where the spread of the representations is tiny compared with their mean (CLS vectors at low
depths), no learning rate takes a head from its start to a solution in a reasonable number of steps.
So heads are also tuned on standardised inputs, at the best rate for each depth. Standardising is an
affine map, which the first linear layer of a head can learn, so it adds nothing to what a head can
compute; after tuning it is folded into that layer, and the result is an ordinary head again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from strata.evaluation.metrics import score
from strata.modeling.compute import device
from strata.modeling.head import Head
from strata.modeling.head_tuning import (
    Copies,
    HeadInputs,
    Stack,
    Standardizer,
    apply_heads,
    repeat_head,
    tune_heads,
)
from strata.runtime.errors import StrataError
from strata.study.settings import ConvergedSettings, HeadSettings


@dataclass(frozen=True)
class Converged:
    """Heads tuned to convergence, one per depth.

    Attributes
    ----------
    stack : Stack
        The heads. They read vectors as they are: the standardisation is folded into them.
    rates : sequence of float
        Each depth's learning rate: the best on the withheld train examples.
    grid : sequence of float
        The rates that were tried, in ascending order.
    withheld : ndarray of shape (depths,)
        Scores on withheld train examples, at a rate chosen on others of them.
    n_withheld : int
        The number of withheld examples.
    """

    stack: Stack
    rates: Sequence[float]
    grid: Sequence[float]
    withheld: np.ndarray
    n_withheld: int

    @property
    def grid_ends(self) -> list[str]:
        """For each depth "lowest" or "highest" if its rate is at an end of the grid, else ""."""
        ends = {self.grid[0]: "lowest", self.grid[-1]: "highest"}
        if len(self.grid) == 1:
            ends = {self.grid[0]: "only"}
        return [ends.get(rate, "") for rate in self.rates]


@dataclass(frozen=True)
class Choice:
    """Plain and converged heads of a run, and which of the two are better at each depth.

    Attributes
    ----------
    plain : Stack
        Heads tuned on the vectors as they are, at the settings' rate, on all train examples.
    converged : Converged
        Heads tuned to convergence, on all train examples.
    plain_withheld : ndarray of shape (depths,)
        Scores of plain trial heads on train examples withheld from them.
    """

    plain: Stack
    converged: Converged
    plain_withheld: np.ndarray

    @property
    def takes_converged(self) -> np.ndarray:
        """Depths at which converged heads score higher on withheld examples, shape (depths,)."""
        return self.converged.withheld > self.plain_withheld

    @property
    def best(self) -> Stack:
        """Each depth's better head."""
        taken = torch.from_numpy(self.takes_converged)
        return {
            name: torch.where(
                taken.to(tensor.device).view(-1, *[1] * (tensor.ndim - 1)),
                self.converged.stack[name],
                tensor,
            )
            for name, tensor in self.plain.items()
        }


def tune_converged(
    head: Head, inputs: HeadInputs, settings: HeadSettings, seed: int, continued: bool = False
) -> Converged:
    """Tune one head per depth to convergence: on standardised inputs, at the best rate.

    All learning rates of `settings.converged` are tried together at every depth on part of the
    examples. Then the heads are tuned on all examples, each at the rate that scored best on the
    withheld ones (the smallest among equals).

    Parameters
    ----------
    continued : bool, default False
        Whether `head` was trained on vectors as they are. Each depth then starts as the function
        that the head is (at the last depth, as the full model); a fresh head starts with its
        weights.

    Raises
    ------
    StrataError
        The head does not begin with a linear layer.
    ValueError
        The settings do not say how to choose a rate.
    """
    grid = sorted(_converged(settings).learning_rates)
    layer = first_linear(head, inputs.vectors.shape[-1])
    standard = Standardizer.of(inputs.vectors)
    if not has_bias(head, layer):  # it can take in a scale, but no shift
        standard = replace(standard, mean=np.zeros_like(standard.mean))
    inputs = replace(inputs, standard=standard)
    starts = None
    if continued:
        starts = unfold(repeat_head(head, len(inputs.vectors)), layer, standard)
    withheld = _Withheld.of(inputs, settings, seed)
    trials = withheld.trials(head, settings, seed, Copies.grid(inputs, grid, starts))
    trials = trials.reshape(len(grid), len(inputs.vectors), -1)
    rates = [grid[i] for i in withheld.best(trials, withheld.everywhere)]
    stack = tune_heads(head, inputs, settings, seed, Copies.by_depth(inputs, rates, starts))
    scores = withheld.score(withheld.crossed(trials), withheld.everywhere)
    return Converged(fold(stack, layer, standard), rates, grid, scores, len(withheld.examples))


def tune_both(head: Head, inputs: HeadInputs, settings: HeadSettings, seed: int) -> Choice:
    """Tune a run's head plainly and to convergence, and find the better of the two at each depth.

    Trial heads of both recipes are compared on train examples withheld from them. So that a rate is
    not judged on the examples that chose it, each half of these is predicted at the rate that is
    best on the other half. Ties go to the plain head, which is the paper's.

    Raises
    ------
    StrataError
        The head does not begin with a linear layer.
    ValueError
        The settings do not say how to choose a rate.
    """
    converged = tune_converged(head, inputs, settings, seed, continued=True)
    copies = Copies.by_depth(inputs, settings.learning_rate)
    withheld = _Withheld.of(inputs, settings, seed)
    scores = withheld.score(withheld.trials(head, settings, seed, copies), withheld.everywhere)
    return Choice(tune_heads(head, inputs, settings, seed, copies), converged, scores)


@dataclass(frozen=True)
class _Withheld:
    """Train examples that trial heads do not see.

    Attributes
    ----------
    inputs : HeadInputs
        All examples that heads are tuned on.
    kept : ndarray
        Indices of the examples that trial heads are tuned on.
    examples : ndarray
        Indices of the withheld examples, at least one.
    half : ndarray of shape (withheld,)
        Which half of them each example is in, False or True.
    """

    inputs: HeadInputs
    kept: np.ndarray
    examples: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, inputs: HeadInputs, settings: HeadSettings, seed: int) -> "_Withheld":
        count = len(inputs.labels)
        shuffled = np.random.default_rng(seed).permutation(count)
        held = min(max(round(count * _converged(settings).held_out), 2), count - 1)
        examples = np.sort(shuffled[:held])
        # With a single example there is only one half.
        half = np.isin(examples, shuffled[: held // 2])
        return cls(inputs, np.sort(shuffled[held:]), examples, half)

    @property
    def everywhere(self) -> np.ndarray:
        """A mask of all withheld examples."""
        return np.ones(len(self.examples), dtype=bool)

    def trials(self, head: Head, settings: HeadSettings, seed: int, copies: Copies) -> np.ndarray:
        """Tune heads on the others and predict the withheld examples: (heads, withheld)."""
        seen, unseen = (replace(self.inputs, examples=e) for e in (self.kept, self.examples))
        stack = tune_heads(head, seen, settings, seed, copies)
        return apply_heads(head, stack, unseen, copies.slots)

    def score(self, predictions: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Scores of (..., withheld) on some of the examples; undefined scores are the lowest."""
        task, labels = self.inputs.task, self.inputs.labels[self.examples[where]]
        rows = predictions[..., where].reshape(-1, int(where.sum()))
        scores = np.array([score(task.metric, labels, row).value for row in rows])
        return np.nan_to_num(scores, nan=-np.inf).reshape(predictions.shape[:-1])

    def best(self, trials: np.ndarray, where: np.ndarray) -> np.ndarray:
        """The index of each depth's best rate, from trials of shape (rates, depths, withheld)."""
        return self.score(trials, where).argmax(axis=0)

    def crossed(self, trials: np.ndarray) -> np.ndarray:
        """Each half of the trials (rates, depths, withheld) at the other's rate: (depths,
        withheld).
        """
        depths = np.arange(trials.shape[1])
        halves = [half for half in (self.half, ~self.half) if half.any()]
        made = np.empty(trials.shape[1:], dtype=trials.dtype)
        for half, other in zip(halves, reversed(halves), strict=True):
            made[:, half] = trials[self.best(trials, other), depths][:, half]
        return made


def first_linear(head: Head, width: int) -> str:
    """The name of the linear layer that reads a head's unchanged input of shape (rows, width).

    Raises
    ------
    StrataError
        There is no such layer.
    """
    vector = torch.linspace(-1, 1, width, device=device())[None]
    found: list[str] = []

    def note(name: str, layer: nn.Linear, inputs: tuple[Tensor, ...]) -> None:
        read = inputs[0]
        if read.numel() == width and torch.equal(read.view(1, width), vector):
            found.append(name)

    layers = {name: m for name, m in head.named_modules() if isinstance(m, nn.Linear)}
    hooks = [m.register_forward_pre_hook(partial(note, name)) for name, m in layers.items()]
    try:
        with torch.inference_mode():
            head.to(device()).eval()(vector)
    finally:
        for hook in hooks:
            hook.remove()
    if len(found) != 1:
        raise StrataError(
            "The model's head does not begin with a linear layer, so standardising cannot be "
            "folded into it; set `heads: {converged: null}`."
        )
    return found[0]


def has_bias(head: Head, layer: str) -> bool:
    """Whether a head's layer has a bias; the first layers of ModernBERT and decoders have none."""
    return getattr(head.get_submodule(layer), "bias", None) is not None


def fold(stack: Stack, layer: str, standard: Standardizer) -> Stack:
    """Turn heads of standardised vectors into the same functions of unchanged vectors.

    Parameters
    ----------
    stack : Stack
        Heads of the depths of `standard`, each parameter of shape (depths, ...).
    layer : str
        The name of the linear layer that reads the vectors.
    """
    mean, deviation = _moments(stack, layer, standard)
    weight, bias = stack[f"{layer}.weight"], stack.get(f"{layer}.bias")
    folded = (weight.double() / deviation).to(weight.dtype)
    if bias is None:  # the mean is 0 in this case
        return stack | {f"{layer}.weight": folded}
    # With the rounded weights, so that the output for the mean vector does not change.
    shifted = bias.double() - (folded.double() * mean).sum(-1)
    return stack | {f"{layer}.weight": folded, f"{layer}.bias": shifted.to(bias.dtype)}


def unfold(stack: Stack, layer: str, standard: Standardizer) -> Stack:
    """The reverse of `fold`: turn heads into the same functions of standardised vectors."""
    mean, deviation = _moments(stack, layer, standard)
    weight, bias = stack[f"{layer}.weight"], stack.get(f"{layer}.bias")
    unfolded = stack | {f"{layer}.weight": (weight.double() * deviation).to(weight.dtype)}
    if bias is None:
        return unfolded
    shifted = bias.double() + (weight.double() * mean).sum(-1)
    return unfolded | {f"{layer}.bias": shifted.to(bias.dtype)}


def _moments(stack: Stack, layer: str, standard: Standardizer) -> tuple[Tensor, Tensor]:
    where = stack[f"{layer}.weight"].device
    mean, deviation = (torch.from_numpy(a).to(where) for a in (standard.mean, standard.deviation))
    return mean.double(), deviation.double()


def _converged(settings: HeadSettings) -> ConvergedSettings:
    if settings.converged is None:
        raise ValueError("heads.converged is needed: the learning rates to choose from")
    return settings.converged
