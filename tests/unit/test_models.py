"""Layer by layer is the whole model: every architecture against its own forward."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoConfig, AutoModel, AutoTokenizer

from helpers import tiny
from strata.data.batches import Rows
from strata.data.tokens import load_tokenizer
from strata.evaluation.prediction_files import logits_of
from strata.modeling.encoder import Encoder, num_parameters, truncate
from strata.modeling.head import Head, head_names, load_head
from strata.modeling.inference import predict, row_logits, timed_predictions
from strata.modeling.loading import check_length, load_model
from strata.runtime.errors import StrataError
from strata.study.architectures import ARCHITECTURES
from strata.study.settings import ForwardSettings

KINDS = ("classification", "multiple-choice")
LAYERS = 4
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
every_kind = pytest.mark.parametrize("kind", KINDS)


def close(actual, expected):
    assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def batch(kind="classification", count=4):
    """One padded batch of rows of different lengths."""
    features = tiny.rows(kind, count).tokenize(slice(None))[0]
    inputs = tiny.tokenizer().pad(features, return_tensors="pt")
    assert not inputs["attention_mask"].all()
    return dict(inputs)


def test_a_task_model_is_set_up_for_each_type_of_task(tmp_path):
    folder = tiny.save_model(tmp_path, "bert")
    config = load_model(folder, tiny.task(), seed=1).config
    assert config.problem_type == "single_label_classification"
    assert config.id2label == {0: "yes", 1: "no"} and config.label2id == {"yes": 0, "no": 1}
    config = load_model(folder, tiny.task("regression"), seed=1).config
    assert config.problem_type == "regression" and config.num_labels == 1
    model = load_model(folder, tiny.task("multiple-choice"), seed=1)
    assert type(model).__name__ == "BertForMultipleChoice"


@every_architecture
@every_kind
@torch.no_grad()
def test_every_depth_is_the_model_cut_to_that_many_layers(architecture, kind):
    """Hidden states and logits of depth k against a copy with only its first k layers."""
    model, inputs, task = tiny.task_model(architecture, kind), batch(kind), tiny.task(kind)
    states = list(Encoder(model).hidden_states(inputs))
    head = Head(model).eval()
    assert len(states) == LAYERS + 1
    for depth, state in enumerate(states):
        cut = tiny.without(model, range(depth + 1, LAYERS + 1))
        close(state, cut.base_model(**inputs).last_hidden_state)
        close(head(state[:, 0]), row_logits(cut, inputs, task))
    for below, above in pairwise(states):
        assert (below - above).abs().max() > 0.1  # a layer does something


@every_architecture
@torch.no_grad()
def test_states_are_those_that_transformers_puts_out(architecture):
    model, inputs = tiny.task_model(architecture), batch()
    expected = model(**inputs, output_hidden_states=True).hidden_states
    for actual, state in zip(Encoder(model).hidden_states(inputs), expected, strict=True):
        close(actual, state)


@every_architecture
@torch.no_grad()
def test_layers_run_from_any_state(architecture):
    """Layers a..b after depth a-1 give depth b; no layers give the state itself."""
    encoder, inputs = Encoder(tiny.task_model(architecture)), batch()
    start, states = encoder.start(inputs), list(encoder.hidden_states(inputs))
    for first in range(1, LAYERS + 1):
        for last in range(first - 1, LAYERS + 1):
            close(encoder.run(states[first - 1], start, first, last), states[last])


@every_architecture
def test_the_encoder_leaves_the_model_as_it_was(architecture):
    """No hook is left behind: the model's own forward still runs."""
    model, inputs = tiny.task_model(architecture), batch()
    expected = model(**inputs).logits
    list(Encoder(model).hidden_states(inputs))
    Head(model)
    close(model(**inputs).logits, expected)


@every_architecture
@torch.inference_mode()
def test_batch_size_padding_and_row_order_change_nothing(architecture):
    encoder, tokenizer = Encoder(tiny.task_model(architecture)), tiny.tokenizer()
    rows = tiny.rows(count=10)
    alone = []
    for features in rows.tokenize(slice(None))[0]:
        inputs = tokenizer.pad([features], return_tensors="pt")
        alone.append(torch.stack([state[0, 0] for state in encoder.hidden_states(inputs)]))

    for batch_size in (3, 10):  # batches are sorted by length, so this is also another order
        for chosen, inputs, _ in rows.batches(range(10), batch_size, "cpu"):
            together = torch.stack([state[:, 0] for state in encoder.hidden_states(inputs)], dim=1)
            close(together, torch.stack([alone[row] for row in chosen]))

    features, _ = rows.tokenize(slice(None))
    longer = tokenizer.pad(features, padding="max_length", max_length=40, return_tensors="pt")
    padded = torch.stack([state[:, 0] for state in encoder.hidden_states(longer)], dim=1)
    close(padded, torch.stack(alone))


