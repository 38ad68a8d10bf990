"""Every candidate layer set as it is, and with the run's head tuned on the frozen rest."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from strata.analysis.set_vectors import SetVectors, dump_sets
from strata.data.batches import Rows
from strata.data.parts import CHOOSE, JUDGE, TRAIN
from strata.data.task import Task
from strata.evaluation.predictions import answers
from strata.modeling.compute import device
from strata.modeling.converged import tune_both
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.head_tuning import HeadInputs, Stack, head_logits, repeat_head, tune_heads
from strata.study.layer_sets import AS_IS, HEAD, LayerSet
from strata.study.settings import ForwardSettings, HeadSettings


def answers_of_sets(
    vectors: SetVectors, head: Head, task: Task, stack: Stack | None
) -> pd.DataFrame:
    """The predictions with only the layers of each set.

    Parameters
    ----------
    stack : Stack or None
        One tuned head per set; None if there was nothing to tune on.

    Returns
    -------
    DataFrame
        Columns layers, done (AS_IS, HEAD), part (CHOOSE, JUDGE) and those of
        ``predictions.answers``.
    """
    tables = []
    for part in (CHOOSE, JUDGE):
        examples = vectors.examples(part)
        for chosen in by_size(vectors.sets):
            inputs = vectors.inputs(part, chosen, task)
            stacks = {AS_IS: repeat_head(head, len(chosen))}
            if stack is not None:
                stacks[HEAD] = {name: t[chosen].to(device()) for name, t in stack.items()}
            for done, heads in stacks.items():
                logits = head_logits(head, heads, inputs)
                for place, own in zip(chosen, logits, strict=True):
                    about = {"layers": str(vectors.sets[place]), "done": done, "part": part}
                    tables.append(answers(examples, own, task).assign(**about))
    table = pd.concat(tables, ignore_index=True)
    return table[["layers", "done", "part", *table.columns.drop(["layers", "done", "part"])]]


def by_size(sets: Sequence[LayerSet]) -> list[list[int]]:
    """The indices of the sets of each size, which are in memory together."""
    places = sorted(range(len(sets)), key=lambda place: (len(sets[place]), place))
    return [list(group) for _, group in groupby(places, key=lambda place: len(sets[place]))]


def tune_set_heads(
    vectors: SetVectors, head: Head, task: Task, settings: HeadSettings, seed: int
) -> Stack:
    """The run's head tuned on what it reads with each set; all sets of a size together.

    Heads are tuned plainly and to convergence, and the better of the two on withheld train examples
    is taken (``converged.tune_both``); without settings for convergence, only plainly.

    Returns
    -------
    Stack
        Heads in the order of the sets, on the CPU.
    """
    made: dict[int, dict[str, Tensor]] = {}
    for chosen in by_size(vectors.sets):
        print(f"heads of {', '.join(str(vectors.sets[place]) for place in chosen)}", flush=True)
        stack = _tune(head, vectors.inputs(TRAIN, chosen, task), settings, seed)
        for slot, place in enumerate(chosen):
            made[place] = {name: tensor[slot].cpu() for name, tensor in stack.items()}
    return {name: torch.stack([made[p][name] for p in range(len(made))]) for name in made[0]}


def _tune(head: Head, inputs: HeadInputs, settings: HeadSettings, seed: int) -> Stack:
    if settings.converged is None:
        return tune_heads(head, inputs, settings, seed)
    return tune_both(head, inputs, settings, seed).best


def head_of_set(
    path: str | Path,
    kept: LayerSet,
    model: PreTrainedModel,
    rows: Rows,
    task: Task,
    settings: HeadSettings,
    forward: ForwardSettings,
    seed: int,
) -> dict[str, Tensor]:
    """The tuned head of a set, as part of the task model's state dict.

    Parameters
    ----------
    path : path-like
        A file of ``save_set_heads``; the head of a set that is not in it is tuned here.
    model : PreTrainedModel
        The run's model.
    rows : Rows
        Rows of the train examples.
    """
    if (known := load_set_head(path, kept)) is not None:
        return known
    encoder, head = Encoder(model.to(device())), Head(model).eval()
    with TemporaryDirectory() as folder:
        dump_sets(Path(folder) / "sets.h5", encoder, {TRAIN: rows}, [kept], forward)
        with SetVectors.open(Path(folder) / "sets.h5") as vectors:
            stack = tune_set_heads(vectors, head, task, settings, seed)
    return {name.removeprefix("model."): tensor[0] for name, tensor in stack.items()}


def save_set_heads(stack: Stack | None, sets: Sequence[LayerSet], path: str | Path) -> None:
    """Write heads as safetensors, under their names in the task model's state dict.

    Parameters
    ----------
    stack : Stack or None
        Heads of the sets; None if there was nothing to tune on, so that none are written.
    """
    tensors = {name.removeprefix("model."): t.contiguous() for name, t in (stack or {}).items()}
    save_file(tensors, path, {"layers": " ".join(map(str, sets if stack else []))})


def load_set_head(path: str | Path, kept: LayerSet) -> dict[str, Tensor] | None:
    """The head of a set, as part of the task model's state dict; None if it is not in the file."""
    with safe_open(path, framework="pt") as file:
        sets = file.metadata()["layers"].split(" ")
        if str(kept) not in sets:
            return None
        place = sets.index(str(kept))
        return {name: file.get_slice(name)[place] for name in file.keys()}  # noqa: SIM118
