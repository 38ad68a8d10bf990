"""What each variant trains: these parameters, and no others."""

from copy import deepcopy

import pytest
import torch
from peft.tuners.lora import LoraLayer

from helpers import tiny
from strata.modeling.ablations import adapt, merge_adapters
from strata.modeling.adapters import Adapter
from strata.modeling.encoder import Encoder, encoder_layers, trainable_parameters
from strata.modeling.head import Head, head_names
from strata.modeling.inference import predict
from strata.modeling.loading import load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.architectures import ADAPTED, ARCHITECTURES
from strata.study.settings import AdapterSettings, ForwardSettings, ReinitSettings
from strata.study.variants import Variant

OWN_LAYERS = [name for name in tiny.ARCHITECTURES if name != "albert"]


def adapted(architecture, text, kind="classification"):
    model, variant = tiny.task_model(architecture, kind), Variant.parse(text)
    adapt(model, variant, tiny.ablation(variant), seed=1)
    return model


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def of_layers(model, layers):
    inside = {id(p) for k in layers for p in encoder_layers(model)[k - 1].parameters()}
    return {name for name, p in model.named_parameters() if id(p) in inside}


def of_head(model):
    return set(head_names(Head(model)).values())


@pytest.mark.parametrize("architecture", OWN_LAYERS)
@pytest.mark.parametrize(("text", "layers"), [("head3top2", [2, 3]), ("head4top1", [4])])
def test_head_top_trains_the_last_layers_and_the_head(architecture, text, layers):
    model = adapted(architecture, text)
    assert len(encoder_layers(model)) == Variant.parse(text).depth
    assert trained(model) == of_layers(model, layers) | of_head(model)
    assert of_head(model) and not any("embeddings" in name for name in trained(model))


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_probing_trains_the_head_alone_on_the_depth(architecture):
    model = adapted(architecture, "probe2")
    assert trained(model) == of_head(model)
    whole = tiny.task_model(architecture)
    inputs = next(tiny.rows().batches(range(8), 8, "cpu"))[1]
    with torch.inference_mode():
        (*_, last) = Encoder(model).hidden_states(inputs)
        *_, at_depth = (s for k, s in enumerate(Encoder(whole).hidden_states(inputs)) if k <= 2)
    torch.testing.assert_close(last, at_depth)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_lora_trains_adapters_in_every_layer_and_the_head(architecture):
    before = tiny.task_model(architecture)
    model = adapted(architecture, "lora")
    adapters = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert adapters and trained(model) == adapters | of_head(before)
    inputs = next(tiny.rows().batches(range(8), 8, "cpu"))[1]
    with torch.inference_mode():  # adapters start at zero
        torch.testing.assert_close(model.eval()(**inputs).logits, before(**inputs).logits)


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_lora_of_some_layers_leaves_the_others_alone(architecture):
    model = adapted(architecture, "lora2-3")
    adapters = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert adapters and adapters <= of_layers(model, [2, 3])
    assert not adapters & of_layers(model, [1, 4])


# ---------------------------------------------------------------- bottleneck adapters


def norms_of(model):
    kinds = [name for name, module in model.named_modules() if "LayerNorm" in type(module).__name__]
    begin = tuple(f"{name}." for name in kinds)
    return {name for name, _ in model.named_parameters() if name.startswith(begin)}


def adapters_of(model):
    return {name for name, _ in model.named_parameters() if ".adapter." in name}


