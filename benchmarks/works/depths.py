"""What is done at every depth: representations, UNTUNED, TUNED, and skipped spans."""

import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np

from works import Run, Work, largest_difference

BATCH = 32
TRAINED = (4, 9)  # depths whose heads Trainer trains: a sixth of them, as deep on average
EPOCHS = 3
HEADS = {
    "batch_size": 8,
    "learning_rate": 1e-4,
    "warmup_steps": 8,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
}


def prepare(folder: Path, examples: int, layers: int) -> None:
    from works import models

    models.prepare(folder, examples, layers)


def _dump(given, path: Path) -> None:
    from strata.analysis.dump import Source, dump
    from strata.modeling.encoder import Encoder
    from strata.study.settings import ForwardSettings, StorageSettings

    about = {"model": "random", "task": "random", "state": "pretrained"}
    source = Source(Encoder(given.model), given.rows, about)
    dump(path, source, StorageSettings(["head"], "float32"), ForwardSettings(BATCH))


# Representations of all depths


def dump_activations(folder: Path) -> Run:
    from works.models import Given

    given = Given.load(folder)

    def run() -> None:
        _dump(given, folder / "dumped.h5")

    return run


def plain_loop(folder: Path) -> Run:
    """Forward passes over the same batches; all depths are requested, nothing is kept."""
    import torch

    from works.models import Given

    given = Given.load(folder)

    def run() -> None:
        with torch.inference_mode():
            for _, inputs in given.batches(BATCH):
                given.model.base_model(**inputs, output_hidden_states=True)

    return run


def pipeline(folder: Path) -> Run:
    """Only the last depth, all its tokens."""
    from transformers import pipeline

    from strata.modeling.compute import device
    from works.models import Given

    given = Given.load(folder)
    extract = pipeline(
        "feature-extraction",
        model=given.model.base_model,
        tokenizer=given.rows.tokenizer,
        device=device(),
        batch_size=BATCH,
    )
    texts = given.rows.examples["text_a"].tolist()

    def run() -> None:
        extract(texts, return_tensors=True)

    return run


# UNTUNED


def untuned(folder: Path) -> Run:
    """Activations written, read, and the head on all depths."""
    from strata.analysis.activations import Activations
    from strata.analysis.truncation import untuned
    from strata.modeling.head import Head
    from works.models import TASK, Given

    given = Given.load(folder)
    head = Head(given.model).eval()

    def run() -> np.ndarray:
        _dump(given, folder / "untuned.h5")
        with Activations.open(folder / "untuned.h5") as evaluated:
            found = untuned(evaluated, head, TASK)
        return found["prediction"].to_numpy().reshape(-1, len(given.rows))

    return run


def truncated(folder: Path) -> Run:
    """Models cut to each depth, one after another."""
    import torch

    from strata.modeling.encoder import truncate
    from works.models import LAYERS, Given

    given = Given.load(folder)
    cut = [truncate(deepcopy(given.model), depth + 1) for depth in range(LAYERS)]

    def run() -> np.ndarray:
        found = np.empty((LAYERS, len(given.rows)))
        batches = given.batches(BATCH)
        with torch.inference_mode():
            for depth, model in enumerate(cut):
                for chosen, inputs in batches:
                    found[depth, chosen] = model(**inputs).logits.argmax(-1).cpu()
        return found

    return run


# TUNED


def _steps(rows) -> int:
    return EPOCHS * len(rows) // HEADS["batch_size"]


def tuned(folder: Path) -> Run:
    """Activations of the train examples written, then the heads of all depths at once."""
    from strata.analysis.activations import Activations
    from strata.modeling import head_tuning as heads
    from strata.modeling.head import Head
    from strata.study.settings import HeadSettings
    from works.models import TASK, Given

    given = Given.load(folder)
    settings = HeadSettings(**HEADS, steps=_steps(given.rows))

    def run() -> None:
        _dump(given, folder / "tuned.h5")
        with Activations.open(folder / "tuned.h5") as trained:
            labels = trained.examples()["label"].to_numpy()
            head = Head(deepcopy(given.model))
            inputs = heads.HeadInputs(trained.vectors(), labels, TASK)
            heads.tune_heads(head, inputs, settings, seed=1)

    return run


