"""What a run does differently from plain fine-tuning, as one short string."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["full", "reinit", "keep", "permute", "probe", "head", "lora", "adapter"]
_NUMBER = "[1-9][0-9]*"
_SPAN = f"{_NUMBER}-{_NUMBER}"
_NEW = f"{_SPAN}(?:ln)?(?:x(?:[2-9]|[1-9][0-9]+))?"  # once the rate is no other rate
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
    """A variant: how a run departs from plain fine-tuning, and on how many training examples.

    =================  ==========================================================================
    ``full``           every layer is trained
    ``reinit{a}-{b}``  layers a..b start from new weights (``ln``: but their layer norms) and are
                       trained as the others are (``x5``: at five times the learning rate)
    ``keep{a}-{b}``    all layers but a..b do, likewise
    ``permute{p}``     the layers start in another order, drawn with p
    ``probe{k}``       cut to depth k; only the head is trained
    ``head{k}top{m}``  cut to depth k; its last m layers and the head are trained
    ``lora``           low-rank adapters in all layers (``lora{a}-{b}``: in a..b) and the head are
    ``adapter``        bottleneck adapters and layer norms likewise (``adapter{a}-{b}``)
    =================  ==========================================================================

    ``ln`` comes before ``x5``, and ``_n500`` after any of them trains on 500 examples. Layers count
    from 1, both ends included.
    The string parses and prints back: ``str(Variant.parse(text)) == text``.

    Attributes
    ----------
    kind : the departure's name.
    first, last : the layers named, of those kinds that name a span.
    depth : of ``probe`` and ``head``, the depth the model is cut to.
    top : of ``head``, how many of the last layers are trained.
    permutation : of ``permute``, its number.
    keep_norms : of ``reinit`` and ``keep``, whether layer norms keep their pretrained values.
    faster : of ``reinit`` and ``keep``, how many times the learning rate new layers are trained at.
    size : number of training examples, or None for all.
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
    # The study inspects these runs' representations, so their checkpoints are kept.
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
        """The numbers of the layers named; none where the kind names no span."""
        if self.first is None or self.last is None:
            return range(0)
        return range(self.first, self.last + 1)

    @property
    def fits_any_model(self) -> bool:
        """Whether it is possible whatever the number of layers, and whether they share weights."""
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
        """Refuse what an encoder of so many layers cannot do.

        Parameters
        ----------
        layers : L.
        shares_layers : whether all depths use one layer's weights (ALBERT).

        Raises
        ------
        ValueError : the variant names layers beyond L, or singles out some of shared layers.
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
                "all depths, so that there are no 'some' of its layers to reinitialise, reorder or "
                "train."
            )
