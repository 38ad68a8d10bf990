"""Every supported model type against Transformers' own models: cut, reloaded, padded, skipped."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
)
from transformers.pytorch_utils import Conv1D

from helpers.model_types import CONFIGS, LAYERS, LENGTHS, model, texts
from strata.analysis.dump import pool
from strata.analysis.skipping import span_logits, spans
from strata.analysis.summary import parameter_count
from strata.data.task import Task
from strata.modeling.ablations import adapt
from strata.modeling.adopt import load_given
from strata.modeling.encoder import (
    LINEAR,
    Encoder,
    encoder_layers,
    final_norm,
    num_parameters,
    set_layers,
    truncate,
)
from strata.modeling.head import Head
from strata.modeling.head_tuning import HeadInputs, apply_heads, head_logits, repeat_head
from strata.modeling.reinit import is_norm, permutation, permute, reinitialise
from strata.modeling.trained_heads import trained_head
from strata.runtime.errors import StrataError
from strata.study.architectures import (
    ADAPTED,
    ARCHITECTURES,
    REFUSED,
    WITH_CHOICES,
    check_supported,
)
from strata.study.plain_heads import PLACES
from strata.study.settings import AdapterSettings, LoraSettings
from strata.study.variants import Variant

every_type = pytest.mark.parametrize("kind", CONFIGS)
# Not ALBERT: it has one layer at every depth, so none can be treated differently.
SEVERAL = [kind for kind in CONFIGS if not ARCHITECTURES[kind.partition(":")[0]].shares_layers]
every_type_of_several_layers = pytest.mark.parametrize("kind", SEVERAL)
TASK = Task("t", "classification", ["a", "b", "c"], "accuracy", 1, {}, {}, {"source": "path:x"})


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def row_of(kind):
    return ARCHITECTURES[kind.partition(":")[0]]


def test_every_row_has_a_model_here():
    assert {kind.partition(":")[0] for kind in CONFIGS} == set(ARCHITECTURES)


@every_type
@torch.no_grad()
def test_a_depths_logits_are_those_of_the_model_cut_there_saved_and_loaded_again(kind, tmp_path):
    """By plain Transformers; so per-layer lists follow, and what heads read is what is read."""
    whole, inputs = model(kind), texts()
    encoder, head = Encoder(whole), Head(whole)
    states = list(encoder.hidden_states(inputs))
    assert len(states) == LAYERS + 1
    close(head(encoder.read(states[-1], inputs)), whole(**inputs).logits)
    for depth in (1, 3):
        truncate(deepcopy(whole), depth).save_pretrained(tmp_path / str(depth))
        cut = AutoModelForSequenceClassification.from_pretrained(tmp_path / str(depth)).eval()
        assert cut.config.num_hidden_layers == depth
        close(head(encoder.read(states[depth], inputs)), cut(**inputs).logits)


@every_type
@torch.no_grad()
def test_states_are_those_of_transformers(kind):
    """Its last one is after the final norm; and every row by itself is as it is in the batch."""
    whole, inputs = model(kind), texts()
    encoder = Encoder(whole)
    states = list(encoder.hidden_states(inputs))
    shown = inputs["attention_mask"].bool()
    last = whole.base_model(**inputs)[0]
    close((states[-1] if encoder.norm is None else encoder.norm(states[-1]))[shown], last[shown])
    for row, length in enumerate(LENGTHS):
        alone = {name: tensor[row : row + 1, :length] for name, tensor in inputs.items()}
        for state, own in zip(states, encoder.hidden_states(alone), strict=True):
            close(state[row, :length], own[0])
            for reading in (encoder.read, encoder.pool):
                close(reading(state, inputs)[row], reading(own, alone)[0])


def reference_without(whole, removed: range, inputs):
    """Logits of Transformers' model without some layers, in memory."""
    cut = deepcopy(whole)
    kept = [number for number in range(1, LAYERS + 1) if number not in removed]
    if ARCHITECTURES[cut.config.model_type].shares_layers:
        cut.config.num_hidden_layers = len(kept)
    else:
        set_layers(cut, kept)
        cut.config.num_hidden_layers = len(kept)
    return cut(**inputs).logits


@every_type
@torch.no_grad()
def test_a_span_that_is_skipped_is_a_model_without_those_layers(kind):
    whole, inputs = model(kind), texts()
    found = span_logits(Encoder(whole), Head(whole), inputs, stack_rows=8)
    assert set(found) == set(spans(LAYERS))
    for first, last in ((1, 1), (2, 3), (3, 3), (2, 4)):
        close(found[first, last], reference_without(whole, range(first, last + 1), inputs))