def trained_heads(folder: Path) -> Run:
    """Trainer on models cut to each depth, their encoders frozen."""
    from strata.modeling.encoder import truncate
    from works.models import Given
    from works.training import default_trainer

    given = Given.load(folder)
    batch, steps = HEADS["batch_size"], _steps(given.rows)

    def run() -> None:
        for depth in TRAINED:
            model = truncate(deepcopy(given.model), depth)
            model.base_model.requires_grad_(False)
            with tempfile.TemporaryDirectory() as out:
                default_trainer(model, given.rows, batch, steps, out).train()

    return run


# Spans


def spans(folder: Path) -> Run:
    from strata.analysis.skipping import skip_spans
    from strata.modeling.encoder import Encoder
    from strata.modeling.head import Head
    from strata.study.settings import ForwardSettings
    from works.models import TASK, Given

    given = Given.load(folder)
    head, forward = Head(given.model).eval(), ForwardSettings(BATCH)

    def run() -> np.ndarray:
        table = skip_spans(Encoder(given.model), head, given.rows, TASK, forward)
        return table["value"].to_numpy()

    return run


def models_without(folder: Path) -> Run:
    """One model after another with a span of layers removed."""
    import torch
    from torch import nn

    from strata.analysis.skipping import spans
    from works.models import LAYERS, Given

    given = Given.load(folder)
    labels = given.rows.examples["label"].to_numpy()
    layers = list(given.model.base_model.encoder.layer)

    def run() -> np.ndarray:
        batches, found = given.batches(BATCH), []
        with torch.inference_mode():
            for first, last in spans(LAYERS):
                kept = layers[: first - 1] + layers[last:]
                given.model.base_model.encoder.layer = nn.ModuleList(kept)
                right = 0
                for chosen, inputs in batches:
                    predicted = given.model(**inputs).logits.argmax(-1).cpu().numpy()
                    right += (predicted == labels[chosen]).sum()
                found.append(right / len(labels))
        return np.array(found)

    return run


def _work(
    name: str, examples: int, contestants: dict, goals: dict, layers: int = 12, **more
) -> Work:
    return Work(
        name=name,
        size=f"{layers} layers x 384, {examples:,} texts",
        prepare=partial(prepare, examples=examples, layers=layers),
        contestants=contestants,
        goals=goals,
        **more,
    )


# Two ways to the same result: the second is the first's reference.
def _second(make):
    return lambda folder: make(folder)()


WORKS = {
    "dump": _work(
        "activation dump",
        1_024,
        {"strata": dump_activations, "plain loop": plain_loop, "pipeline": pipeline},
        {"plain loop": 1 / 1.05, "pipeline": 3.0},
        layers=3,
        notes={"plain loop": "writes nothing", "pipeline": "last depth only"},
    ),
    "untuned": _work(
        "UNTUNED at every depth",
        128,
        {"strata": untuned, "truncated models": truncated},
        {"truncated models": 6.0},
        reference=_second(truncated),
        error=largest_difference,
    ),
    "tuned": _work(
        "TUNED at every depth",
        64,
        {"strata": tuned, "Trainer, depth by depth": trained_heads},
        {"Trainer, depth by depth": 20.0},
        scale={"Trainer, depth by depth": 6},
        notes={"Trainer, depth by depth": "depths 4 and 9, times 6; 3 epochs"},
    ),
    "spans": _work(
        "every span",
        16,
        {"strata": spans, "models without layers": models_without},
        {"models without layers": 572 / 298},
        reference=_second(models_without),
        error=largest_difference,
    ),
}
