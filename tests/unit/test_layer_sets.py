"""Layer sets: how they are written, which a model can be cut to, and the models cut to them."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForSequenceClassification

from helpers import model_types, tiny
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.layer_sets import cut_to, keep_layers, read_sets
from strata.study.architectures import ARCHITECTURES
from strata.study.layer_sets import CutModel, Layers, LayerSet

L = 4
SETS = [(1, 2, 3, 4), (1, 2, 4), (1, 4), (1, 3, 4), (1,), (1, 3)]
PLAIN = Layers(12, "bert")


def close(found, expected):
    assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("1-8+12", (*range(1, 9), 12)),
        ("1", (1,)),
        ("2-3", (2, 3)),
        ("1+3+5-7", (1, 3, 5, 6, 7)),
        ("10-12", (10, 11, 12)),
    ],
)
def test_a_set_parses_and_prints_back(text, layers):
    kept = LayerSet.parse(text)
    assert kept.layers == layers and str(kept) == text and len(kept) == len(layers)
    for name in (f"layers{text}", f"layers{text}_head"):
        assert str(CutModel.parse(name)) == name
        assert CutModel.parse(name) == CutModel(kept, name.endswith("_head"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not a layer set"),
        ("0-3", "is not a layer set"),
        ("1-", "is not a layer set"),
        ("1,2", "is not a layer set"),
        ("3-1", "out of order, or one of them twice"),
        ("2+1", "out of order, or one of them twice"),
        ("1-3+3", "out of order, or one of them twice"),
        ("1+2", "must be written '1-2'"),
        ("1-2+3-4", "must be written '1-4'"),
        ("3-3", "must be written '3'"),
    ],
)
def test_other_words_for_a_set_are_refused_by_name(text, what):
    with pytest.raises(ValueError, match=what) as error:
        LayerSet.parse(text)
    assert f"'{text}'" in str(error.value)


@pytest.mark.parametrize("text", ["layers", "layers1-8_tail", "depth3", "layers1-8+12head", "1-8"])
def test_other_names_of_cut_models_are_refused(text):
    with pytest.raises(ValueError, match="is not a cut model: expected 'layers'"):
        CutModel.parse(text)


def test_smaller_sets_come_first_and_of_one_size_lower_layers():
    texts = ["1-2", "3", "1+3", "1", "1-3", "2-3"]
    assert [str(kept) for kept in sorted(map(LayerSet.parse, texts))] == [
        "1", "3", "1-2", "1+3", "2-3", "1-3",
    ]  # fmt: skip
    assert LayerSet.top_cut(8).is_top_cut and not LayerSet.parse("1-8+12").is_top_cut
    assert str(LayerSet.top_cut(12).without([9, 10, 11])) == "1-8+12"


def test_every_set_of_six_layers_but_the_whole_and_the_empty_one():
    every = Layers(6, "bert").every_set()
    assert len(every) == len(set(every)) == 2**6 - 2


@pytest.mark.parametrize(
    ("layers", "text", "what"),
    [
        (PLAIN, "1-13", "names layer 13, but the model has 12 layers"),
        (
            Layers(12, "albert", shared=True),
            "1-8+12",
            "its layers share one layer's weights.* '1-9'",
        ),
        (Layers.of({"model_type": "modernbert"}, 22), "2-22", "leaves out layer 1 of a modernbert"),
        (
            Layers.of({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, 12),
            "1-8+12",
            "moves layers of a gpt2 to other places.*scale_attn_by_inverse_layer_idx",
        ),
    ],
)
def test_what_a_plain_checkpoint_cannot_hold_is_refused_by_name(layers, text, what):
    kept = LayerSet.parse(text)
    with pytest.raises(ValueError, match=what):
        layers.check(kept)
    assert kept not in Layers(min(layers.count, 6), layers.kind, layers.shared).every_set()
    layers.check(LayerSet.top_cut(3))


def test_a_config_without_the_key_ties_nothing():
    Layers.of({"model_type": "gpt2"}, 12).check(LayerSet.parse("1-8+12"))
    Layers.of({"model_type": "modernbert"}, 22).check(LayerSet.parse("1+5-22"))


# ---------------------------------------------------------------- of every type


def allowed(kind: str, sets) -> list:
    row = ARCHITECTURES[kind.partition(":")[0]]
    return [s for s in sets if not row.shares_layers or s == tuple(range(1, len(s) + 1))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", model_types.CONFIGS)
@torch.no_grad()
def test_a_set_is_the_model_cut_to_it_saved_and_loaded_by_plain_transformers(kind, tmp_path):
    """And while others are read the model is itself again, weights and config."""
    whole, inputs = model_types.model(kind), model_types.texts()
    encoder, head, before = Encoder(whole), Head(whole), deepcopy(whole.config.to_dict())
    sets = allowed(kind, SETS)
    found = read_sets(encoder, inputs, sets, stack_rows=10)
    for kept in sets:
        keep_layers(deepcopy(whole), kept).save_pretrained(tmp_path / "cut")
        cut = AutoModelForSequenceClassification.from_pretrained(tmp_path / "cut").eval()
        assert cut.config.num_hidden_layers == len(kept)
        close(head(found[kept]), cut(**inputs).logits)
        with cut_to(whole, kept) as own:
            close(own(**inputs).logits, cut(**inputs).logits)
        assert whole.config.to_dict() == before
    close(head(found[1, 2, 3, 4]), whole(**inputs).logits)


# ---------------------------------------------------------------- many sets at once


def batch(count=5):
    features, _ = tiny.rows(count=count).tokenize(slice(None))
    return dict(tiny.tokenizer().pad(features, return_tensors="pt"))


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@torch.inference_mode()
def test_shared_prefixes_are_sets_one_by_one_whatever_the_size_of_a_stack(architecture):
    encoder, inputs = Encoder(tiny.task_model(architecture)), batch()
    sets = allowed(architecture, [s.layers for s in Layers(L, "bert").every_set()])
    alone = {kept: read_sets(encoder, inputs, [kept])[kept] for kept in sets}
    for stack_rows in (1, 11, 512):
        for kept, found in read_sets(encoder, inputs, sets, stack_rows).items():
            close(found, alone[kept])


@torch.inference_mode()
def test_what_sets_share_is_run_once():
    """Of all sets of four layers: layer k is run on every subset of those below it."""
    encoder, calls = Encoder(tiny.task_model("bert")), []
    for layer in encoder.layers:
        layer.register_forward_hook(
            lambda own, i, _: calls.append(len(i[0]) * ("forward" not in vars(own)))
        )
    read_sets(encoder, batch(4), [s.layers for s in Layers(L, "bert").every_set()])
    # 1 + 2 + 4 + 8 prefixes end with layers 1 to 4; that of all four layers is no set here.
    assert sum(calls) == 4 * (15 - 1)
