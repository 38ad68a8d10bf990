"""Skipping spans of layers: every architecture against the model without them."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers import tiny
from strata.analysis.skipping import skip_spans, span_logits, span_scores, spans
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.inference import predict, row_logits
from strata.study.settings import ForwardSettings

LAYERS = 4
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
every_kind = pytest.mark.parametrize("kind", ("classification", "multiple-choice"))


def close(actual, expected):
    assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def batch(kind="classification", count=4):
    features, _ = tiny.rows(kind, count).tokenize(slice(None))
    return dict(tiny.tokenizer().pad(features, return_tensors="pt"))


def parts(architecture, kind="classification"):
    model = tiny.task_model(architecture, kind)
    return model, Encoder(model), Head(model).eval()


def test_spans_are_all_contiguous_runs_of_layers():
    assert sorted(spans(3)) == [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]
    assert len(spans(12)) == 78 and len(set(spans(12))) == 78


@every_architecture
@every_kind
@torch.inference_mode()
def test_every_span_is_the_model_without_these_layers(architecture, kind):
    model, encoder, head = parts(architecture, kind)
    inputs, task = batch(kind), tiny.task(kind)
    full = row_logits(model, inputs, task)
    found = span_logits(encoder, head, inputs)
    assert set(found) == set(spans(LAYERS))
    for (first, last), logits in found.items():
        smaller = tiny.without(model, range(first, last + 1))
        close(logits, row_logits(smaller, inputs, task))
        assert (logits - full).abs().max() > 1e-3  # skipping does something


@every_architecture
@torch.inference_mode()
def test_reused_prefixes_are_one_span_at_a_time(architecture):
    """Against layers 1..i-1 and j+1..L run from the embeddings, for each span by itself."""
    _, encoder, head = parts(architecture)
    inputs = batch()
    start = encoder.start(inputs)
    for (first, last), logits in span_logits(encoder, head, inputs).items():
        hidden = encoder.run(start.hidden, start, 1, first - 1)
        hidden = encoder.run(hidden, start, last + 1, LAYERS)
        close(logits, head(hidden[:, 0]))


@every_architecture
@torch.inference_mode()
def test_the_empty_span_is_the_full_model(architecture):
    model, encoder, head = parts(architecture)
    inputs = batch()
    start = encoder.start(inputs)
    for first in range(1, LAYERS + 2):  # skip first..first-1: nothing
        hidden = encoder.run(start.hidden, start, 1, first - 1)
        hidden = encoder.run(hidden, start, first, LAYERS)
        close(head(hidden[:, 0]), model(**inputs).logits)


@every_architecture
@torch.inference_mode()
def test_the_size_of_a_stack_changes_nothing(architecture):
    _, encoder, head = parts(architecture)
    inputs = batch(count=5)
    expected = span_logits(encoder, head, inputs)
    for stack_rows in (1, 11):
        found = span_logits(encoder, head, inputs, stack_rows)
        for span in spans(LAYERS):
            close(found[span], expected[span])


def runs(layer) -> bool:
    """Whether a layer really runs, rather than being asked for its arguments."""
    return "forward" not in vars(layer)


@torch.inference_mode()
def test_skipping_in_albert_is_truncating():
    """Its layers are all the same layer: it does not matter which m are skipped, and none runs for
    it.
    """
    model, encoder, head = parts("albert")
    inputs, calls = batch(), []
    encoder.layers[0].register_forward_hook(lambda layer, *_: calls.append(runs(layer)))
    found = span_logits(encoder, head, inputs)
    assert sum(calls) == LAYERS
    for (first, last), logits in found.items():
        kept = LAYERS - (last - first + 1)
        cut = tiny.without(model, range(kept + 1, LAYERS + 1))
        close(logits, cut(**inputs).logits)


@torch.inference_mode()
def test_prefixes_are_run_once():
    """Sample-layers run for a batch: L-1 for the states, and L-j for each of the j spans to j."""
    _, encoder, head = parts("bert")
    rows = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda own, i, _: rows.append(runs(own) * len(i[0])))
    span_logits(encoder, head, batch(count=4))
    assert sum(rows) == 4 * (LAYERS - 1 + sum(j * (LAYERS - j) for j in range(1, LAYERS + 1)))


@pytest.mark.parametrize("kind", ("classification", "regression", "multiple-choice"))
def test_scores_are_those_of_the_models_without_each_span(kind):
    """On all rows, in batches sorted by length, back in the examples' order."""
    model, encoder, head = parts("mpnet", kind)
    task, rows, labels = tiny.task(kind), tiny.rows(kind, 20), tiny.examples(kind, 20)["label"]
    answers = skip_spans(encoder, head, rows, task, ForwardSettings(7))
    assert (answers["label"] == np.tile(labels, len(spans(LAYERS)))).all()
    table = span_scores(answers, task)
    assert list(zip(table["first"], table["last"], strict=True)) == spans(LAYERS)
    for row in table.itertuples():
        if kind == "multiple-choice" and (row.first, row.last) == (1, LAYERS):
            continue  # without layers all choices are alike: rounding decides
        smaller = tiny.without(model, range(row.first, row.last + 1))
        predictions = predict(smaller, rows, task, ForwardSettings(20))
        if kind == "regression" and (row.first, row.last) == (1, LAYERS):
            expected = 0  # the embeddings' CLS is the same vector for every example
        elif kind == "regression":
            expected = np.corrcoef(predictions, labels)[0, 1]
        else:
            expected = np.mean(predictions == labels)
        assert row.value == pytest.approx(expected, abs=1e-5)
        assert row.degenerate == (expected == 0 and kind == "regression")
    assert (table["n"] == len(rows)).all() and (table["n_examples"] == 20).all()
    assert table["value"].nunique() > 1
