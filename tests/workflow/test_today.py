"""Today's models through the whole graph: alternating attention with a mean, and a decoder."""

import json

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from helpers import tiny
from helpers.today import MODELS


@pytest.fixture
def table(today):
    return lambda name: pd.read_csv(today.folder / "results/today" / name)


@pytest.mark.parametrize("model", MODELS)
def test_untuned_at_the_last_depth_is_the_full_model_row_by_row(today, model):
    results = today.folder / "results/today"
    run = pd.read_parquet(results / f"runs/{model}_entail/full/seed1/predictions.parquet")
    untuned = pd.read_parquet(results / f"truncation/{model}_entail/untuned-full-seed1.parquet")
    last = untuned[untuned["depth"] == untuned["depth"].max()]
    for answer in ("logit_0", "logit_1"):
        np.testing.assert_allclose(last[answer], run[answer], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_every_analysis_has_its_tables(table, model):
    cka = table(f"cka/{model}_entail.csv")
    assert set(cka["pooling"]) == {"raw", "mean"} and cka["cka"].notna().all()
    spans = table(f"skipping/{model}_entail.csv")
    assert len(spans) == 10 and spans["value"].between(0, 1).all()
    assert set(table("claims.csv")["model"].dropna()) >= {model}
    selection = table(f"variability/{model}_entail.csv")
    assert {"whole", "lora", "adapter", "selected", "last"} <= set(selection["comparison"])


def test_a_decoder_is_partly_given_new_weights_and_put_into_other_orders(table):
    for part in ("progressive", "localized", "permutation"):
        rows = table(f"reinit/decoder_entail/{part}.csv")
        assert len(rows) and rows["value"].between(0, 1).all()


@pytest.mark.parametrize("model", MODELS)
def test_the_smaller_model_is_a_plain_one_whose_lists_are_cut(today, model):
    folder = today.folder / f"results/today/export/{model}_entail/depth-within"
    small = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    layers = small.config.num_hidden_layers
    if model == "modern":
        assert len(small.config.layer_types) == layers
    batch = AutoTokenizer.from_pretrained(folder)(
        ["w1 w2", "same w3 w4 w5 w6"], padding=True, return_tensors="pt"
    )
    assert batch["input_ids"][0, -1] == small.config.pad_token_id  # on the right
    logits = small(**batch).logits
    alone = small(**AutoTokenizer.from_pretrained(folder)("w1 w2", return_tensors="pt")).logits
    np.testing.assert_allclose(logits[:1].detach(), alone.detach(), rtol=1e-4, atol=1e-5)


def test_a_padding_token_is_found_and_told(today):
    log = (today.folder / "results/today/logs/fetch_model/decoder.log").read_text()
    assert "The tokenizer has no padding token: using <pad>" in log
    folder = today.folder / "data/models/decoder"
    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == tiny.PAD
    assert AutoTokenizer.from_pretrained(folder).pad_token == "<pad>"
