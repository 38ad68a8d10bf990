"""The settings of one job, as objects.

Rules hold them as plain dicts, lists and numbers, in which Snakemake sees a change; a script makes
the object of them, and the library takes that. Defaults are the config's, so none are given here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from strata.study.variants import Variant

RECIPE_SEEDS = 5  # from which on seeds are a sample of a recipe's runs
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainingSettings:
    """How a run is fine-tuned: the ``training`` section of the config, with all that overrides it.

    Attributes
    ----------
    max_steps : optimiser steps, unless `epochs` says how many times the examples are seen.
    batch_size : examples a step.
    warmup_steps : steps of linear warm-up (below 1: their share).
    weight_decay : of all parameters but biases and layer norms.
    max_length : tokens a row is cut to.
    checkpoint : whose weights are kept: the last step's, or the best evaluation's.
    eval_steps : steps from one evaluation to the next, where the best is asked for.
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
    """How heads are tuned as far as they will go.

    Attributes
    ----------
    learning_rates : those that are tried at each depth.
    held_out : share of the train examples that chooses among them.
    """

    learning_rates: Sequence[float]
    held_out: float


@dataclass(frozen=True)
class HeadSettings:
    """How heads are tuned: the ``heads`` section of the config, with a task's own changes.

    Attributes
    ----------
    converged : None where only the given rate is tuned with.
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
        """From the section of a config; its part ``converged`` may be null or missing."""
        if section.get("converged") is None:
            return cls(**section)
        return cls(**{**section, "converged": ConvergedSettings(**section["converged"])})


@dataclass(frozen=True)
class ReinitSettings:
    """How layers get new weights (``modeling.reinit.reinitialise`` says what each scheme is)."""

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
    bottleneck : numbers; models of a hidden size below twice as much take half of that.
    """

    bottleneck: int


@dataclass(frozen=True)
class DistillationSettings:
    """How much of what a smaller model learns from (``modeling.distillation`` has the formula).

    Attributes
    ----------
    temperature : that both models' logits are divided by; of a regression it is not used.
    labels : weight of the labels' loss, from 0 to 1; the rest is the full model's answers'.
    states : weight of the mean squared difference of what the two heads read.
    """

    temperature: float
    labels: float
    states: float


AblationSettings = ReinitSettings | LoraSettings | AdapterSettings | None


def ablation_settings_of(variant: Variant, section: Mapping[str, Any]) -> AblationSettings:
    """What a variant needs beside its name, from what ``recipes.ablation_settings`` gives."""
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
    """How a forward pass without gradients is made: rows a batch, and the precision."""

    batch_size: int
    precision: Precision = "float32"


@dataclass(frozen=True)
class StorageSettings:
    """What of the representations is written.

    Attributes
    ----------
    poolings : of "head" (what the head reads), "raw" (the same before the final norm) and "mean"
        (over the tokens that are not special).
    """

    poolings: Sequence[str]
    dtype: Literal["float32", "float16"]


@dataclass(frozen=True)
class CkaSettings:
    """How representations are compared.

    Attributes
    ----------
    choice : of multiple-choice examples, "positions" compares the rows at each position of choice
        and averages their HSICs, "gold" takes the right choice's row alone.
    resamples : half-samples that the standard error comes from.
    memory_mb : bound on the working memory.
    """

    choice: Literal["positions", "gold"]
    resamples: int
    memory_mb: float


@dataclass(frozen=True)
class Sampling:
    """How intervals are made: the number of bootstrap samples, and the confidence (0.95).

    Attributes
    ----------
    given : the runs are the very models that are asked about, not a sample of a recipe's runs.
    """

    resamples: int
    confidence: float
    given: bool = field(default=False, kw_only=True)

    def of_recipe(self, runs: int) -> bool:
        """Whether so many runs are a sample of their recipe's, so that intervals speak of that."""
        return runs >= RECIPE_SEEDS and not self.given

    def about(self, runs: int) -> str:
        """What an interval of so many runs speaks of."""
        if self.given:
            return "these checkpoints"
        return "the recipe" if self.of_recipe(runs) else "these runs"


@dataclass(frozen=True)
class SummarySettings(Sampling):
    """What counts as a kept score (``tolerance``, a fraction), and how intervals are made."""

    tolerance: float


@dataclass(frozen=True)
class ClaimSettings(Sampling):
    """What the words of the papers' claims are taken to mean, and how intervals are made.

    Attributes
    ----------
    close : the most that is lost where a score is close, or little is lost; a fraction.
    far : the least that is lost where a score is far, or much is lost.
    nearly_all, most : share of tasks; at least the first, more than the second.
    ends : share of the depths at either end that are called early and late.
    """

    close: float
    far: float
    nearly_all: float
    most: float
    ends: float

    def value(self, threshold: float | str) -> float:
        """A threshold, or that of a name: a field's, or "every" (of 1)."""
        if isinstance(threshold, str):
            return 1.0 if threshold == "every" else float(getattr(self, threshold))
        return threshold


@dataclass(frozen=True)
class RobustnessSettings:
    """The subsamples from which variability selects again.

    Attributes
    ----------
    sizes : of random subsamples, in examples.
    ratios : how many times rarer than each other class the smallest one is made.
    repeats : subsamples of each.
    """

    sizes: Sequence[int]
    ratios: Sequence[int]
    repeats: int


@dataclass(frozen=True)
class VariabilitySettings:
    """From how many examples variability is taken, and what a regression's classes are.

    Attributes
    ----------
    max_examples : that nu is taken from; None for all.
    kept_examples : most of them whose vectors are kept, for all that is resampled.
    bins : classes that a regression's target is cut into, at most.
    resamples : half-samples of its intervals.
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
    """What a figure shows, in which order, and under which names.

    Attributes
    ----------
    titles : name of a model, task or metric -> what a reader sees; others are shown as they are.
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
    estimator : "biased" or "debiased".
    shown : the "first" seed, or the "mean" over the seeds that did not fail.
    uneven : some of the models have fewer runs than others.
    """

    estimator: str
    pooling: str
    shown: Literal["first", "mean"]
    uneven: bool = False
