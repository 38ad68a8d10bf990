"""nu at every depth, compared with a model load and a d x d pseudo-inverse per layer."""

from functools import partial
from pathlib import Path

import numpy as np

from works import Run, Work

BATCH = 32


def prepare(folder: Path, examples: int) -> None:
    from works import models

    models.prepare(folder, examples)


def strata(folder: Path) -> Run:
    """From the model folder: load, one pass of all depths, written and read, nu."""
    from strata.analysis.activations import Activations
    from strata.analysis.dump import Source, dump
    from strata.analysis.variability import classes, variability
    from strata.modeling.encoder import Encoder
    from strata.study.settings import ForwardSettings, StorageSettings
    from works.models import TASK, Given

    def run() -> np.ndarray:
        given, path = Given.load(folder), folder / "means.h5"
        about = {"model": "random", "task": "random", "state": "pretrained"}
        source = Source(Encoder(given.model), given.rows, about)
        dump(path, source, StorageSettings(["mean"], "float32"), ForwardSettings(BATCH))
        with Activations.open(path) as means:
            vectors = means.vectors("mean")
            found = classes(TASK, means.examples()["label"].to_numpy(), bins=0)
            return np.array([variability(own, list(found.rows.values())) for own in vectors])

    return run


def layer_by_layer(folder: Path) -> Run:
    """Each layer separately: load, forward pass, class covariances, pinv."""
    import torch

    from works.models import LAYERS, Given

    def run() -> np.ndarray:
        found = []
        for depth in range(LAYERS + 1):
            given = Given.load(folder)
            labels = given.rows.examples["label"].to_numpy()
            vectors = np.empty((len(given.rows), given.model.config.hidden_size))
            with torch.inference_mode():
                for chosen, inputs, plain in given.rows.batches(
                    range(len(given.rows)), BATCH, given.model.device
                ):
                    states = given.model.base_model(**inputs, output_hidden_states=True)
                    weights = plain[..., None].float()
                    mean = (states.hidden_states[depth] * weights).sum(1) / weights.sum(1)
                    vectors[chosen] = mean.cpu().numpy()
            found.append(_nu(vectors, labels))
        return np.array(found)

    return run


def _nu(vectors: np.ndarray, labels: np.ndarray) -> float:
    parts = [vectors[labels == label] for label in np.unique(labels)]
    means = np.stack([own.mean(0) for own in parts])
    within = np.mean([np.cov(own.T, bias=True) for own in parts], axis=0)
    between = np.cov(means.T, bias=True)
    return np.trace(within @ np.linalg.pinv(between, hermitian=True)) / len(parts)


def _relative(result: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(result / reference - 1).max())


WORKS = {
    "variability": Work(
        name="variability, all depths",
        size="12 layers x 384, 32 texts",
        prepare=partial(prepare, examples=32),
        contestants={"strata": strata, "layer by layer": layer_by_layer},
        goals={"layer by layer": 10.0},
        reference=lambda folder: layer_by_layer(folder)(),
        error=_relative,
        notes={"layer by layer": "error: relative"},
    )
}
