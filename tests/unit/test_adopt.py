"""Checkpoints that others fine-tuned: adopted with their own heads, or refused with a reason."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from helpers import tiny
from helpers.folders import with_config
from strata.data.batches import Rows
from strata.data.task import Task
from strata.data.tokens import length_limit
from strata.evaluation.label_order import LabelOrder
from strata.export.cut import cut_model
from strata.modeling.adopt import Adopted, fit_notes, load_given, own_order, write_adopted
from strata.modeling.loading import load_model
from strata.runtime.errors import StrataError
from strata.sources.fetch_model import fetch_model
from strata.sources.same_model import ENCODER, check_same_model, cut_share, tokenizer_of
from strata.study.layer_sets import LayerSet
from strata.study.settings import Sampling

SAMPLING = Sampling(200, 0.95)


def saved(
    folder: Path, architecture: str, auto=AutoModelForSequenceClassification, **config
) -> Path:
    """A checkpoint of random weights, as its class saves it."""
    settings = tiny.config(architecture)
    for name, value in config.items():
        setattr(settings, name, value)
    torch.manual_seed(2)
    auto.from_config(settings).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def labelled(*names: str) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


def classes(*labels: str) -> Task:
    return Task("t", "classification", list(labels), "accuracy", 1, {}, {}, {"source": "path:x"})


def refused(folder: Path, task: Task, **more) -> str:
    with pytest.raises(StrataError) as caught:
        load_given(folder, task, "M", **more)
    return str(caught.value)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_outputs_come_in_the_tasks_order_and_leave_in_their_own(architecture, tmp_path):
    """Every architecture's output layer, wherever it keeps it."""
    folder = saved(tmp_path / "given", architecture, **labelled("c", "a", "b"))
    batch = tiny.tokenizer()(["w1 w2 w3", "good w4"], padding=True, return_tensors="pt")
    before = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    adopted = load_given(folder, classes("a", "b", "c"), "M")
    with torch.no_grad():
        expected, found = before(**batch).logits, adopted.model(**batch).logits
    assert torch.equal(found, expected[:, [1, 2, 0]])
    assert adopted.order == LabelOrder(["c", "a", "b"], [1, 2, 0], "name") and adopted.layers == 4
    (folder / "source.json").write_text("{}")
    write_adopted(adopted, tiny.tokenizer(), folder, tmp_path / "run")
    assert own_order(tmp_path / "run") == adopted.order
    whole = cut_model(tmp_path / "run", classes("a", "b", "c"), LayerSet.top_cut(4))
    with torch.no_grad():
        assert torch.equal(whole(**batch).logits, expected)
    assert whole.config.id2label == before.config.id2label


def test_a_run_that_was_trained_here_has_no_order_of_its_own(tmp_path):
    assert own_order(tmp_path) is None


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForMaskedLM])
def test_an_encoder_is_no_fine_tuned_model(auto, tmp_path):
    folder = saved(tmp_path, "bert", auto)
    said = refused(folder, classes("a", "b", "c"))
    assert said.startswith(
        "M: its classifier.weight is missing, so this is an encoder, not a fine-tuned model"
    )
    config = json.loads((folder / "config.json").read_text())
    config.pop("architectures")  # some say nothing: then the weights do
    (folder / "config.json").write_text(json.dumps(config))
    assert refused(folder, classes("a", "b", "c")) == said
    assert refused(folder, tiny.task("regression")) == said


def test_a_head_for_another_type_of_task_is_refused(tmp_path):
    tokens = saved(tmp_path / "a", "bert", AutoModelForTokenClassification, num_labels=2)
    assert "M is a BertForTokenClassification, but a task of type classification needs" in refused(
        tokens, classes("a", "b")
    )
    choice = saved(tmp_path / "b", "bert", AutoModelForMultipleChoice)
    assert "it is not fine-tuned for such a task" in refused(choice, classes("a", "b"))
    assert load_given(choice, tiny.task("multiple-choice"), "M").order is None
    assert "needs a model ForMultipleChoice" in refused(
        saved(tmp_path / "c", "bert", num_labels=1), tiny.task("multiple-choice")
    )


@pytest.mark.parametrize(
    ("config", "task", "sentence"),
    [
        (labelled("a", "b", "c"), classes("a", "b"), "M has 3 outputs (the labels a, b, c), but"),
        ({"num_labels": 1}, classes("a", "b"), "M has a single output, for a regression or"),
        (
            {**labelled("a", "b"), "problem_type": "multi_label_classification"},
            classes("a", "b"),
            "M gives each example any number of labels",
        ),
        (labelled("a", "b"), tiny.task("regression"), "M has 2 outputs (the labels a, b), but the"),
        (labelled("yes", "no"), classes("a", "b"), "M has the labels yes, no, the task a, b: say"),
    ],
)
def test_other_labels_are_refused(config, task, sentence, tmp_path):
    assert refused(saved(tmp_path, "bert", **config), task).startswith(sentence)


