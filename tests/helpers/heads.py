"""Small problems for heads, and what it takes to compare stacks of them."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn
from torch.testing import assert_close

from helpers import tiny
from strata.analysis.dump import Source, dump
from strata.modeling import head_tuning as heads
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.study.settings import ForwardSettings, HeadSettings, StorageSettings

SETTINGS = HeadSettings(
    steps=12,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=3,
    weight_decay=0.3,
    # Large: the bias of a choice's score has no gradient, and Adam would blow up its rounding.
    adam_epsilon=1e-4,
    max_grad_norm=0.2,
)
KINDS = ("classification", "regression", "multiple-choice")
DEPTHS = 3
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
every_kind = pytest.mark.parametrize("kind", KINDS)
STYLES = ("jiant", "jiant-pooler")  # besides Transformers' own
every_style = pytest.mark.parametrize("style", STYLES)


def head_of(architecture="bert", kind="classification", style="transformers"):
    return Head(tiny.task_model(architecture, kind, style=style))


def problem(kind="classification", examples=10, seed=0):
    """Random representations and labels."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(DEPTHS, examples * tiny.task(kind).choices, 16))
    if kind == "regression":
        labels = rng.normal(size=examples)
    else:
        labels = rng.integers(3 if kind == "multiple-choice" else 2, size=examples)
    return heads.HeadInputs(vectors.astype(np.float32), labels, tiny.task(kind))


def same(actual, expected, atol=1e-5):
    assert actual.keys() == expected.keys()
    for name in expected:
        assert_close(
            actual[name], expected[name], rtol=1e-4, atol=atol, msg=lambda m, n=name: n + m
        )


def one(stack, index):
    return {name: tensor[index] for name, tensor in stack.items()}


def without_dropout(head):
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return head


def learnable(examples=80):
    """Depth 1 shows the label, depth 0 does not."""
    rng = np.random.default_rng(7)
    labels = rng.integers(2, size=examples)
    vectors = rng.normal(size=(2, examples, 16)).astype(np.float32)
    vectors[1, :, 0] += 4 * (2 * labels - 1)
    return heads.HeadInputs(vectors, labels, tiny.task())


def only(inputs, depths=slice(None), rows=slice(None)):
    """Some depths and rows of inputs with one row per example."""
    vectors, labels = inputs.vectors[depths, rows], inputs.labels[rows]
    return replace(inputs, vectors=vectors, labels=labels)


def dumped(path, model, kind, count=12, seed=0):
    about = {"model": "tiny", "task": kind, "state": "full-seed1"}
    source = Source(Encoder(model), tiny.rows(kind, count, seed), about)
    dump(path, source, StorageSettings(["head"], "float32"), ForwardSettings(batch_size=5))
    return path