def logits(model, inputs):
    with torch.inference_mode():
        return model.eval()(**inputs).logits


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_adapters_layer_norms_and_the_head_are_trained(architecture):
    plain, model = tiny.task_model(architecture), adapted(architecture, "adapter")
    assert trained(model) == adapters_of(model) | norms_of(plain) | of_head(plain)
    assert any("embeddings" in name for name in trained(model))  # their layer norm
    layers = 1 if architecture == "albert" else 4
    width, bottleneck = 16, 3
    numbers = {n: p.numel() for n, p in model.named_parameters()}
    added = layers * 2 * (2 * width * bottleneck + width + bottleneck)  # Houlsby et al., 2.1
    assert sum(numbers[name] for name in adapters_of(model)) == added
    rest = sum(dict(plain.named_parameters())[n].numel() for n in norms_of(plain) | of_head(plain))
    assert trainable_parameters(model) == added + rest


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_adapters_of_some_layers_leave_the_others_alone(architecture):
    plain, model = tiny.task_model(architecture), adapted(architecture, "adapter2-3")
    within = of_layers(model, [2, 3])
    assert adapters_of(model) and adapters_of(model) <= within
    assert trained(model) == adapters_of(model) | (norms_of(plain) & within) | of_head(plain)
    assert norms_of(plain) & within


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("kind", ["classification", "multiple-choice"])
def test_adapters_are_nearly_the_identity_at_first(architecture, kind):
    plain, model = tiny.task_model(architecture, kind), adapted(architecture, "adapter", kind)
    inputs = next(tiny.rows(kind).batches(range(8), 8, "cpu"))[1]
    if kind == "multiple-choice":
        inputs = {name: rows[:, None] for name, rows in inputs.items()}
    before, after = logits(plain, inputs), logits(model, inputs)
    torch.testing.assert_close(after, before, rtol=0, atol=5e-3)
    assert not torch.equal(after, before)  # they are there


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("which", [0, 1])
def test_each_adapter_stands_before_the_residual_sum(architecture, which):
    """An adapter with zero output removes its branch of the layer and leaves the residual.

    So layer 1's output is that of a layer whose output projection, weights and bias, is zero.
    """
    projections = {
        "albert": ("albert_layers.0.attention.dense", "albert_layers.0.ffn_output"),
        "distilbert": ("attention.out_lin", "ffn.lin2"),
        "mpnet": ("attention.attn.o", "output.dense"),
    }.get(architecture, ("attention.output.dense", "output.dense"))
    model, plain = adapted(architecture, "adapter"), tiny.task_model(architecture)
    adapter = [m for m in encoder_layers(model)[0].modules() if isinstance(m, Adapter)]
    assert len(adapter) == 2
    adapter[which].forward = torch.zeros_like
    projection = encoder_layers(plain)[0].get_submodule(projections[which])
    with torch.no_grad():
        for parameter in projection.parameters():
            parameter.zero_()
    other = adapter[1 - which]
    other.forward = lambda hidden: hidden
    inputs = next(tiny.rows().batches(range(8), 8, "cpu"))[1]
    first = []
    for each in (model, plain):
        with torch.inference_mode():
            states = Encoder(each).hidden_states(inputs)
            next(states)
            first.append(next(states))
    torch.testing.assert_close(*first)


def test_a_bottleneck_is_at_most_half_as_wide_as_the_model():
    for asked, given in ((64, 8), (3, 3)):
        model, variant = tiny.task_model("bert"), Variant.parse("adapter")
        adapt(model, variant, AdapterSettings(asked), seed=1)
        assert {m.down.out_features for m in model.modules() if isinstance(m, Adapter)} == {given}