def test_a_regression_has_one_output_and_no_names(tmp_path):
    folder = saved(tmp_path, "roberta", num_labels=1, problem_type="regression")
    assert load_given(folder, tiny.task("regression"), "M").order is None


def test_labels_that_have_numbers_for_names_are_taken_by_position_and_told(tmp_path, capsys):
    load_given(saved(tmp_path, "bert", num_labels=2), classes("a", "b"), "M")
    assert "only numbered: LABEL_0 is a, LABEL_1 is b" in capsys.readouterr().out


def test_odd_configs_are_refused_in_a_sentence(tmp_path):
    folder = saved(tmp_path, "bert", **labelled("a", "b"))
    with_config(id2label={"1": "a", "2": "b"})(folder)
    assert "numbers its labels 1, 2; labels count from 0" in refused(folder, classes("a", "b"))
    with_config(id2label={"0": "a", "1": "b"}, strata_head="foo")(folder)
    assert "M has a head of style 'foo'" in refused(folder, classes("a", "b"))


# ---------------------------------------------------------------- what the answers say


def answered(labels, predictions) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, "prediction": predictions})


@pytest.mark.parametrize("by", ["position", "name", "label_map"])
def test_swapped_answers_end_what_was_matched_by_position_and_warn_elsewhere(by):
    order, task = LabelOrder(["LABEL_0", "LABEL_1"], [0, 1], by), classes("a", "b")
    table = answered(np.tile([0, 1], 60), np.tile([1, 0], 60))
    adopted = Adopted(None, order)
    if by == "position":
        with pytest.raises(StrataError, match="Put label_map: {LABEL_0: b, LABEL_1: a} into"):
            fit_notes(adopted, table, task, SAMPLING, "M")
    else:
        (note,) = fit_notes(adopted, table, task, SAMPLING, "M")
        assert f"matched by {by}, another order would gain +100.0 points" in note
    right = answered(table["label"], table["label"])
    assert fit_notes(adopted, right, task, SAMPLING, "M") == []


def test_a_scale_the_other_way_is_told():
    task, values = tiny.task("regression"), np.linspace(0, 1, 20)
    (note,) = fit_notes(Adopted(None, None), answered(values, -values), task, SAMPLING, "M")
    assert note.startswith("M: its values fall where the task's rise")
    assert fit_notes(Adopted(None, None), answered(values, 3 * values), task, SAMPLING, "M") == []
    assert fit_notes(Adopted(None, None), answered(values, 0 * values), task, SAMPLING, "M") == []


# ---------------------------------------------------------------- folders that belong together


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"architecture": "roberta"}, "differ in their type (bert and roberta)"),
        ({"num_hidden_layers": 3}, "differ in their number of layers (4 and 3)"),
        ({"hidden_size": 32}, "differ in their width (16 and 32)"),
    ],
)
def test_checkpoints_that_differ_are_two_models(other, words, tmp_path):
    own = saved(tmp_path / "1", "bert")
    architecture = other.pop("architecture", "bert")
    second = saved(tmp_path / "2", architecture, **other)
    with pytest.raises(StrataError) as caught:
        check_same_model("m", {"checkpoint 1": own, "checkpoint 2": second}, tiny.examples(), 32)
    said = f"models.m: checkpoint 1 and checkpoint 2 {words}: register two models."
    assert str(caught.value) == said


def test_checkpoints_that_read_texts_otherwise_are_two_models(tmp_path):
    own, second = (saved(tmp_path / n, "bert") for n in "12")
    folders = {"checkpoint 1": own, ENCODER: second}
    assert check_same_model("m", folders, tiny.examples(), 32) == {str(own): 32, str(second): 32}
    other = (second / "tokenizer.json").read_text()
    (second / "tokenizer.json").write_text(other.replace('"w1"', '"W1"'))
    with pytest.raises(StrataError, match="tokenise a text differently .row 1 of the eval"):
        check_same_model("m", folders, tiny.examples(), 32)


def test_other_limits_matter_where_a_text_reaches_them(tmp_path):
    folders = {
        "checkpoint 1": saved(tmp_path / "1", "bert"),
        ENCODER: saved(tmp_path / "2", "bert"),
    }
    for folder, limit in zip(folders.values(), (12, 40), strict=True):
        tokenizer = tiny.tokenizer()
        tokenizer.model_max_length = limit
        tokenizer.save_pretrained(folder)
    few = tiny.examples().drop(columns="text_b").assign(text_a="w1 w2")
    check_same_model("m", folders, few, "auto")
    with pytest.raises(StrataError) as caught:
        check_same_model("m", folders, tiny.examples(), "auto")
    assert str(caught.value) == (
        "models.m: some texts are longer than some of its folders allow (tokens: checkpoint 1 12, "
        "its encoder 40); put training: {max_length: 12} into the model's entry."
    )


