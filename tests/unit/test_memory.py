"""A GPU runs out of memory: evaluation continues with smaller batches, training says what to do.

Without a GPU, the error that torch would raise is raised by code that counts rows.
"""

import numpy as np
import pytest
import torch

from helpers import tiny
from strata.analysis.activations import Activations
from strata.analysis.dump import Source, dump
from strata.analysis.skipping import skip_spans
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.inference import predict
from strata.modeling.loading import load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.settings import ForwardSettings, StorageSettings

FORWARD = ForwardSettings(16)


@pytest.fixture
def small_gpu(monkeypatch):
    """Embedding more than `rows` rows at a time is too much."""

    def limit(model, rows):
        def check(_, arguments, keywords):
            given = arguments[0] if arguments else keywords["input_ids"]
            if len(given) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        model.base_model.embeddings.register_forward_pre_hook(check, with_kwargs=True)
        return model

    return limit


def model_of(kind="classification"):
    return tiny.task_model("bert", kind)


@pytest.mark.parametrize("kind", ("classification", "multiple-choice"))
@pytest.mark.parametrize("limit", (1, 3, 7))
def test_predictions_are_those_of_a_larger_memory(kind, limit, small_gpu, capsys):
    task = tiny.task(kind)
    expected = predict(model_of(kind), tiny.rows(kind, 30), task, FORWARD)
    rows = tiny.rows(kind, 30)
    found = predict(small_gpu(model_of(kind), limit), rows, task, FORWARD)
    np.testing.assert_array_equal(found, expected)
    assert rows.max_rows <= limit
    told = [line for line in capsys.readouterr().out.splitlines() if "too many" in line]
    assert told[0].startswith("16 rows of") and told[0].endswith("continuing with 8")
    assert len(told) == {1: 4, 3: 3, 7: 2}[limit]  # 16, 8, 4, 2 were too many


def test_activations_are_those_of_a_larger_memory(small_gpu, tmp_path):
    options = (StorageSettings(["head", "raw", "mean"], "float32"), FORWARD)
    dump(tmp_path / "a.h5", Source(Encoder(model_of()), tiny.rows(count=40), {}), *options)
    tight = Encoder(small_gpu(model_of(), 3))
    dump(tmp_path / "b.h5", Source(tight, tiny.rows(count=40), {}), *options)
    with Activations.open(tmp_path / "a.h5") as a, Activations.open(tmp_path / "b.h5") as b:
        for pooling in ("raw", "mean"):
            np.testing.assert_allclose(b.vectors(pooling), a.vectors(pooling), atol=1e-6)


def test_skipping_stacks_no_more_rows_than_fit(small_gpu):
    task, model = tiny.task(), model_of()
    expected = skip_spans(Encoder(model), Head(model), tiny.rows(count=30), task, FORWARD)
    small_gpu(model, 5)
    found = skip_spans(Encoder(model), Head(model), tiny.rows(count=30), task, FORWARD)
    np.testing.assert_array_equal(found["prediction"], expected["prediction"])


def test_a_single_row_that_does_not_fit_is_explained(small_gpu):
    with pytest.raises(StrataError, match="does not hold one row .* lower training.max_length"):
        predict(small_gpu(model_of(), 0), tiny.rows(count=8), tiny.task(), ForwardSettings(4))


def test_training_out_of_memory_says_what_to_lower(small_gpu, tmp_path):
    folder = tiny.save_model(tmp_path / "model", "bert", layers=1)
    model = small_gpu(load_model(folder, tiny.task(), seed=1), 3)
    rows = tiny.rows(count=16)
    with pytest.raises(StrataError, match="batch_size 4 and max_length 32: lower training.b"):
        finetune(model, rows, rows, tiny.task(), tiny.training(), 1, tmp_path / "h.csv", tmp_path)
