"""The smaller model: a plain checkpoint that predicts as the tuned head on depth k does."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from helpers import tiny
from strata.analysis.activations import Activations
from strata.analysis.dump import Source, dump
from strata.evaluation.prediction_files import logits_of
from strata.evaluation.predictions import answers
from strata.export.card import MadeFrom, model_card
from strata.export.cut import TRAINED_KEY, choose, choose_seed, cut_model, write_model
from strata.export.measure import Measured, measure
from strata.modeling import head_tuning as heads
from strata.modeling.converged import tune_converged
from strata.modeling.encoder import Encoder, num_parameters
from strata.modeling.head import Head
from strata.runtime.errors import StrataError
from strata.study.layer_sets import LayerSet
from strata.study.settings import (
    ConvergedSettings,
    ForwardSettings,
    HeadSettings,
    Sampling,
    StorageSettings,
)

DEPTH = 2
SETTINGS = HeadSettings(
    steps=20,
    batch_size=4,
    learning_rate=3e-2,
    warmup_steps=2,
    weight_decay=0.01,
    adam_epsilon=1e-8,
    max_grad_norm=1.0,
    converged=ConvergedSettings([3e-3, 3e-2], 0.2),
)
MEASURED = Measured(
    score=0.9,
    full_score=0.925,
    difference_low=-0.05,
    difference_high=0.01,
    n_examples=1200,
    layers=4,
    full_layers=12,
    parameters=6_000_000,
    full_parameters=8_000_000,
    examples_per_second=300.0,
    full_examples_per_second=120.0,
    device="cpu",
)


def tuned_run(folder, architecture, kind, recipe="tuned"):
    """A run's checkpoint and the heads tuned at every depth; and these heads' predictions."""
    model, task = tiny.task_model(architecture, kind), tiny.task(kind)
    model.save_pretrained(folder / "checkpoint")
    about = {"model": architecture, "task": kind, "state": "full-seed1"}
    source = Source(Encoder(model), tiny.rows(kind), about)
    dump(folder / "a.h5", source, StorageSettings(["head"], "float32"), ForwardSettings(6))
    with Activations.open(folder / "a.h5") as file:
        labels = tiny.examples(kind)["label"].to_numpy()
        head, inputs = Head(model), heads.HeadInputs(file.vectors(), labels, task)
        stack = heads.tune_heads(head, inputs, SETTINGS, seed=1)
        if recipe == "tuned-converged":
            stack = tune_converged(head, inputs, SETTINGS, seed=1, continued=True).stack
        heads.save_stack(stack, file.depths(), folder / "heads.safetensors")
        at_depths = heads.head_logits(head, stack, inputs)
    return model, answers(tiny.examples(kind), at_depths[DEPTH - 1], task)


def cut_to_depth(checkpoint, stacked, task, depth):
    """The model cut to a depth, with the head that was tuned there."""
    head = heads.load_head_of_depth(stacked, depth)
    return cut_model(checkpoint, task, LayerSet.top_cut(depth), head)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("kind", ("classification", "regression", "multiple-choice"))
@pytest.mark.parametrize("recipe", ("tuned", "tuned-converged"))
@torch.no_grad()
def test_a_stranger_loads_the_folder_and_gets_the_tuned_predictions(
    architecture, kind, recipe, tmp_path
):
    """Where heads were tuned on standardised vectors, too: the checkpoint is a plain one."""
    with torch.enable_grad():
        model, expected = tuned_run(tmp_path, architecture, kind, recipe)
    arguments = (tmp_path / "checkpoint", tmp_path / "heads.safetensors", tiny.task(kind), DEPTH)
    write_model(cut_to_depth(*arguments), tiny.tokenizer(), tmp_path / "small")

    auto = AutoModelForSequenceClassification
    if kind == "multiple-choice":
        auto = AutoModelForMultipleChoice
    small = auto.from_pretrained(tmp_path / "small").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    examples, found = tiny.examples(kind), []
    for example in examples.itertuples():
        if kind == "multiple-choice":
            texts = (3 * [example.text_a], list(example.choices))
        else:
            texts = ([example.text_a], [example.text_b] if kind == "classification" else None)
        inputs = tokenizer(*texts, padding=True, return_tensors="pt")
        if kind == "multiple-choice":
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
        found.append(small(**inputs).logits[0].numpy())
    np.testing.assert_allclose(found, logits_of(expected), rtol=1e-4, atol=1e-5)
    decided = np.ravel(found) if kind == "regression" else np.argmax(found, axis=1)
    np.testing.assert_allclose(decided, expected["prediction"], rtol=1e-4, atol=1e-5)
    assert small.config.num_hidden_layers == DEPTH and model.config.num_hidden_layers == 4
    assert (num_parameters(small) < num_parameters(model)) == (architecture != "albert")
    assert (tmp_path / "small" / "model.safetensors").is_file()


@torch.no_grad()
def test_the_exported_head_is_the_tuned_one_and_the_layers_are_the_runs(tmp_path):
    with torch.enable_grad():
        model, _ = tuned_run(tmp_path, "bert", "classification")
    small = cut_to_depth(
        tmp_path / "checkpoint", tmp_path / "heads.safetensors", tiny.task(), DEPTH
    ).state_dict()
    tuned = heads.load_head_of_depth(tmp_path / "heads.safetensors", DEPTH)
    assert {"classifier.weight", "bert.pooler.dense.weight"} <= set(tuned)
    for name, tensor in small.items():
        assert torch.equal(tensor, tuned.get(name, model.state_dict()[name]))
    assert not torch.equal(small["classifier.weight"], model.state_dict()["classifier.weight"])


def test_a_cut_of_an_export_that_was_trained_does_not_say_that_it_was_trained(tmp_path):
    tuned_run(tmp_path, "bert", "classification")
    config = tmp_path / "checkpoint/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {TRAINED_KEY: "layers1_heal9"}))
    cut_model(tmp_path / "checkpoint", tiny.task(), LayerSet.top_cut(1)).save_pretrained(tmp_path)
    assert TRAINED_KEY not in json.loads((tmp_path / "config.json").read_text())


def test_labels_go_with_the_model(tmp_path):
    tuned_run(tmp_path, "bert", "classification")
    arguments = (tmp_path / "checkpoint", tmp_path / "heads.safetensors", tiny.task(), DEPTH)
    write_model(cut_to_depth(*arguments), tiny.tokenizer(), tmp_path / "small")
    written = json.loads((tmp_path / "small" / "config.json").read_text())
    assert written["id2label"] == {"0": "yes", "1": "no"}


def test_heads_of_another_model_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tuned_run(tmp_path / "a", "bert", "classification")
    tuned_run(tmp_path / "b", "roberta", "classification")
    with pytest.raises(ValueError, match="which the model does not have"):
        cut_to_depth(
            tmp_path / "a/checkpoint", tmp_path / "b/heads.safetensors", tiny.task(), DEPTH
        )


@pytest.mark.parametrize("kind", ("classification", "multiple-choice"))
def test_measured_are_scores_sizes_and_speeds_of_both(kind, tmp_path):
    model, kept = tuned_run(tmp_path, "bert", kind)
    arguments = (tmp_path / "checkpoint", tmp_path / "heads.safetensors", tiny.task(kind), DEPTH)
    small = cut_to_depth(*arguments)
    write_model(small, tiny.tokenizer(), tmp_path / "small")
    measured = measure(
        tmp_path / "small",
        model,
        tiny.rows(kind),
        tiny.task(kind),
        ForwardSettings(6),
        Sampling(50, 0.9),
    )
    labels = tiny.examples(kind)["label"].to_numpy()
    assert measured.score == pytest.approx((kept["prediction"] == labels).mean())
    assert measured.layers == DEPTH and measured.full_layers == 4
    assert measured.parameters == num_parameters(small)
    assert measured.full_parameters == num_parameters(model)
    assert measured.n_examples == 12
    difference = measured.score - measured.full_score
    assert measured.difference_low <= difference <= measured.difference_high
    assert measured.examples_per_second > 0 and measured.full_examples_per_second > 0


def test_the_card_says_what_was_cut_and_what_it_costs():
    text = model_card("RoBERTa on rte", tiny.task(), MadeFrom(2), 8, MEASURED, 0.95, "A claim.")
    assert text.startswith("---\nlibrary_name: transformers\n")
    for part in (
        "# RoBERTa on rte, cut to 4 of 12 layers",
        "without its top 8 layers: those below are the full model's (seed 2), the head",
        "seed 2",
        "Phang, Liu and Bowman 2021).\n\nA claim.\n",
        "| layers | 12 | 4 |",
        "| parameters | 8,000,000 | 6,000,000 |",
        "| accuracy on 1,200 eval examples | 0.9250 | 0.9000 |",
        "| examples per second (cpu, 8 threads) | 120.0 | 300.0 |",
        "Difference of this run (seed 2): -2.50 points, 95% paired",
        "-5.00 to\n+1.00",
        "25% fewer parameters, 2.50 times the speed",
        "AutoModelForSequenceClassification.from_pretrained",
        "labels yes, no",
        "Style of the head: `transformers`, the class's own.",
    ):
        assert part in text
    text = model_card(
        "RoBERTa on rte", tiny.task(), MadeFrom(2, style="jiant"), 8, MEASURED, 0.95, "A claim."
    )
    assert "Style of the head: `jiant`\n(dropout, dense, tanh, dropout, out_proj on" in text
    whole = replace(MEASURED, layers=12)
    text = model_card("RoBERTa on rte", tiny.task(), MadeFrom(2), 8, whole, 0.95, "A claim.")
    assert "The encoder of the full model (seed 2), nothing cut; the head was tuned" in text
    choices = tiny.task("multiple-choice")
    choice = model_card("BERT on x", choices, MadeFrom(1), 8, MEASURED, 0.95, "")
    assert "AutoModelForMultipleChoice.from_pretrained" in choice


def summary(**tuned):
    row = {
        "configuration": "tuned",
        "layers": 12,
        "n_examples": 1043,
        "seeds": "1 2",
        "claim": "these runs",
        "within_depth": 4,
        "certified_depth": 9,
        "crossfit_difference": -0.012,
        "crossfit_low": -0.02,
        "crossfit_high": 0.001,
        **tuned,
    }
    return pd.DataFrame([{**row, "configuration": "untuned", "certified_depth": 1}, row])


@pytest.mark.parametrize(
    ("target", "tuned", "depth", "words"),
    [
        ("-auto", {}, 9, "95% confidence (1,043 examples, seeds 1 2); a claim about these runs"),
        ("-auto", {"claim": "the recipe"}, 9, "a claim about the recipe."),
        ("-auto", {"certified_depth": 12}, 12, "No smaller depth is certified to lose less than"),
        ("-within", {}, 4, "chose the depth, the mean difference was -1.20 points [-2.00, +0.10]."),
        ("-within", {"within_depth": 12}, 12, "No smaller depth is within 1 point of the full"),
        ("-auto", {"certified_depth": None}, 12, "Every run failed"),
        ("7", {}, 7, "requested by number"),
    ],
)  # fmt: skip
def test_a_target_names_tuneds_depth_and_the_card_what_may_be_said_of_it(
    target, tuned, depth, words
):
    choice = choose(target, summary(**tuned), 0.01, 0.95)
    assert choice.depth == depth and words in choice.claim


@pytest.mark.parametrize("depth", ["0", "13"])
def test_a_target_names_a_depth_that_the_model_has(depth):
    assert choose("12", summary(), 0.01, 0.95).depth == 12
    with pytest.raises(StrataError, match=f"no depth {depth}: the model has depths 1 to 12"):
        choose(depth, summary(), 0.01, 0.95)


@pytest.mark.parametrize(("failed", "chosen"), [((), 3), ((3,), 1), ((3, 1), 2), ((1, 2, 3), 3)])
def test_the_seed_is_the_first_that_did_not_fail(failed, chosen):
    assert choose_seed({s: tiny.metrics(failed=s in failed) for s in (3, 1, 2)}) == chosen
