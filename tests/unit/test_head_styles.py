"""jiant's head on every encoder: against one written out here, cut, loaded, trained, exported."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForMultipleChoice, AutoModelForSequenceClassification

from helpers import tiny
from helpers.heads import (
    DEPTHS,
    SETTINGS,
    STYLES,
    dumped,
    every_architecture,
    every_kind,
    every_style,
    head_of,
    one,
    problem,
    same,
    without_dropout,
)
from strata.analysis import truncation
from strata.analysis.activations import Activations
from strata.analysis.skipping import span_logits
from strata.export.cut import as_plain, cut_model, write_model
from strata.modeling import converged
from strata.modeling import head_tuning as heads
from strata.modeling.ablations import adapt
from strata.modeling.encoder import Encoder, encoder_layers
from strata.modeling.head import Head, head_names, load_head
from strata.modeling.head_styles import HEAD_STYLES, STYLE_KEY, style_of
from strata.modeling.inference import predict, row_logits
from strata.modeling.loading import load_encoder, load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.config import SCHEMA
from strata.study.layer_sets import LayerSet
from strata.study.plain_heads import PLACES, WITH_POOLER
from strata.study.settings import ConvergedSettings, ForwardSettings
from strata.study.variants import Variant

LAYERS = 4
# Each way that a head gets its vector: a pooler, ALBERT's, none; and a class that has jiant's head.
PAIRS = [
    ("bert", "jiant-pooler"),
    ("albert", "jiant-pooler"),
    ("electra", "jiant"),
    ("mpnet", "jiant"),
]
some_pairs = pytest.mark.parametrize(("architecture", "style"), PAIRS)


def styled(architecture, kind="classification", style="jiant", **changes):
    return tiny.task_model(architecture, kind, style=style, **changes)


def batch(kind="classification", count=4):
    features = tiny.rows(kind, count).tokenize(slice(None))[0]
    return dict(tiny.tokenizer().pad(features, return_tensors="pt"))


def written_out(model, vectors, style):
    """jiant's head in NumPy, by the names of its weights; the pooler is dense and tanh."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    vectors = vectors.numpy()
    pooler = [name for name in weights if "pooler" in name]
    assert bool(pooler) == (style == "jiant-pooler" and model.config.model_type in WITH_POOLER)
    if pooler:
        weight, bias = (
            weights[name] for end in ("weight", "bias") for name in pooler if name.endswith(end)
        )
        vectors = np.tanh(vectors @ weight.T + bias)
    dense, out = ([weights[f"classifier.{layer}.{end}"] for end in ("weight", "bias")]
                  for layer in ("dense", "out_proj"))  # fmt: skip
    return np.tanh(vectors @ dense[0].T + dense[1]) @ out[0].T + out[1]


