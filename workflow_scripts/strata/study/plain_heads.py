"""Which plain Transformers class can hold jiant's head, so that it can be exported (no torch here).

A head that reads the CLS vector through dense, tanh and out_proj exists in several classes under
other names, such as BERT's pooler and classifier. In eval mode they compute the same; in training
they differ by a dropout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strata.runtime.errors import StrataError
from strata.study.task_types import TASK_TYPES

OWN = "transformers"  # the style of the head that each Transformers class has by default
# By model_type. Other types have no pooler, or one that is part of their head (DeBERTa).
WITH_POOLER = frozenset({"albert", "bert", "mpnet", "roberta", "xlm-roberta"})


@dataclass(frozen=True)
class Place:
    """Where a plain class keeps the linear layers of jiant's head.

    Attributes
    ----------
    dense, out_proj : str
        Their names in the class's state dict; ``{encoder}`` stands for the base model's name.
    settings : mapping of str to object
        Settings of its config with which it computes the same.
    """

    dense: str
    out_proj: str = "classifier"
    settings: Mapping[str, object] = field(default_factory=dict)


_SAME = Place("classifier.dense", "classifier.out_proj")
_POOLER = Place("{encoder}.pooler.dense")
_CONTEXT = Place("pooler.dense", settings={"pooler_hidden_act": "tanh"})
_SUMMARY = Place(
    "sequence_summary.summary",
    settings={
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_proj_to_labels": False,
        "summary_activation": "tanh",
    },
)
# model_type -> for classification and regression, and for multiple choice: the place, or why there
# is none.
PLACES: dict[str, tuple[Place | str, Place | str]] = {
    "albert": (Place("{encoder}.pooler"), Place("{encoder}.pooler")),
    "bert": (_POOLER, _POOLER),
    "deberta-v2": (_CONTEXT, _CONTEXT),
    "distilbert": (
        "DistilBertForSequenceClassification has relu where that has tanh",
        "DistilBertForMultipleChoice has relu where that has tanh",
    ),
    "electra": ("ElectraForSequenceClassification has gelu where that has tanh", _SUMMARY),
    "mpnet": (_SAME, _POOLER),
    "roberta": (_SAME, _POOLER),
    "xlm-roberta": (_SAME, _POOLER),
}


def place_of(architecture: str, task_type: str, style: str) -> Place:
    """Where the plain class for an architecture and a type of task keeps a head of a style.

    Parameters
    ----------
    architecture : str
        The model_type of a supported encoder.
    style : str
        A style other than Transformers' own.

    Raises
    ------
    StrataError
        There is no plain class that computes such a head.
    """
    unknown = ("no such head is known for it",) * 2
    place = PLACES.get(architecture, unknown)[TASK_TYPES[task_type].compares_rows]
    if style == "jiant-pooler" and architecture in WITH_POOLER:
        place = "no class of Transformers has both that and a pooler before it"
    if isinstance(place, str):
        raise StrataError(
            f"a head of style '{style}' on {architecture} cannot be exported: {place}; set "
            f"heads.style to {OWN}, or leave out what needs exported models: export, frontier, "
            "export.onnx."
        )
    return place