def test_a_checkpoint_without_a_tokenizer_takes_its_encoders(tmp_path, capsys):
    own, encoder = (saved(tmp_path / n, "bert") for n in "12")
    for file in own.glob("tokenizer*"):
        file.unlink()
    (own / "special_tokens_map.json").write_text("{}")  # not a tokenizer
    assert len(tokenizer_of(own, encoder, "M")) == len(tiny.tokenizer())
    assert "M has no tokenizer: using that of" in capsys.readouterr().out
    with pytest.raises(StrataError, match="or register the encoder that it was made from as"):
        tokenizer_of(own, tmp_path / "nowhere", "M")


def test_auto_is_the_smaller_of_what_tokenizer_and_model_allow(tmp_path):
    """64 positions; RoBERTa's start after that of the padding token, 1."""
    for architecture, limit in {"bert": 64, "roberta": 62}.items():
        folder = saved(tmp_path / architecture, architecture)
        assert length_limit("auto", folder, tiny.tokenizer()) == limit
        shorter = tiny.tokenizer()
        shorter.model_max_length = 20
        assert length_limit("auto", folder, shorter) == 20
        assert length_limit(12, folder, shorter) == 12
    endless = saved(tmp_path / "deberta", "deberta-v2")  # relative positions
    tokenizer = tiny.tokenizer()
    tokenizer.model_max_length = 10**30
    assert length_limit("auto", endless, tokenizer) == 64  # the length it was trained with


def test_the_share_of_texts_that_are_cut_is_told():
    whole = [len(ids) for ids in tiny.tokenizer()(tiny.examples()["text_a"].tolist())["input_ids"]]
    examples = tiny.examples()[["example_id", "text_a", "label"]]
    limit = int(np.median(whole))
    assert cut_share(Rows(tiny.tokenizer(), examples, limit)) == np.mean(np.array(whole) > limit)


# ---------------------------------------------------------------- fetched


def test_half_precision_and_shards_are_read(tmp_path):
    folder = saved(tmp_path / "a", "bert", **labelled("a", "b"))
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "half", max_shard_size="4KB")
    tiny.tokenizer().save_pretrained(tmp_path / "half")
    assert len([*(tmp_path / "half").glob("*.safetensors")]) > 1
    fetch_model("mine", {"source": f"path:{tmp_path / 'half'}"}, tmp_path / "fetched")
    read = load_given(tmp_path / "fetched", classes("a", "b"), "M").model
    assert read.dtype == torch.float32
    for name, tensor in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor.float())


def test_adapters_and_quantised_weights_are_refused(tmp_path):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters/adapter_config.json").write_text("{}")
    (tmp_path / "adapters/adapter_model.safetensors").write_text("")
    with pytest.raises(StrataError, match="Model 'mine' consists of adapters .adapter_config"):
        fetch_model("mine", {"source": f"path:{tmp_path / 'adapters'}"}, tmp_path / "fetched")
    folder = saved(tmp_path / "quantised", "bert")
    with_config(quantization_config={"bits": 4})(folder)
    with pytest.raises(StrataError, match="Model 'mine' is quantised"):
        fetch_model("mine", {"source": f"path:{folder}"}, tmp_path / "fetched")


def test_a_tokenizer_may_be_missing_where_another_folder_has_it(tmp_path):
    folder = saved(tmp_path / "given", "bert", **labelled("a", "b"))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    source = {"source": f"path:{folder}"}
    with pytest.raises(StrataError, match="has no tokenizer files"):
        fetch_model("mine", source, tmp_path / "fetched")
    fetch_model("mine", source, tmp_path / "fetched", needs_tokenizer=False)
    assert (tmp_path / "fetched/config.json").is_file()


# ---------------------------------------------------------------- heads of encoders


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_head_that_an_encoder_carries_is_drawn_anew(architecture, tmp_path):
    """Even though its shape would fit, and for every class; the encoder does not change."""
    folder = saved(tmp_path / "headed", architecture, **labelled("x", "y"))
    before = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    models = [load_model(folder, tiny.task(), seed) for seed in (1, 1, 2)]
    first, again, other = (model.state_dict() for model in models)
    prefix = f"{models[0].base_model_prefix}."
    if architecture == "bert":  # whatever it is called, or not called
        for name in (None, "BertForTokenClassification"):
            with_config(architectures=name and [name])(folder)
            unnamed = load_model(folder, tiny.task(), 1).state_dict()
            assert all(torch.equal(unnamed[key], first[key]) for key in first)
    for name, tensor in first.items():
        assert torch.equal(again[name], tensor)
        if name.startswith(prefix):
            assert torch.equal(before[name], tensor)
        elif tensor.ndim > 1:
            assert not torch.equal(before[name], tensor) and not torch.equal(other[name], tensor)
            spread = AutoConfig.from_pretrained(folder).initializer_range
            assert tensor.std() == pytest.approx(spread, rel=0.6)
        else:
            assert not tensor.any()
