"""The settings of one job, as objects.

Rules pass them as plain dicts, lists and numbers, so that Snakemake sees a change; a script makes
an object of them for the library. Defaults are in the config, so there are none here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from strata.study.variants import Variant

RECIPE_SEEDS = 5  # with at least so many, seeds count as a sample of a recipe's runs
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainingSettings:
    """How a run is fine-tuned: the config's ``training`` section, with everything that overrides
    it.

    Attributes
    ----------
    max_steps : int
        Optimiser steps, unless `epochs` says how often each example is seen.
    batch_size : int
        Examples per step.
    warmup_steps : float
        Steps of linear warm-up, or, below 1, their share of all steps.
    weight_decay : float
        Weight decay of all parameters except biases and layer norms.
    max_length : int or "auto"
        The number of tokens that a row is cut to.
    checkpoint : {"last", "best"}
        Which weights are kept: the last step's, or those of the best evaluation.
    eval_steps : int or "epoch"
        Steps between evaluations, if the best weights are kept.
    """

    max_steps: int
    epochs: float | None
    batch_size: int
    learning_rate: float
    warmup_steps: float
    weight_decay: float
    adam_epsilon: float
    max_grad_norm: float
    max_length: int | Literal["auto"]
    group_by_length: bool
    checkpoint: Literal["last", "best"]
    eval_steps: int | Literal["epoch"]
    precision: Precision | Literal["auto"]


@dataclass(frozen=True)
class ConvergedSettings:
    """How heads are tuned to convergence.

    Attributes
    ----------
    learning_rates : sequence of float
        The rates that are tried at each depth.
    held_out : float
        Share of the train examples by which the rate is chosen.
    """

    learning_rates: Sequence[float]
    held_out: float


@dataclass(frozen=True)
class HeadSettings:
    """How heads are tuned: the config's ``heads`` section, with a task's own changes.

    Attributes
    ----------
    converged : ConvergedSettings or None
        None if heads are only tuned with the given rate.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    adam_epsilon: float
    max_grad_norm: float
    converged: ConvergedSettings | None = None

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """From the section of a config; its ``converged`` part may be null or missing."""
        if section.get("converged") is None:
            return cls(**section)
        return cls(**{**section, "converged": ConvergedSettings(**section["converged"])})


