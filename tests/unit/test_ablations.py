"""What each variant trains: these parameters, and no others."""

from copy import deepcopy

import pytest
import torch
from peft.tuners.lora import LoraLayer

from helpers import tiny
from strata.modeling.ablations import adapt, merge_adapters, trainable_parameters
from strata.modeling.encoder import Encoder, encoder_layers
from strata.modeling.head import Head, head_names
from strata.modeling.inference import predict
from strata.modeling.loading import load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.settings import ForwardSettings, ReinitSettings
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
    with torch.inference_mode():  # adapters begin at zero
        torch.testing.assert_close(model.eval()(**inputs).logits, before(**inputs).logits)


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_lora_of_some_layers_leaves_the_others_alone(architecture):
    model = adapted(architecture, "lora2-3")
    adapters = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert adapters and adapters <= of_layers(model, [2, 3])
    assert not adapters & of_layers(model, [1, 4])


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


@pytest.mark.parametrize("text", ["head3top1", "probe2", "lora2-3", "reinit3-4", "permute1"])
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


def test_layers_the_model_lacks_are_refused():
    with pytest.raises(StrataError, match="'head5top1' names layer 5, but the model has 4 layers"):
        adapted("bert", "head5top1")


@pytest.mark.parametrize("text", ["lora", "reinit1-2", "keep1-2"])
def test_settings_of_another_variant_are_refused(text):
    """A run that silently trains all of the model would pass for its ablation."""
    settings = ReinitSettings("paper") if text == "lora" else None
    with pytest.raises(TypeError, match=f"'{text}' does not go with"):
        adapt(tiny.task_model("bert"), Variant.parse(text), settings, seed=1)


@pytest.mark.parametrize("text", ["lora", "head3top1"])
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