def test_a_seed_draws_the_same_adapters_and_nothing_else():
    first, again = (adapted("bert", "adapter").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    down = first["bert.encoder.layer.0.attention.output.dropout.adapter.down.weight"]
    assert 0 < down.abs().max() <= 0.02  # two sigmas
    torch.manual_seed(5)
    expected = torch.rand(1)
    model, variant = tiny.task_model("bert"), Variant.parse("adapter")
    torch.manual_seed(5)
    adapt(model, variant, tiny.ablation(variant), seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_some_of_alberts_layers_cannot_have_adapters():
    with pytest.raises(StrataError, match="'adapter2-3' has no meaning.*shares one layer's"):
        adapted("albert", "adapter2-3")


def test_adapters_go_where_there_are_layers():
    assert set(tiny.ARCHITECTURES) < ADAPTED.keys() < ARCHITECTURES.keys()


# ---------------------------------------------------------------- training


def test_merged_adapters_change_no_prediction():
    model = adapted("bert", "lora").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    inputs = next(tiny.rows().batches(range(8), 8, "cpu"))[1]
    with torch.inference_mode():
        before = model(**inputs).logits
        merge_adapters(model)
        assert all(layer.merged for layer in model.modules() if isinstance(layer, LoraLayer))
        torch.testing.assert_close(model(**inputs).logits, before, rtol=1e-4, atol=1e-4)


def test_frozen_parts_stay_in_eval_mode():
    model = adapted("bert", "head3top1").train()
    modes = [layer.training for layer in encoder_layers(model)]
    assert modes == [False, False, True]
    assert not model.bert.embeddings.dropout.training and model.dropout.training


@pytest.mark.parametrize(
    "text", ["head3top1", "probe2", "lora2-3", "adapter", "adapter2-3", "reinit3-4x5", "permute1"]
)
def test_training_moves_what_is_trained_and_nothing_else(text, tmp_path):
    folder = tiny.save_model(tmp_path / "model", "bert")
    model = load_model(folder, tiny.task(), seed=1)
    variant = Variant.parse(text)
    adapt(model, variant, tiny.ablation(variant), seed=1)
    before = deepcopy(dict(model.named_parameters()))
    wanted = trained(model)
    assert trainable_parameters(model) == sum(before[name].numel() for name in wanted)
    finetune(
        model, tiny.rows(count=40), tiny.rows(count=8), tiny.task(), tiny.training(), 1,
        tmp_path / "history.csv", tmp_path,
    )  # fmt: skip
    moved = {n for n, p in model.named_parameters() if not torch.equal(p.cpu(), before[n])}
    assert moved <= wanted
    # Keys' biases cancel in attention's softmax: their gradient is zero.
    assert not [name for name in wanted - moved if "key.bias" not in name]


@pytest.mark.parametrize("architecture", OWN_LAYERS)
@pytest.mark.parametrize(
    ("text", "layers"),
    [("reinit3-4x5", [3, 4]), ("reinit3-4lnx5", [3, 4]), ("keep2-3x7", [1, 4])],
)
def test_all_of_every_new_layer_is_trained_faster_and_nothing_else(architecture, text, layers):
    """The last layer, too, which the authors' code left out of both groups."""
    model, variant = tiny.task_model(architecture), Variant.parse(text)
    rates = adapt(model, variant, tiny.ablation(variant), seed=1)
    assert set(rates) == of_layers(model, layers)
    assert set(rates.values()) == {float(variant.faster)}
    assert trained(model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("text", ["full", "reinit3-4", "keep2-3ln", "lora", "head3top2"])
def test_without_a_factor_all_is_trained_at_one_rate(text):
    variant = Variant.parse(text)
    assert adapt(tiny.task_model("bert"), variant, tiny.ablation(variant), seed=1) == {}


def test_new_weights_are_the_same_at_any_rate():
    plain, faster = (adapted("bert", text).state_dict() for text in ("reinit2-3", "reinit2-3x5"))
    assert all(torch.equal(plain[name], faster[name]) for name in plain)


def test_layers_the_model_lacks_are_refused():
    with pytest.raises(StrataError, match="'head5top1' names layer 5, but the model has 4 layers"):
        adapted("bert", "head5top1")


@pytest.mark.parametrize("text", ["lora", "adapter", "reinit1-2", "keep1-2"])
def test_settings_of_another_variant_are_refused(text):
    """A run that silently trains the whole model would be mistaken for its ablation."""
    settings = ReinitSettings("paper") if text in ("lora", "adapter") else None
    with pytest.raises(TypeError, match=f"'{text}' does not go with"):
        adapt(tiny.task_model("bert"), Variant.parse(text), settings, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["lora", "adapter", "head3top1"])
def test_the_best_checkpoint_of_a_part_that_was_trained_is_restored(text, tmp_path):
    """With a rate that ruins the model later on, the best evaluation is not the last."""
    folder = tiny.save_model(tmp_path / "model", "bert")
    task, dev, variant = tiny.task(), tiny.rows(count=60, seed=4), Variant.parse(text)
    scores = {}
    for checkpoint in ("last", "best"):
        model = load_model(folder, task, seed=1)
        adapt(model, variant, tiny.ablation(variant), seed=1)
        settings = tiny.training(
            max_steps=60, batch_size=16, learning_rate=0.05, eval_steps=2, checkpoint=checkpoint
        )
        train = tiny.rows(count=300, seed=3)
        finetune(model, train, dev, task, settings, 1, tmp_path / "h.csv", tmp_path)
        predicted = predict(model, dev, task, ForwardSettings(64))
        scores[checkpoint] = (predicted == dev.examples["label"].to_numpy()).mean()
    assert scores["best"] > max(scores["last"], 0.55)
