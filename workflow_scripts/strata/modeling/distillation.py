"""Training a smaller model on a larger one's outputs and on what its head reads.

The loss of a batch, where z are the student's logits, Z the teacher's, h and H what their heads
read (rows, hidden), T the temperature, and a and b the weights of labels and states:

    a · loss(z, labels) + (1 - a) · T² · KL(softmax(Z / T) ‖ softmax(z / T)) + b · mean((h - H)²)

KL is the mean over examples (Hinton, Vinyals and Dean 2015, section 2); for a regression it is
replaced by the mean squared difference of the outputs, without T.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from strata.data.task import Task
from strata.modeling.compute import device
from strata.modeling.encoder import Encoder
from strata.study.settings import DistillationSettings


def distillation_loss(student: Tensor, teacher: Tensor, task: Task, temperature: float) -> Tensor:
    """The loss of the student's logits against the teacher's, both of shape (examples, answers).

    Returns
    -------
    Tensor
        A scalar: T² · KL of the answers' probabilities, or, for a regression, the mean squared
        difference.
    """
    if task.kind.continuous:
        return functional.mse_loss(student, teacher)
    mine = functional.log_softmax(student / temperature, -1)
    wanted = functional.log_softmax(teacher / temperature, -1)
    divergence = functional.kl_div(mine, wanted, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def learn_from(
    model: PreTrainedModel, teacher: PreTrainedModel, task: Task, settings: DistillationSettings
) -> None:
    """Replace a model's own loss by that of learning from the teacher, in place, until ``unlearn``.

    The teacher runs on each batch in eval mode, without gradients. It is not part of the model, so
    that no checkpoint contains it.
    """
    plain, reads = model.forward, (_Reading(model), _Reading(teacher))
    teacher.requires_grad_(False).eval().to(device())

    @wraps(plain)  # Trainer inspects the signature
    def forward(*arguments: Any, **inputs: Any) -> Any:
        if inputs.get("labels") is None:
            return plain(*arguments, **inputs)
        with reads[0].kept() as mine:
            out = plain(*arguments, **inputs)
        others = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad(), reads[1].kept() as wanted:
            answered = teacher(*arguments, **others)
        distilled = distillation_loss(out.logits, answered.logits, task, settings.temperature)
        states = functional.mse_loss(mine[0].float(), wanted[0].float())
        weight = settings.labels
        out.loss = weight * out.loss + (1 - weight) * distilled + settings.states * states
        return out

    model.forward = forward


def unlearn(model: PreTrainedModel) -> None:
    """Restore a model's own loss."""
    model.__dict__.pop("forward", None)


class _Reading:
    """What a model's head reads, recorded from its base model while it runs."""

    def __init__(self, model: PreTrainedModel):
        training = model.training
        self.encoder = Encoder(model)
        model.train(training)

    @contextmanager
    def kept(self) -> Iterator[list[Tensor]]:
        """A list to which each run within the block adds its vectors, (rows, hidden)."""
        found: list[Tensor] = []

        def keep(_: nn.Module, arguments: tuple, inputs: Mapping[str, Any], out: Any) -> None:
            given = dict(zip(("input_ids", "attention_mask"), arguments, strict=False))
            found.append(self.encoder.pool(out[0], given | dict(inputs)))

        hook = self.encoder.model.base_model.register_forward_hook(keep, with_kwargs=True)
        try:
            yield found
        finally:
            hook.remove()