@pytest.mark.parametrize("kind", (*KINDS, "regression"))
@torch.no_grad()
def test_predictions_are_the_models_own_in_the_examples_order(kind):
    """A multiple-choice model is called as Transformers means it: [examples, choices, tokens]."""
    model, task, rows = tiny.task_model("mpnet", kind), tiny.task(kind), tiny.rows(kind)
    expected, stated = [], []
    for example in range(12):
        features, _ = rows.tokenize([example])
        inputs = tiny.tokenizer().pad(features, return_tensors="pt")
        if kind == "multiple-choice":
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
        logits = model(**inputs).logits
        expected.append(logits.item() if kind == "regression" else logits.argmax().item())
        stated.append(logits[0].tolist())
    predictions = predict(model, rows, task, ForwardSettings(5))
    assert predictions.tolist() == pytest.approx(expected, rel=1e-4)
    table, speed = timed_predictions(model, rows, task)
    assert table["prediction"].tolist() == pytest.approx(expected, rel=1e-4) and speed > 0
    assert table[["example_id", "label"]].equals(rows.examples[["example_id", "label"]])
    np.testing.assert_allclose(logits_of(table), stated, rtol=1e-4, atol=1e-5)
    assert len(set(expected)) > 1


def test_windows_cut_no_example_in_two():
    rows = tiny.rows("multiple-choice", 11)
    found = list(rows.windows(size=10))
    assert [row for window in found for row in window] == list(range(33))
    assert [len(window) for window in found] == [9, 9, 9, 6]


def test_batches_are_of_one_length_and_know_their_plain_tokens():
    """The mask leaves out padding and special tokens, and rows of a length come together."""
    rows = tiny.rows(count=20)
    lengths = []
    for chosen, inputs, plain in rows.batches(range(20), 4, "cpu"):
        for row, ids, mask in zip(chosen, inputs["input_ids"], plain, strict=True):
            special = torch.isin(
                torch.tensor(rows.tokenize(slice(None))[0][row]["input_ids"]), torch.tensor([0, 2])
            )
            words = torch.tensor(rows.tokenize(slice(None))[0][row]["input_ids"])[~special]
            assert ids[mask].tolist() == words.tolist()
            lengths.append(len(rows.tokenize(slice(None))[0][row]["input_ids"]))
    assert lengths == sorted(lengths, reverse=True) and len(lengths) == 20


def test_left_padding_keeps_the_plain_tokens():
    rows = tiny.rows(count=6)
    rows.tokenizer.padding_side = "left"
    for chosen, inputs, plain in rows.batches(range(6), 6, "cpu"):
        for row, ids, mask in zip(chosen, inputs["input_ids"], plain, strict=True):
            words = [i for i in rows.tokenize(slice(None))[0][row]["input_ids"] if i not in (0, 2)]
            assert ids[mask].tolist() == words


def test_long_texts_are_cut_to_the_maximum_length():
    rows = Rows(tiny.tokenizer(), tiny.examples(count=20), max_length=9)
    assert max(len(features["input_ids"]) for features in rows.tokenize(slice(None))[0]) == 9


@every_architecture
@every_kind
@torch.no_grad()
def test_a_truncated_model_is_a_plain_checkpoint(architecture, kind, tmp_path):
    model, inputs, task = tiny.task_model(architecture, kind), batch(kind), tiny.task(kind)
    expected = row_logits(tiny.without(model, range(3, LAYERS + 1)), inputs, task)
    parameters = num_parameters(model)
    truncate(model, 2).save_pretrained(tmp_path)

    assert AutoConfig.from_pretrained(tmp_path).num_hidden_layers == 2
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["n_layers" if architecture == "distilbert" else "num_hidden_layers"] == 2
    again = load_model(tmp_path, task).eval()
    close(row_logits(again, inputs, task), expected)
    # ALBERT's depths share their weights: there is nothing to save.
    assert (num_parameters(again) == parameters) == (architecture == "albert")


