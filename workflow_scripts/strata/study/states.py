"""States: the weights that a representation was made with."""

import re
from dataclasses import dataclass
from typing import ClassVar

from strata.study.variants import Variant


@dataclass(frozen=True)
class State:
    """The pretrained encoder's weights (the paper's ORIG), or a run's (FT[seed]).

    The string parses and prints back: ``pretrained``, ``full-seed1``.

    Attributes
    ----------
    variant : Variant or None
        The run's variant; None for the pretrained encoder.
    seed : int or None
        The run's seed; None for the pretrained encoder.
    """

    variant: Variant | None = None
    seed: int | None = None

    # How a run's state is written, and the wildcard pattern for it in paths.
    FORM: ClassVar[str] = "{variant}-seed{seed}"
    PATTERN: ClassVar[str] = f"pretrained|{Variant.PATTERN}-seed[0-9]+"
    # Runs whose checkpoints are kept, so that their states can be inspected.
    KEPT: ClassVar[str] = f"pretrained|{Variant.KEPT}-seed[0-9]+"

    @classmethod
    def parse(cls, text: str) -> "State":
        """Read a state; ValueError names the string and what is allowed."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(f"'{text}' is not a state: expected 'pretrained' or 'full-seed1'.")
        variant, _, seed = text.rpartition("-seed")
        return cls(Variant.parse(variant), int(seed)) if variant else PRETRAINED

    @classmethod
    def of_seed(cls, seed: int) -> "State":
        """The state of a fully fine-tuned run."""
        return cls(Variant(), seed)

    def __str__(self) -> str:
        if self.variant is None:
            return "pretrained"
        return self.FORM.format(variant=self.variant, seed=self.seed)


PRETRAINED = State()
