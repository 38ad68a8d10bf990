"""Styles of heads: Transformers' own, which differ by class, or jiant's, the same for all.

The head of jiant (Phang et al. 2020), which Phang et al. (2021) used, is the same for every encoder
and task: dropout, a linear map, tanh, dropout, a linear map. docs/heads.md says which vector it
read in which release.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeAlias

from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MULTIPLE_CHOICE_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import MultipleChoiceModelOutput, SequenceClassifierOutput

from strata.data.task import Task
from strata.runtime.errors import StrataError
from strata.study.plain_heads import OWN, PLACES, WITH_POOLER

# Key in a checkpoint's config.json; checkpoints with Transformers' own heads do not have it.
STYLE_KEY = "strata_head"
AutoClass: TypeAlias = type[AutoModelForMultipleChoice | AutoModelForSequenceClassification]


def auto_class(task: Task) -> AutoClass:
    """The Transformers auto class whose head fits the task."""
    if task.kind.compares_rows:
        return AutoModelForMultipleChoice
    return AutoModelForSequenceClassification


class JiantHead(nn.Module):
    """Dropout, dense, tanh, dropout, out_proj (``jiant.proj.main.modeling.heads``).

    Parameters
    ----------
    config : PretrainedConfig
        The encoder's config; its `hidden_dropout_prob` sets the dropout, as in jiant.
    outputs : int
        The number of outputs per vector.
    """

    def __init__(self, config: PretrainedConfig, outputs: int):
        super().__init__()
        # In DistilBERT, which jiant does not support, it has another name.
        dropout = getattr(config, "hidden_dropout_prob", None)
        self.dropout = nn.Dropout(config.dropout if dropout is None else dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """From (rows, hidden) to (rows, outputs)."""
        hidden = self.dense(self.dropout(vectors)).tanh()
        return self.out_proj(self.dropout(hidden))


class JiantModel:
    """An encoder with jiant's head, with the interface of Transformers' own models.

    It comes before the pretrained class of an architecture (``BertPreTrainedModel``) among the
    bases; that class names the weights and draws those that a folder does not have.

    Attributes
    ----------
    style : str
        The name of its row in ``HEAD_STYLES``.
    pooled : bool
        Whether the head reads the encoder's pooler instead of the first token's vector.
    one_of_many : bool
        Whether it scores an example's rows against each other, with one output per row.
    """

    style: ClassVar[str]
    pooled: ClassVar[bool]
    one_of_many: ClassVar[bool]

    def __init__(self: Any, config: PretrainedConfig):
        super().__init__(config)  # type: ignore[call-arg]
        setattr(config, STYLE_KEY, self.style)
        encoder = MODEL_MAPPING[type(config)]
        pooling = {"add_pooling_layer": self.pooled} if config.model_type in WITH_POOLER else {}
        setattr(self, self.base_model_prefix, encoder(config, **pooling))
        self.classifier = JiantHead(config, 1 if self.one_of_many else config.num_labels)
        self.post_init()

    def forward(
        self: Any,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput | MultipleChoiceModelOutput:
        """Logits of shape (examples, outputs) and, with labels, the mean loss.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : Tensor of shape (examples, tokens), optional
            Tokenizer output; for multiple choice of shape (examples, choices, tokens).
        inputs_embeds : Tensor, optional
            Embeddings instead of `input_ids`, with a last axis of the hidden size.
        labels : Tensor of shape (examples,), optional
            Classes, targets of a regression, or numbers of the right choices.
        """
        every = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "inputs_embeds": inputs_embeds,
        }
        given = {name: tensor for name, tensor in every.items() if tensor is not None}
        if self.one_of_many:
            choices = next(iter(given.values())).shape[1]
            given = {name: tensor.flatten(0, 1) for name, tensor in given.items()}
        put_out = self.base_model(**given, return_dict=True)
        read = put_out.pooler_output if self.pooled else put_out.last_hidden_state[:, 0]
        logits = self.classifier(read)
        if self.one_of_many:
            logits = logits.view(-1, choices)
        loss = None if labels is None else self._loss(logits, labels)
        kind = MultipleChoiceModelOutput if self.one_of_many else SequenceClassifierOutput
        return kind(loss=loss, logits=logits)

    def _loss(self: Any, logits: Tensor, labels: Tensor) -> Tensor:
        if not self.one_of_many and self.config.problem_type == "regression":
            return functional.mse_loss(logits[:, 0], labels.to(logits.dtype))
        return functional.cross_entropy(logits, labels)


def style_of(model: PreTrainedModel) -> str:
    """The style of a task model's head."""
    return getattr(model.config, STYLE_KEY, OWN)


def own_class(task: Task, model_type: str) -> AutoClass:
    """Transformers' auto class, which finds the class of a model by itself."""
    return auto_class(task)


def jiant_class(task: Task, model_type: str, style: str, pooled: bool) -> type[PreTrainedModel]:
    """A class with an architecture's encoder and jiant's head, for a task.

    Parameters
    ----------
    pooled : bool
        Whether the head reads the pooler if the encoder has one; otherwise it reads the CLS vector.
    """
    if model_type not in PLACES:
        raise StrataError(
            f"heads.style '{style}' is for {', '.join(PLACES)}; a {model_type} can only have the "
            f"head of its own class: set heads.style to {OWN}."
        )
    many = task.kind.compares_rows
    mappings = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_FOR_MULTIPLE_CHOICE_MAPPING)
    own = mappings[many][CONFIG_MAPPING[model_type]]
    pretrained = next(base for base in own.__mro__ if base.__name__.endswith("PreTrainedModel"))
    reads_pooler = pooled and model_type in WITH_POOLER
    about = {"style": style, "pooled": reads_pooler, "one_of_many": many}
    return type(f"Jiant{own.__name__}", (JiantModel, pretrained), about)


# style -> a function that takes task and model_type and returns the class that loads a model with
# such a head. Each job depends on the row that it uses.
HEAD_STYLES: dict[str, Callable[[Task, str], Any]] = {
    "transformers": own_class,
    "jiant": partial(jiant_class, style="jiant", pooled=False),
    "jiant-pooler": partial(jiant_class, style="jiant-pooler", pooled=True),
}