@every_type
@torch.no_grad()
def test_a_stack_of_heads_is_heads_one_by_one(kind):
    head = Head(model(kind)).eval()
    vectors = torch.randn(2, 5, model(kind).config.hidden_size)
    stack = repeat_head(head, 2)
    for tensor in stack.values():
        tensor[1] += 0.1 * torch.randn_like(tensor[1])
    inputs = HeadInputs(vectors.numpy(), torch.zeros(5).long().numpy(), TASK)
    logits = head_logits(head, stack, inputs)
    assert apply_heads(head, stack, inputs).shape == (2, 5)
    for number in range(2):
        own = deepcopy(head)
        for name, parameter in own.named_parameters():
            parameter.copy_(stack[name][number])
        close(logits[number], own(vectors[number]))


@every_type
def test_what_a_row_says_of_layers_is_so(kind):
    whole, row = model(kind), row_of(kind)
    layers = encoder_layers(whole)
    norms = [m for layer in layers for m in layer.modules() if is_norm(m)]
    linear = [m for layer in layers for m in layer.modules() if isinstance(m, LINEAR)]
    assert norms and linear and (final_norm(whole) is not None) == bool(row.final_norm)
    fresh = AutoModelForSequenceClassification.from_config(whole.config)
    for layer in encoder_layers(fresh):
        for norm in filter(is_norm, layer.modules()):
            if getattr(norm, "weight", None) is not None:
                assert (norm.weight == row.neutral).all()
    assert any(isinstance(m, Conv1D) for m in linear) == (kind == "gpt2")


@every_type_of_several_layers
@pytest.mark.parametrize("scheme", ["paper", "fresh"])
def test_new_weights_are_given_to_the_layers_named_and_to_no_others(kind, scheme):
    whole = model(kind)
    before = deepcopy(whole)
    reinitialise(whole, [2, 4], scheme, seed=1)
    for number, (old, new) in enumerate(
        zip(encoder_layers(before), encoder_layers(whole), strict=True), 1
    ):
        for (name, module), other in zip(old.named_modules(), new.modules(), strict=True):
            weight = getattr(module, "weight", None)
            if not isinstance(module, LINEAR) and not (is_norm(module) and weight is not None):
                continue
            changed = not torch.equal(weight, other.weight)
            assert changed == (number in (2, 4)), (number, name)
            if changed and is_norm(module):
                assert (other.weight == row_of(kind).neutral).all()
            elif changed and scheme == "paper":
                assert other.weight.std() < 0.03


@every_type_of_several_layers
@torch.no_grad()
def test_layers_in_another_order_keep_what_they_are_given(kind):
    row, whole, inputs = row_of(kind), model(kind), texts()
    if row.tied_first:
        with pytest.raises(StrataError, match="cannot change places: its first layer has no"):
            permute(whole, 1)
        return
    encoder, head = Encoder(deepcopy(whole)), Head(whole)
    start = encoder.start(inputs)
    hidden = start.hidden
    for number in permutation(LAYERS, 1):
        hidden = encoder.run(hidden, start, number, number)
    permute(whole, 1)
    close(whole(**inputs).logits, head(encoder.read(hidden, inputs)))


