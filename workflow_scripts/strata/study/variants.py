"""How a run differs from plain fine-tuning, as one short string."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["full", "reinit", "keep", "permute", "probe", "head", "lora", "adapter"]
_NUMBER = "[1-9][0-9]*"
_SPAN = f"{_NUMBER}-{_NUMBER}"
_NEW = f"{_SPAN}(?:ln)?(?:x(?:[2-9]|[1-9][0-9]+))?"  # a factor of 1 would be the recipe's rate
_FORMS: dict[Kind, str] = {
    "full": "full",
    "reinit": f"reinit{_NEW}",
    "keep": f"keep{_NEW}",
    "permute": f"permute{_NUMBER}",
    "probe": f"probe{_NUMBER}",
    "head": f"head{_NUMBER}top{_NUMBER}",
    "lora": f"lora(?:{_SPAN})?",
    "adapter": f"adapter(?:{_SPAN})?",
}
_SIZE = f"(?:_n{_NUMBER})?"


@dataclass(frozen=True)
class Variant:
    """A variant: how a run differs from plain fine-tuning, and on how many training examples.

    =================  ==========================================================================
    ``full``           every layer is trained
    ``reinit{a}-{b}``  layers a..b start from new weights (``ln``: except their layer norms) and
                       are trained like the others (``x5``: at five times the learning rate)
    ``keep{a}-{b}``    the same for all layers except a..b
    ``permute{p}``     the layers start in another order, drawn with p
    ``probe{k}``       cut to depth k; only the head is trained
    ``head{k}top{m}``  cut to depth k; its last m layers and the head are trained
    ``lora``           low-rank adapters in all layers and the head are trained
                       (``lora{a}-{b}``: adapters in layers a..b)
    ``adapter``        the same with bottleneck adapters and layer norms (``adapter{a}-{b}``)
    =================  ==========================================================================

    ``ln`` comes before ``x5``, and ``_n500`` at the end means training on 500 examples. Layers
    count from 1, and both ends are included. The string parses and prints back:
    ``str(Variant.parse(text)) == text``.

    Attributes
    ----------
    kind : Kind
        The name of the difference.
    first, last : int or None
        The layers named, for kinds that name a span.
    depth : int or None
        For ``probe`` and ``head``, the depth that the model is cut to.
    top : int or None
        For ``head``, how many of the last layers are trained.
    permutation : int or None
        For ``permute``, its number.
    keep_norms : bool
        For ``reinit`` and ``keep``, whether layer norms keep their pretrained values.
    faster : int
        For ``reinit`` and ``keep``, the factor by which new layers' learning rate is higher.
    size : int or None
        The number of training examples; None for all.
    """

    kind: Kind = "full"
    first: int | None = None
    last: int | None = None
    depth: int | None = None
    top: int | None = None
    permutation: int | None = None
    keep_norms: bool = False
    faster: int = 1
    size: int | None = None

    PATTERN = f"(?:{'|'.join(_FORMS.values())}){_SIZE}"
    # The study looks at these runs' representations, so their checkpoints are kept.
    KEPT = "full"
    ABLATED = f"(?:full_n{_NUMBER}|(?:{'|'.join(list(_FORMS.values())[1:])}){_SIZE})"

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(
                f"'{self}' names a reversed range of layers: write {self.last}-{self.first}."
            )
        if self.top is not None and self.depth is not None and self.top > self.depth:
            raise ValueError(
                f"'{self}' trains more layers than there are: a model cut to depth {self.depth} "
                f"has {self.depth}."
            )

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read a variant; ValueError names the string and what is allowed."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(
                f"'{text}' is not a variant: expected 'full', 'reinit7-12', 'keep3-5' (both with "
                "'ln' to keep their layer norms, 'x5' for five times the learning rate in new "
                "layers, or 'lnx5'), 'permute3', 'probe4', 'head8top2', 'lora', 'lora7-12', "
                "'adapter', 'adapter7-12', each with or without a number of training examples as "
                "in 'full_n500'; layers count from 1."
            )
        whole, _, size = text.partition("_n")
        plain, _, faster = whole.partition("x")
        kind = next(form for form in _FORMS if plain.startswith(form))
        numbers = [int(number) for number in re.findall("[0-9]+", plain)]
        names = {
            "permute": ["permutation"],
            "probe": ["depth"],
            "head": ["depth", "top"],
        }.get(kind, ["first", "last"])
        return cls(
            kind,
            **dict(zip(names, numbers, strict=False)),
            keep_norms=plain.endswith("ln"),
            faster=int(faster or 1),
            size=int(size) if size else None,
        )

    @property
    def span(self) -> range:
        """The numbers of the layers named; empty if the kind names no span."""
        if self.first is None or self.last is None:
            return range(0)
        return range(self.first, self.last + 1)

    @property
    def fits_any_model(self) -> bool:
        """Whether it is possible with any number of layers, shared weights or not."""
        return self.kind == "full" or (self.kind in ("lora", "adapter") and self.first is None)

    def __str__(self) -> str:
        span = f"{self.first}-{self.last}" if self.first is not None else ""
        numbers = {
            "permute": f"{self.permutation}",
            "probe": f"{self.depth}",
            "head": f"{self.depth}top{self.top}",
        }.get(self.kind, span)
        norms = "ln" if self.keep_norms else ""
        faster = f"x{self.faster}" if self.faster > 1 else ""
        size = f"_n{self.size}" if self.size is not None else ""
        return f"{self.kind}{numbers}{norms}{faster}{size}"

    def check(self, layers: int, shares_layers: bool) -> None:
        """Refuse a variant that an encoder with this many layers cannot have.

        Parameters
        ----------
        layers : int
            L, the number of layers.
        shares_layers : bool
            Whether all depths use one layer's weights (ALBERT).

        Raises
        ------
        ValueError
            The variant names layers beyond L, or only some of layers that share their weights.
        """
        named = self.depth or self.last or 0
        if named > layers:
            raise ValueError(f"'{self}' names layer {named}, but the model has {layers} layers.")
        some = self.kind in ("reinit", "keep", "permute") or (
            self.kind in ("lora", "adapter") and self.first is not None
        )
        some = some or (self.kind == "head" and self.top != self.depth)
        if shares_layers and some:
            raise ValueError(
                f"'{self}' has no meaning for this model: ALBERT shares one layer's weights among "
                "all depths, so none of its layers can be reinitialised, moved or trained alone."
            )