@every_architecture
@every_kind
def test_a_fresh_head_is_drawn_by_its_seed(architecture, kind, tmp_path):
    folder, task = tiny.save_model(tmp_path, architecture), tiny.task(kind)
    heads = [dict(load_head(folder, task, seed).named_parameters()) for seed in (1, 1, 2)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert any(not torch.equal(heads[0][name], heads[2][name]) for name in heads[0])


@every_architecture
@every_kind
def test_a_model_keeps_all_that_its_checkpoint_holds(architecture, kind, tmp_path):
    """Encoder and, where the head has one of the same name, pooler; whatever the seed."""
    folder = tiny.save_model(tmp_path, architecture)
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    loaded = load_model(folder, tiny.task(kind), seed=3).base_model.state_dict()
    assert all(torch.equal(loaded[name], pretrained[name]) for name in loaded)
    if architecture in ("albert", "bert"):
        assert any("pooler" in name for name in loaded)


@every_architecture
@every_kind
def test_a_head_holds_all_weights_after_the_last_layer_and_no_others(architecture, kind):
    model = tiny.task_model(architecture, kind)
    words = ("layer.", "layers.", "embedding", "encoder.rel_", "encoder.LayerNorm", "relative_")
    expected = {
        name
        for name, _ in model.named_parameters()
        if not any(word in name for word in words) or name.startswith("classifier")
    }
    names = head_names(Head(model))
    assert set(names.values()) == expected
    assert set(names) == {name for name, _ in Head(model).named_parameters()}


def test_a_head_of_another_size_is_replaced_by_a_fresh_one(tmp_path):
    """A checkpoint fine-tuned on two classes is a pretrained encoder for a task of three."""
    tiny.task_model("bert").save_pretrained(tmp_path)
    task = replace(tiny.task(), labels=["a", "b", "c"])
    model = load_model(tmp_path, task, seed=1)
    assert model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 3)


def test_models_are_float32_whatever_the_checkpoint(tmp_path):
    AutoModel.from_config(tiny.config("bert")).half().save_pretrained(tmp_path)
    assert load_model(tmp_path, tiny.task(), seed=1).dtype == torch.float32


def test_the_tokenizer_is_that_of_the_folder(tmp_path):
    folder = tiny.save_model(tmp_path, "bert")
    assert load_tokenizer(folder)("w1")["input_ids"] == [0, tiny.tokenizer().vocab["w1"], 2]
    assert isinstance(load_tokenizer(folder), type(AutoTokenizer.from_pretrained(folder)))


@every_architecture
@torch.no_grad()
def test_the_longest_allowed_sequence_runs_and_a_longer_one_is_refused(architecture):
    model = tiny.task_model(architecture)
    # RoBERTa's kind counts positions from the padding token's number on.
    limit = 62 if architecture in ("roberta", "xlm-roberta", "mpnet") else 64
    check_length(model, limit)
    model(input_ids=torch.full((1, limit), 9))
    if architecture == "deberta-v2":  # relative positions only: no limit
        check_length(model, 1000)
        model(input_ids=torch.full((1, 200), 9))
        return
    with pytest.raises(StrataError, match=f"max_length is {limit + 1}.*has {limit} positions"):
        check_length(model, limit + 1)
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 9))


def test_deberta_with_absolute_positions_has_a_limit():
    model = tiny.task_model("deberta-v2")
    model.config.position_biased_input = True
    with pytest.raises(StrataError, match="65.*64 positions"):
        check_length(model, 65)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "t5"}, "type 't5'"),
        ({"model_type": "albert", "num_hidden_groups": 2}, "ALBERT with more than one layer group"),
        ({"model_type": "albert", "inner_group_num": 2}, "ALBERT with more than one layer group"),
        ({"model_type": "deberta-v2", "conv_kernel_size": 3}, "DeBERTa with a convolution"),
        ({}, "type 'None'"),
    ],
)
def test_other_models_are_refused_by_name(config, problem, tmp_path):
    folder = tmp_path / "their-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StrataError) as caught:
        load_model(folder, tiny.task(), seed=1)
    assert "their-model" in str(caught.value) and problem in str(caught.value)
    assert ", ".join(ARCHITECTURES) in str(caught.value)


@pytest.mark.parametrize(("text", "problem"), [(None, "no config.json"), ("{", "not JSON")])
def test_a_folder_without_a_readable_config_is_explained(text, problem, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(StrataError, match=problem):
        load_model(tmp_path, tiny.task(), seed=1)
