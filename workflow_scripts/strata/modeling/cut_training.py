"""Cutting a model before it is trained, and its predictions afterwards."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel

from strata.data.batches import Rows
from strata.data.task import Task
from strata.evaluation.predictions import answers
from strata.modeling.distillation import learn_from
from strata.modeling.inference import all_logits
from strata.modeling.layer_sets import keep_layers
from strata.modeling.loading import load_model
from strata.runtime.errors import StrataError
from strata.study.layer_sets import Layers
from strata.study.settings import DistillationSettings, ForwardSettings
from strata.study.trained_cuts import TrainedCut


def cut_before_training(
    model: PreTrainedModel,
    cut: TrainedCut,
    full: str | Path | None,
    task: Task,
    distillation: DistillationSettings,
) -> None:
    """Turn a pretrained model with a fresh head into the cut model to train, in place.

    Parameters
    ----------
    full : path-like or None
        Checkpoint of the fine-tuned model, to be cut or as the teacher; None if neither is needed.

    Raises
    ------
    StrataError
        The model cannot be cut to these layers.
    """
    finetuned = load_model(full, task) if full else None
    if cut.about.from_finetuned and finetuned is not None:
        model.load_state_dict(finetuned.state_dict())
    layers = Layers.of(model.config.to_dict(), model.config.num_hidden_layers)
    try:
        layers.check(cut.kept)
    except ValueError as error:
        raise StrataError(str(error)) from error
    keep_layers(model, cut.kept.layers)
    if cut.about.distilled and finetuned is not None:
        learn_from(model, finetuned, task, distillation)


def answers_of_cut(
    model: PreTrainedModel,
    name: TrainedCut,
    parts: Mapping[str, Rows],
    task: Task,
    forward: ForwardSettings,
) -> pd.DataFrame:
    """Predictions of a model that was cut and trained.

    Parameters
    ----------
    parts : mapping of str to Rows
        The rows of the parts CHOOSE and JUDGE.

    Returns
    -------
    DataFrame
        Columns name, layers, part and those of ``predictions.answers``.
    """
    tables = [
        answers(rows.examples, all_logits(model, rows, task, forward), task).assign(part=part)
        for part, rows in parts.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "name", str(name))
    table.insert(1, "layers", str(name.kept))
    return table