@dataclass(frozen=True)
class ReinitSettings:
    """How layers get new weights (``modeling.reinit.reinitialise`` describes the schemes)."""

    scheme: str


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters (Hu et al. 2021): their rank, alpha and dropout."""

    rank: int
    alpha: float
    dropout: float


@dataclass(frozen=True)
class AdapterSettings:
    """Bottleneck adapters (Houlsby et al. 2019): the width of the bottleneck.

    Attributes
    ----------
    bottleneck : int
        Width of the bottleneck; models with a hidden size below twice this value use half their
        hidden size.
    """

    bottleneck: int


@dataclass(frozen=True)
class DistillationSettings:
    """What a smaller model learns from, with weights (``modeling.distillation`` has the formula).

    Attributes
    ----------
    temperature : float
        The temperature that both models' logits are divided by; not used for regression.
    labels : float
        Weight of the loss on labels, from 0 to 1; the rest is the weight of the loss on the full
        model's answers.
    states : float
        Weight of the mean squared difference between what the two heads read.
    """

    temperature: float
    labels: float
    states: float


AblationSettings = ReinitSettings | LoraSettings | AdapterSettings | None


def ablation_settings_of(variant: Variant, section: Mapping[str, Any]) -> AblationSettings:
    """What a variant needs besides its name, from the output of ``recipes.ablation_settings``."""
    if variant.kind in ("reinit", "keep"):
        return ReinitSettings(**section)
    if variant.kind == "adapter":
        return AdapterSettings(**section)
    return LoraSettings(**section) if variant.kind == "lora" else None


@dataclass(frozen=True)
class Sample:
    """Which examples of a split are used: all, or at most `limit`, drawn with `seed`."""

    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class ForwardSettings:
    """How forward passes without gradients are run: rows per batch, and precision."""

    batch_size: int
    precision: Precision = "float32"


@dataclass(frozen=True)
class StorageSettings:
    """Which representations are written.

    Attributes
    ----------
    poolings : sequence of str
        Any of "head" (what the head reads), "raw" (the same before the final norm) and "mean" (the
        mean over tokens that are not special).
    """

    poolings: Sequence[str]
    dtype: Literal["float32", "float16"]


@dataclass(frozen=True)
class CkaSettings:
    """How representations are compared.

    Attributes
    ----------
    choice : {"positions", "gold"}
        For multiple-choice examples, "positions" compares the rows at each choice position and
        averages their HSICs; "gold" takes only the row of the right choice.
    resamples : int
        Number of half-samples for the standard error.
    memory_mb : float
        Bound on the working memory, in MB.
    """

    choice: Literal["positions", "gold"]
    resamples: int
    memory_mb: float


@dataclass(frozen=True)
class Sampling:
    """How intervals are made: the number of bootstrap samples and the confidence (0.95).

    Attributes
    ----------
    given : bool
        Whether the runs themselves are what is asked about, not a sample of a recipe's runs.
    """

    resamples: int
    confidence: float
    given: bool = field(default=False, kw_only=True)

    def of_recipe(self, runs: int) -> bool:
        """Whether so many runs count as a sample of their recipe, so that intervals speak of it."""
        return runs >= RECIPE_SEEDS and not self.given

    def about(self, runs: int) -> str:
        """What an interval over this many runs speaks of."""
        if self.given:
            return "these checkpoints"
        return "the recipe" if self.of_recipe(runs) else "these runs"


@dataclass(frozen=True)
class SummarySettings(Sampling):
    """When a score counts as kept (``tolerance``, a fraction), and how intervals are made."""

    tolerance: float


@dataclass(frozen=True)
class ClaimSettings(Sampling):
    """What the words in the papers' claims are taken to mean, and how intervals are made.

    Attributes
    ----------
    close : float
        The largest loss at which a score is "close" or "little" is lost; a fraction.
    far : float
        The smallest loss at which a score is "far" or "much" is lost; a fraction.
    nearly_all, most : float
        Shares of tasks: "nearly all" is at least the first, "most" is more than the second.
    ends : float
        Share of the depths at either end that are called "early" and "late".
    """

    close: float
    far: float
    nearly_all: float
    most: float
    ends: float

    def value(self, threshold: float | str) -> float:
        """A threshold given as a number, as the name of a field, or as "every" (which is 1)."""
        if isinstance(threshold, str):
            return 1.0 if threshold == "every" else float(getattr(self, threshold))
        return threshold


@dataclass(frozen=True)
class RobustnessSettings:
    """The subsamples on which variability selects a depth again.

    Attributes
    ----------
    sizes : sequence of int
        Sizes of the random subsamples, in examples.
    ratios : sequence of int
        How many times rarer the smallest class is made than every other class.
    repeats : int
        The number of subsamples for each size and ratio.
    """

    sizes: Sequence[int]
    ratios: Sequence[int]
    repeats: int


@dataclass(frozen=True)
class VariabilitySettings:
    """From how many examples variability is computed, and what a regression's classes are.

    Attributes
    ----------
    max_examples : int or None
        The largest number of examples that nu is computed from; None for all.
    kept_examples : int
        The largest number of them whose vectors are kept, for everything that is resampled.
    bins : int
        The largest number of classes that a regression's target is cut into.
    resamples : int
        Number of half-samples for the intervals.
    """

    max_examples: int | None
    kept_examples: int
    bins: int
    resamples: int
    robustness: RobustnessSettings

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """From the section of a config."""
        return cls(**{**section, "robustness": RobustnessSettings(**section["robustness"])})


@dataclass(frozen=True)
class FigureStyle:
    """What a figure shows, in which order and under which names.

    Attributes
    ----------
    titles : mapping of str to str
        The displayed title of a model, task or metric; other names are shown as they are.
    """

    models: Sequence[str]
    tasks: Sequence[str]
    seeds: Sequence[int]
    titles: Mapping[str, str]


@dataclass(frozen=True)
class MapStyle(FigureStyle):
    """A figure of CKA maps.

    Attributes
    ----------
    estimator : str
        The CKA estimator, "biased" or "debiased".
    shown : {"first", "mean"}
        The "first" seed, or the "mean" over the seeds that did not fail.
    uneven : bool
        Whether some of the models have fewer runs than others.
    """

    estimator: str
    pooling: str
    shown: Literal["first", "mean"]
    uneven: bool = False
