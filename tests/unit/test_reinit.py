"""New weights and other orders of layers, on every supported architecture except ALBERT."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from helpers import tiny
from strata.modeling.ablations import adapt
from strata.modeling.encoder import Encoder, encoder_layers
from strata.modeling.reinit import is_norm, permutation, permute, reinitialise
from strata.runtime.errors import StrataError
from strata.study.settings import ReinitSettings
from strata.study.variants import Variant

OWN_LAYERS = [name for name in tiny.ARCHITECTURES if name != "albert"]
STD = {"paper": 0.01759, "released_code": 0.000462, "fresh": 0.3}  # 0.3 is the tiny config's
BOUND = {"paper": 0.04, "released_code": 0.0008, "fresh": np.inf}


def changed(before, after):
    """Names of the parameters that differ."""
    old = dict(before.named_parameters())
    return {n for n, p in after.named_parameters() if not torch.equal(p, old[n])}


def names_within(model, layers):
    inside = {id(p) for k in layers for p in encoder_layers(model)[k - 1].parameters()}
    return {name for name, p in model.named_parameters() if id(p) in inside}


@pytest.mark.parametrize("scheme", STD)
@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_weights_have_the_schemes_distribution(architecture, scheme):
    before = tiny.task_model(architecture, layers=6)
    model = deepcopy(before)
    reinitialise(model, range(1, 7), scheme, seed=1)
    for layer, old in zip(encoder_layers(model), encoder_layers(before), strict=True):
        for (name, module), twin in zip(layer.named_modules(), old.modules(), strict=True):
            if is_norm(module):
                assert (module.weight == 1).all() and (module.bias == 0).all(), name
            elif isinstance(module, nn.Linear) and module.bias is not None:
                expected = torch.zeros_like(twin.bias) if scheme == "fresh" else twin.bias
                assert torch.equal(module.bias, expected), name
    weights = torch.cat(
        [
            module.weight.flatten()
            for layer in encoder_layers(model)
            for module in layer.modules()
            if isinstance(module, nn.Linear)
        ]
    )
    # A sample standard deviation of n values is off by 1 / sqrt(2 n), here less than 0.7 %.
    assert weights.std().item() == pytest.approx(STD[scheme], rel=0.03)
    assert weights.abs().max() <= BOUND[scheme]
    assert abs(weights.mean().item()) < 5 * STD[scheme] / len(weights) ** 0.5


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_nothing_outside_the_layers_changes(architecture):
    before = tiny.task_model(architecture)
    model = deepcopy(before)
    reinitialise(model, [2, 3], "fresh", seed=1)
    assert changed(before, model) == names_within(model, [2, 3])


@pytest.mark.parametrize("scheme", STD)
def test_norms_can_be_kept(scheme):
    before = tiny.task_model("bert")
    model = deepcopy(before)
    reinitialise(model, [1, 4], scheme, seed=1, keep_norms=True)
    assert not [name for name in changed(before, model) if "LayerNorm" in name]
    assert changed(before, model)


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_keep_and_reinit_are_complements(architecture):
    before = tiny.task_model(architecture)
    kept, new = deepcopy(before), deepcopy(before)
    settings = ReinitSettings("paper")
    adapt(kept, Variant.parse("keep2-3"), settings, seed=1)
    adapt(new, Variant.parse("reinit2-3"), settings, seed=1)
    # A linear map's bias keeps its value by this scheme: weights and norms tell the layers apart.
    assert changed(before, kept) | changed(before, new) <= names_within(before, range(1, 5))
    assert not changed(before, kept) & changed(before, new)
    every = deepcopy(before)
    adapt(every, Variant.parse("reinit1-4"), settings, seed=1)
    assert changed(before, kept) | changed(before, new) == changed(before, every)


def test_the_seed_draws_the_weights_and_leaves_the_global_stream_alone():
    models = [tiny.task_model("bert") for _ in range(3)]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        reinitialise(model, [1], "paper", seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert not changed(models[0], models[1]) and changed(models[0], models[2])


def test_permutations_are_numpys_and_shared_by_models_of_a_depth():
    assert permutation(12, 1) == (np.random.RandomState(1).permutation(12) + 1).tolist()
    assert sorted(permutation(12, 3)) == list(range(1, 13))
    assert permutation(12, 1) != permutation(12, 2)


@pytest.mark.parametrize("architecture", OWN_LAYERS)
def test_a_permuted_model_computes_what_the_reordered_layers_compute(architecture):
    model = tiny.task_model(architecture)
    inputs = next(tiny.rows().batches(range(8), 8, "cpu"))[1]
    encoder, order = Encoder(model), permutation(4, 2)
    assert order != [1, 2, 3, 4]
    with torch.inference_mode():
        start = encoder.start(inputs)
        expected = start.hidden
        for number in order:
            expected = encoder.run(expected, start, number, number)
        permute(model, 2)
        (*_, found) = Encoder(model).hidden_states(inputs)
        own = model.base_model(**inputs).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["reinit2-3", "permute1", "keep1-2"])
def test_albert_is_refused(text):
    variant = Variant.parse(text)
    with pytest.raises(StrataError, match="shares one layer's weights"):
        adapt(tiny.task_model("albert"), variant, tiny.ablation(variant), seed=1)