@every_architecture
@every_kind
@every_style
@torch.no_grad()
def test_every_depth_is_the_head_written_out_and_the_model_cut_there(architecture, kind, style):
    model, inputs, task = styled(architecture, kind, style), batch(kind), tiny.task(kind)
    states = list(Encoder(model).hidden_states(inputs))
    head = Head(model).eval()
    for depth, state in enumerate(states):
        logits = head(state[:, 0])
        np.testing.assert_allclose(
            logits, written_out(model, state[:, 0], style), rtol=1e-4, atol=1e-5
        )
        cut = tiny.without(model, range(depth + 1, LAYERS + 1))
        assert_close(logits, row_logits(cut, inputs, task), rtol=1e-5, atol=1e-5)
    assert logits.shape == (len(inputs["input_ids"]), task.num_labels)
    assert_close(logits, row_logits(model, inputs, task), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta", "mpnet"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@torch.no_grad()
def test_three_classes_of_transformers_have_jiants_head(architecture, kind):
    """Dropout included: with the same masks they give the same, and the same loss."""
    own, theirs = tiny.task_model(architecture, kind), styled(architecture, kind)
    theirs.load_state_dict(own.state_dict())
    labels = torch.tensor([1, 0, 1, 1])
    given = batch(kind) | {"labels": labels.float() if kind == "regression" else labels}
    for model in (own, theirs):
        model.train()
    torch.manual_seed(1)
    expected = own(**given)
    torch.manual_seed(1)
    found = theirs(**given)
    assert_close(found.logits, expected.logits)
    assert_close(found.loss, expected.loss)
    torch.manual_seed(2)
    assert not torch.allclose(theirs(**given).logits, expected.logits)  # dropout took part


@torch.no_grad()
def test_choices_are_scored_each_by_itself_and_compared():
    model, inputs = styled("bert", "multiple-choice"), batch("multiple-choice", 4)
    together = {name: tensor.view(4, 3, -1) for name, tensor in inputs.items()}
    labels = torch.tensor([0, 2, 1, 1])
    found = model(**together, labels=labels)
    alone = row_logits(model, inputs, tiny.task("multiple-choice"))
    assert_close(found.logits, alone.view(4, 3))
    expected = functional.cross_entropy(alone.view(4, 3), labels)
    assert_close(found.loss, expected)


# ---------------------------------------------------------------- folders


@every_architecture
@every_style
def test_a_fresh_head_is_the_models_own_draw_on_all_that_the_folder_holds(
    architecture, style, tmp_path
):
    folder, task = tiny.save_model(tmp_path / "model", architecture), tiny.task()
    model = load_model(folder, task, 1, style)
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    loaded = model.base_model.state_dict()
    assert all(torch.equal(loaded[name], pretrained[name]) for name in loaded)
    for layer in (model.classifier.dense, model.classifier.out_proj):
        # The tiny models' initializer_range is 0.3; few weights show their spread roughly.
        assert 0.15 < layer.weight.std() < 0.5 and not layer.bias.any()
    again, other = (load_model(folder, task, seed, style).state_dict() for seed in (1, 2))
    differing = {name for name in again if not torch.equal(again[name], other[name])}
    assert differing == {"classifier.dense.weight", "classifier.out_proj.weight"}
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())

    model.save_pretrained(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())[STYLE_KEY] == style
    run = load_model(tmp_path / "run", task)
    assert style_of(run) == style and run.dtype == torch.float32
    assert all(torch.equal(tensor, again[name]) for name, tensor in run.state_dict().items())


def test_the_style_of_a_run_that_serves_as_a_pretrained_model_is_the_studys(tmp_path):
    folder = tiny.save_model(tmp_path / "model", "bert")
    load_model(folder, tiny.task(), 1, "jiant").save_pretrained(tmp_path / "run")
    own = load_model(tmp_path / "run", tiny.task(), 1, "transformers")
    assert type(own).__name__ == "BertForSequenceClassification"
    own.save_pretrained(tmp_path / "own")
    assert style_of(load_model(tmp_path / "own", tiny.task())) == "transformers"


def test_without_a_style_the_head_is_transformers_own(tmp_path):
    folder = tiny.save_model(tmp_path / "model", "bert")
    model = load_model(folder, tiny.task(), 1)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert style_of(model) == "transformers"
    model.save_pretrained(tmp_path / "run")
    assert STYLE_KEY not in json.loads((tmp_path / "run" / "config.json").read_text())


def test_a_style_that_is_not_known_is_refused(tmp_path):
    folder = tiny.save_model(tmp_path, "bert")
    about = json.loads((folder / "config.json").read_text()) | {STYLE_KEY: "theirs"}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(StrataError, match="style 'theirs'.*known are transformers, jiant, jiant-p"):
        load_model(folder, tiny.task())


@every_architecture
@torch.no_grad()
def test_an_encoder_is_loaded_without_a_head_from_any_run(architecture, tmp_path):
    inputs = batch()
    for style in ("transformers", *STYLES):
        model = styled(architecture, style=style)
        model.save_pretrained(tmp_path / style)
        encoder = load_encoder(tmp_path / style)
        assert encoder.dtype == torch.float32
        states = (Encoder(each).hidden_states(inputs) for each in (model, encoder))
        for expected, state in zip(*states, strict=True):
            assert_close(state, expected)


# ---------------------------------------------------------------- tuned and trained


