"""What a run does differently from plain fine-tuning, as one short string."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A variant: how a run departs from plain fine-tuning, and on how many training examples.

    ``full`` trains every layer on all training examples, ``full_n500`` on 500 of them. The string
    parses and prints back: ``str(Variant.parse(text)) == text``.

    Attributes
    ----------
    kind : the departure's name; ``full`` is none.
    size : number of training examples, or None for all.
    """

    kind: str = "full"
    size: int | None = None

    PATTERN = r"full(?:_n[1-9][0-9]*)?"

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read a variant; ValueError names the string and what is allowed."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(
                f"'{text}' is not a variant: expected 'full', or 'full_n' and a number of "
                "training examples, as in 'full_n500'."
            )
        kind, _, size = text.partition("_n")
        return cls(kind, int(size) if size else None)

    def __str__(self) -> str:
        return self.kind + (f"_n{self.size}" if self.size is not None else "")
