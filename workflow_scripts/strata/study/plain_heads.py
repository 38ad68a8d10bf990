"""Which plain Transformers class can hold jiant's head, so that it can be exported (no torch here).

In eval mode a head that reads the CLS vector by dense, tanh and out_proj is what several classes
have under other names: BERT's pooler and classifier, say. In training they differ by a dropout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strata.runtime.errors import StrataError
from strata.study.task_types import TASK_TYPES

OWN = "transformers"  # the style of head that each class of Transformers has by itself
# By model_type. The others have none, or one that belongs to their heads (DeBERTa).
WITH_POOLER = frozenset({"albert", "bert", "mpnet", "roberta", "xlm-roberta"})


@dataclass(frozen=True)
class Place:
    """Where a plain class keeps the linear layers of jiant's head.

    Attributes
    ----------
    dense, out_proj : their names in its state dict; ``{encoder}`` is the base model's name.
    settings : of its config, by which it computes the same.
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
# model_type -> of classification and regression, and of multiple choice: the place, or why not.
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
    architecture : the model_type of a supported encoder.
    style : another one than Transformers' own.

    Raises
    ------
    StrataError : no plain class computes such a head.
    """
    unknown = ("no such head is known for it",) * 2
    place = PLACES.get(architecture, unknown)[TASK_TYPES[task_type].compares_rows]
    if style == "jiant-pooler" and architecture in WITH_POOLER:
        place = "no class of Transformers has both that and a pooler before it"
    if isinstance(place, str):
        raise StrataError(
            f"a head of style '{style}' on {architecture} cannot be exported, for {place}; set "
            f"heads.style to {OWN}, or do without the export."
        )
    return place