@some_pairs
@every_kind
def test_all_depths_at_once_is_one_by_one(architecture, style, kind):
    head, inputs = head_of(architecture, kind, style), problem(kind)
    together = heads.tune_heads(head, inputs, SETTINGS, seed=1)
    for depth in range(DEPTHS):
        copies = heads.Copies([depth], [SETTINGS.learning_rate])
        same(one(together, depth), one(heads.tune_heads(head, inputs, SETTINGS, 1, copies), 0))
    dropping = any(isinstance(m, nn.Dropout) and m.p > 0 for m in head.modules())
    still = heads.tune_heads(without_dropout(head), inputs, SETTINGS, seed=1)
    differs = any(not torch.allclose(together[name], still[name]) for name in still)
    assert differs == dropping == (architecture != "albert")  # its hidden_dropout_prob is 0


@every_architecture
@every_style
def test_standardised_vectors_fold_into_the_first_layer_that_reads_them(architecture, style):
    head, inputs = head_of(architecture, style=style), problem(examples=40)
    spreads = np.exp(np.random.default_rng(3).normal(size=(DEPTHS, 1, 16))).astype(np.float32)
    inputs = replace(inputs, vectors=spreads * (inputs.vectors + 3))
    layer = converged.first_linear(head, 16)
    prefix = Head(styled(architecture, style=style)).model.base_model_prefix
    pooler = f"model.{prefix}.pooler" + ("" if architecture == "albert" else ".dense")
    reads_pooler = style == "jiant-pooler" and architecture in WITH_POOLER
    assert layer == (pooler if reads_pooler else "model.classifier.dense")
    settings = replace(SETTINGS, converged=ConvergedSettings([1e-9], 0.2), learning_rate=1e-9)
    # From the run's head, and at a rate that moves nothing, it stays the function that it is.
    found = converged.tune_converged(head, inputs, settings, seed=0, continued=True).stack
    expected = heads.head_logits(head, heads.repeat_head(head, DEPTHS), inputs)
    assert_close(heads.head_logits(head, found, inputs), expected, rtol=1e-4, atol=1e-4)


@some_pairs
@every_kind
def test_untuned_at_the_last_depth_and_no_span_skipped_are_the_full_model(
    architecture, style, kind, tmp_path
):
    model, task = styled(architecture, kind, style), tiny.task(kind)
    with Activations.open(dumped(tmp_path / "a.h5", model, kind)) as evaluated:
        table = truncation.untuned(evaluated, Head(model), task)
    last = table[table["depth"] == LAYERS]["prediction"]
    full = predict(model, tiny.rows(kind), task, ForwardSettings(12))
    np.testing.assert_allclose(last, full, rtol=1e-5, atol=1e-5)
    inputs = batch(kind)
    with torch.no_grad():
        spans = span_logits(Encoder(model), Head(model).eval(), inputs)
        for first, last in ((1, 1), (2, 3), (4, 4)):
            expected = row_logits(tiny.without(model, range(first, last + 1)), inputs, task)
            assert_close(spans[first, last], expected, rtol=1e-4, atol=1e-5)


@some_pairs
def test_variants_train_their_layers_and_this_head(architecture, style):
    for text in ("probe2", "head3top1", "lora"):
        variant = Variant.parse(text)
        if architecture == "albert" and text == "head3top1":
            continue
        model = styled(architecture, style=style)
        of_head = set(head_names(Head(model)).values())
        adapt(model, variant, tiny.ablation(variant), seed=1)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert of_head <= trained and "classifier.dense.weight" in of_head
        rest = trained - of_head
        if text == "lora":
            assert rest and all("lora_" in name for name in rest)
        else:
            own = {id(p) for p in encoder_layers(model)[-1].parameters()}
            last = {name for name, p in model.named_parameters() if id(p) in own}
            assert rest == (last if text == "head3top1" else set())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "regression", "multiple-choice"])