def test_layers_that_their_place_makes_what_they_are_stay_there():
    tied = model("gpt2", scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(StrataError, match="cannot change places: scale_attn_by_inverse_layer_idx"):
        permute(tied, 1)


@every_type
def test_one_step_of_training_reaches_what_a_variant_trains(kind):
    """LoRA, bottleneck adapters (where their places are known), and the head; nothing else."""
    inputs, labels = texts(), torch.tensor([0, 1, 2, 0])
    settings = {"lora": LoraSettings(2, 4, 0.0)}
    if kind.partition(":")[0] in ADAPTED:
        settings["adapter"] = AdapterSettings(4)
    for name, own in settings.items():
        whole = model(kind)
        adapt(whole, Variant.parse(name), own, seed=1)
        whole(**inputs, labels=labels).loss.backward()
        trained = {n for n, p in whole.named_parameters() if p.requires_grad}
        reached = {n for n, p in whole.named_parameters() if p.grad is not None and p.grad.any()}
        assert reached and reached <= trained
        mark = {"lora": "lora_B", "adapter": "adapter.up"}[name]
        marked = [n for n in reached if mark in n]
        layers = 1 if row_of(kind).shares_layers else LAYERS
        assert len(marked) >= 2 * layers and any(mark not in n for n in reached)


def test_adapters_are_refused_where_their_place_is_not_known():
    with pytest.raises(StrataError, match="does not know where bottleneck adapters go in a glm4"):
        adapt(model("glm4"), Variant.parse("adapter"), AdapterSettings(4), seed=1)


@torch.no_grad()
def test_the_last_token_is_the_librarys_own():
    """Where padding and the end of the text are one token, it reads one token earlier."""
    whole, inputs = model("llama"), texts()
    inputs["input_ids"][1, LENGTHS[1] - 1] = whole.config.pad_token_id
    encoder = Encoder(whole)
    states = list(encoder.hidden_states(inputs))
    close(Head(whole)(encoder.read(states[-1], inputs)), whole(**inputs).logits)
    close(encoder.pool(states[-1], inputs)[1], states[-1][1, LENGTHS[1] - 2])


@torch.no_grad()
def test_mean_over_words_is_no_matter_of_the_head():
    encoder, inputs = Encoder(model("modernbert:mean")), texts()
    *_, hidden = encoder.hidden_states(inputs)
    plain = inputs["attention_mask"].bool()
    plain[:, 0] = False
    mean = torch.from_numpy(pool(encoder, hidden, inputs, plain, "mean"))
    close(mean[0], hidden[0, 1 : LENGTHS[0]].mean(0))
    assert not torch.allclose(mean, encoder.pool(hidden, inputs))


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("kind", REFUSED)
def test_types_that_cannot_be_cut_are_refused_with_the_reason(kind):
    with pytest.raises(StrataError) as caught:
        check_supported({"model_type": kind}, "m")
    assert (
        str(caught.value)
        == f"Model 'm' is a {kind}, which Strata does not support: {REFUSED[kind]}."
    )


def test_heads_that_score_every_token_are_refused():
    for config in ({}, {"classifier_pooling": "late"}):
        with pytest.raises(StrataError, match="has classifier_pooling 'late' in its config.json"):
            check_supported({"model_type": "eurobert", **config}, "m")
    check_supported({"model_type": "modernbert"}, "m")


def test_types_with_a_class_for_choices_are_those_of_transformers():
    from transformers import CONFIG_MAPPING, MODEL_FOR_MULTIPLE_CHOICE_MAPPING

    having = MODEL_FOR_MULTIPLE_CHOICE_MAPPING
    assert {kind for kind in ARCHITECTURES if CONFIG_MAPPING[kind] in having} == WITH_CHOICES


def test_the_docs_have_every_row_and_every_refusal():
    text = (Path(__file__).parents[2] / "docs/models.md").read_text()
    for kind in (*ARCHITECTURES, *REFUSED):
        assert f"| `{kind}` |" in text, kind
    for kind, row in ARCHITECTURES.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert [cell == "yes" for cell in cells[5:8]] == [
            kind in WITH_CHOICES, kind in ADAPTED, kind in PLACES,
        ]  # fmt: skip
        assert cells[4] == (", ".join(f"`{name}`" for name in row.lists) or "–")
        assert (cells[3] == "–") == (row.final_norm is None)
    assert (
        f"{len(ARCHITECTURES)} types of models"
        in (Path(__file__).parents[2] / "README.md").read_text()
    )


@every_type
@torch.no_grad()
def test_a_fine_tuned_one_is_adopted_with_its_labels_in_the_tasks_order(kind, tmp_path):
    names = {0: "c", 1: "a", 2: "b"}
    whole, inputs = model(kind), texts()
    whole.config.id2label, whole.config.label2id = names, {n: i for i, n in names.items()}
    whole.save_pretrained(tmp_path)
    adopted = load_given(tmp_path, TASK, "M")
    close(adopted.model(**inputs).logits, whole(**inputs).logits[:, [1, 2, 0]])
    assert trained_head(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"per_layer_config": {"0": {}}}, "has a separate config for some layers"),
        ({"rope_scaling": {"type": "longrope"}}, "longrope in its config.json"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "dynamic in its config.json"),
    ],
)
def test_what_no_cut_model_could_keep_is_refused(config, words):
    with pytest.raises(StrataError) as caught:
        check_supported({"model_type": "llama", **config}, "m")
    assert words in str(caught.value)
    check_supported({"model_type": "llama", "rope_scaling": None}, "m")


@every_type
def test_the_parameters_of_a_cut_model_are_counted_from_its_files(kind, tmp_path):
    whole = model(kind)
    whole.save_pretrained(tmp_path)
    cut = truncate(deepcopy(whole), 2)
    saved = num_parameters(whole) - num_parameters(cut)
    assert parameter_count(tmp_path) - parameter_count(tmp_path, 2) == saved


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_choices_are_scored_by_modernbert_as_it_does(pooling):
    settings = CONFIGS["modernbert"] | {"classifier_pooling": pooling}
    torch.manual_seed(0)
    whole = AutoModelForMultipleChoice.from_config(AutoConfig.for_model("modernbert", **settings))
    encoder, inputs = Encoder(whole.eval()), texts()
    *_, last = encoder.hidden_states(inputs)
    scores = Head(whole)(encoder.read(last, inputs))[:, 0]
    close(scores[None], whole(**{name: tensor[None] for name, tensor in inputs.items()}).logits)