def test_fine_tuning_trains_it_and_keeps_the_best(kind, tmp_path):
    """By the Trainer, which evaluates, keeps and restores its weights as any model's."""
    folder, task = tiny.save_model(tmp_path / "model", "electra"), tiny.task(kind)
    model = load_model(folder, task, 1, "jiant")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    few = tiny.rows(kind, 16, seed=3)  # which are learned by heart
    settings = tiny.training(
        max_steps=60, batch_size=16, learning_rate=3e-3, checkpoint="best", eval_steps=20
    )
    finetune(model, few, few, task, settings, 1, tmp_path / "history.csv", tmp_path / "kept")
    losses = np.genfromtxt(tmp_path / "history.csv", delimiter=",", names=True)["loss"]
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p.cpu(), before[name])}
    assert {"classifier.dense.weight", "classifier.out_proj.weight"} <= moved


def test_a_fresh_head_for_tunedorig_has_the_runs_weights(tmp_path):
    folder = tiny.save_model(tmp_path / "model", "bert")
    head, model = (load(folder, tiny.task(), 5, "jiant-pooler") for load in (load_head, load_model))
    same(
        {name: p.detach() for name, p in head.named_parameters()},
        {name: p.detach() for name, p in Head(model).named_parameters()},
        atol=0,
    )


# ---------------------------------------------------------------- exports


def refused(architecture, kind, style):
    """What no plain class can hold."""
    if style == "jiant-pooler" and architecture in WITH_POOLER:
        return "no class of Transformers has both that and a pooler"
    if architecture == "distilbert":
        return "has relu where that has tanh"
    if architecture == "electra" and kind != "multiple-choice":
        return "ElectraForSequenceClassification has gelu where that has tanh"
    return None


@every_architecture
@every_kind
@every_style
@torch.no_grad()
def test_a_plain_class_computes_the_same_or_the_export_is_refused(
    architecture, kind, style, tmp_path
):
    model, task, inputs = styled(architecture, kind, style), tiny.task(kind), batch(kind)
    if reason := refused(architecture, kind, style):
        with pytest.raises(StrataError, match=f"'{style}' on {architecture} .*{reason}.*style to"):
            as_plain(model, task)
        return
    write_model(as_plain(model, task), tiny.tokenizer(), tmp_path)
    auto = AutoModelForMultipleChoice if task.choices > 1 else AutoModelForSequenceClassification
    plain = auto.from_pretrained(tmp_path).eval()
    assert type(plain).__module__.startswith("transformers.models.")
    assert STYLE_KEY not in json.loads((tmp_path / "config.json").read_text())
    expected = row_logits(model, inputs, task)
    assert_close(row_logits(plain, inputs, task), expected, rtol=1e-5, atol=1e-5)
    assert style_of(load_model(tmp_path, task)) == "transformers"


@pytest.mark.parametrize("architecture", ["albert", "deberta-v2"])
@torch.no_grad()
def test_a_cut_run_is_exported_with_the_head_tuned_at_its_depth(architecture, tmp_path):
    model, task, inputs = styled(architecture), tiny.task(), batch()
    model.save_pretrained(tmp_path / "run")
    with torch.enable_grad(), Activations.open(dumped(tmp_path / "a.h5", model, task.type)) as file:
        given = heads.HeadInputs(file.vectors(), file.examples()["label"].to_numpy(), task)
        stack = heads.tune_heads(Head(model), given, SETTINGS, seed=1)
        heads.save_stack(stack, file.depths(), tmp_path / "heads.safetensors")
        expected = heads.head_logits(Head(model), stack, given)[1]
    small = cut_model(
        tmp_path / "run",
        task,
        LayerSet.top_cut(2),
        heads.load_head_of_depth(tmp_path / "heads.safetensors", 2),
    )
    write_model(small, tiny.tokenizer(), tmp_path / "small")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small").eval()
    assert plain.config.num_hidden_layers == 2
    assert_close(row_logits(plain, inputs, task), expected[:4], rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- tables


def test_the_schema_allows_the_styles_that_there_are():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    assert schema["$defs"]["heads"]["properties"]["style"]["enum"] == list(HEAD_STYLES)


def test_every_architecture_is_said_to_have_a_pooler_or_not_and_where_its_head_may_go():
    assert sorted(PLACES) == sorted(tiny.ARCHITECTURES)
    having = {
        name
        for name in tiny.ARCHITECTURES
        if hasattr(AutoModel.from_config(tiny.config(name)), "pooler")
    }
    assert having == WITH_POOLER
