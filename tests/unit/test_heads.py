"""Heads tuned together against heads tuned one by one, by a plain PyTorch loop."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup

from helpers import tiny
from helpers.heads import (
    DEPTHS,
    SETTINGS,
    dumped,
    every_architecture,
    every_kind,
    head_of,
    learnable,
    one,
    only,
    problem,
    same,
    without_dropout,
)
from strata.analysis import truncation
from strata.analysis.activations import Activations
from strata.evaluation.predictions import decode
from strata.modeling import head_tuning as heads
from strata.modeling.head import Head, head_names
from strata.modeling.inference import predict
from strata.study.settings import ForwardSettings


def tune_one(head, inputs, depth, settings, seed):
    """One head by PyTorch's and Transformers' own parts, without dropout."""
    vectors, labels, task = inputs.vectors[depth].astype(np.float32), inputs.labels, inputs.task
    head = deepcopy(head).train()
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    groups = [
        {"params": [p for p in head.parameters() if p.ndim > 1]},
        {"params": [p for p in head.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        eps=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
    )
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
    rng, order = np.random.default_rng(seed), []
    norms = []
    for _ in range(settings.steps):
        while len(order) < settings.batch_size:
            order += rng.permutation(len(labels)).tolist()
        batch, order = order[: settings.batch_size], order[settings.batch_size :]
        rows = [example * task.choices + c for example in batch for c in range(task.choices)]
        logits = head(torch.from_numpy(vectors[rows]))
        wanted = torch.from_numpy(labels[batch])
        if task.type == "regression":
            loss = functional.mse_loss(logits[:, 0], wanted.float())
        elif task.type == "multiple-choice":
            loss = functional.cross_entropy(logits.view(-1, task.choices), wanted)
        else:
            loss = functional.cross_entropy(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        norms.append(clip_grad_norm_(head.parameters(), settings.max_grad_norm).item())
        optimizer.step()
        schedule.step()
    assert max(norms) > settings.max_grad_norm  # clipping took part
    return {name: p.detach() for name, p in head.named_parameters()}


@every_architecture
@every_kind
def test_tuning_is_that_of_a_plain_loop(architecture, kind):
    """AdamW, clipping, warm-up and decay, head by head; epochs wrap within batches."""
    head, inputs = without_dropout(head_of(architecture, kind)), problem(kind)
    stack = heads.tune_heads(head, inputs, SETTINGS, seed=5)
    for depth in range(DEPTHS):
        same(one(stack, depth), tune_one(head, inputs, depth, SETTINGS, 5))


def test_many_steps_read_the_examples_in_the_same_order():
    """More steps than one window of the stream holds, from a float16 memory map."""
    settings = replace(SETTINGS, steps=150, learning_rate=1e-3)
    head, inputs = without_dropout(head_of()), problem(examples=31)
    inputs = replace(inputs, vectors=inputs.vectors.astype(np.float16))
    stack = heads.tune_heads(head, inputs, settings, seed=2)
    for depth in range(DEPTHS):
        same(one(stack, depth), tune_one(head, inputs, depth, settings, 2), atol=1e-4)


@every_architecture
@every_kind
def test_all_depths_at_once_is_one_by_one(architecture, kind):
    """With dropout: every head sees the mask that it would see alone."""
    head, inputs = head_of(architecture, kind), problem(kind)
    dropping = [m for m in head.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    together = heads.tune_heads(head, inputs, SETTINGS, seed=1)
    for depth in range(DEPTHS):
        copies = heads.Copies([depth], [SETTINGS.learning_rate])
        alone = heads.tune_heads(head, inputs, SETTINGS, 1, copies)
        same(one(together, depth), one(alone, 0))
    still = heads.tune_heads(without_dropout(head), inputs, SETTINGS, seed=1)
    differs = any(not torch.allclose(together[name], still[name]) for name in still)
    assert differs == bool(dropping)


def test_heads_of_different_rates_in_one_call_are_those_of_separate_calls():
    head, inputs = head_of(), problem()
    copies = heads.Copies(slots=[0, 0, 2, 1], rates=[1e-2, 1e-4, 1e-2, 3e-3])
    together = heads.tune_heads(head, inputs, SETTINGS, 3, copies)
    for index, (rate, slot) in enumerate(zip(copies.rates, copies.slots, strict=True)):
        alone = heads.tune_heads(head, inputs, SETTINGS, 3, heads.Copies([slot], [rate]))
        same(one(together, index), one(alone, 0))


def test_tuning_leaves_the_given_head_alone_and_follows_its_seed():
    head, inputs = head_of(), problem()
    before = {name: p.detach().clone() for name, p in head.named_parameters()}
    first, again, other = (heads.tune_heads(head, inputs, SETTINGS, seed) for seed in (1, 1, 2))
    same({name: p.detach() for name, p in head.named_parameters()}, before, atol=0)
    assert not head.training
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.allclose(first[name], other[name]) for name in first)


def test_tuning_learns():
    inputs, head = learnable(), head_of()
    settings = replace(SETTINGS, steps=120, max_grad_norm=1.0, weight_decay=0.01)
    stack = heads.tune_heads(head, only(inputs, rows=slice(60)), settings, seed=0)
    rest = only(inputs, rows=slice(60, None))
    right = (heads.apply_heads(head, stack, rest) == rest.labels).mean(axis=1)
    assert right[1] > 0.9 and right[0] < 0.75


def test_examples_can_be_picked_by_number():
    """For tuning and for predictions, with their own rows and labels."""
    kind = "multiple-choice"
    head, inputs = head_of(kind=kind), problem(kind)
    numbers = np.array([1, 4, 5, 8, 9])
    rows = [3 * example + choice for example in numbers for choice in range(3)]
    picked = replace(inputs, examples=numbers)
    alone = replace(inputs, vectors=inputs.vectors[:, rows], labels=inputs.labels[numbers])
    stack = heads.tune_heads(head, picked, SETTINGS, 1)
    same(stack, heads.tune_heads(head, alone, SETTINGS, 1))
    np.testing.assert_array_equal(
        heads.apply_heads(head, stack, picked), heads.apply_heads(head, stack, alone)
    )


@every_architecture
@every_kind
def test_a_stack_is_applied_head_by_head(architecture, kind):
    """Also in pieces of any size, which never split an example."""
    head, inputs = head_of(architecture, kind), problem(kind)
    stack = heads.tune_heads(head, inputs, SETTINGS, seed=1)
    expected = []
    for depth in range(DEPTHS):
        alone = deepcopy(head).eval()
        alone.load_state_dict(one(stack, depth))
        with torch.no_grad():
            expected.append(decode(alone(torch.from_numpy(inputs.vectors[depth])), inputs.task))
    for rows in (4096, 7):
        found = heads.apply_heads(head, stack, inputs, at_once=rows)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.shape == (DEPTHS, len(inputs.labels))


def test_a_saved_stack_gives_each_depth_its_head(tmp_path):
    """Under the names of the task model's state dict, so that the model can load it."""
    model = tiny.task_model("bert")
    head = Head(model)
    stack = heads.tune_heads(head, problem(), SETTINGS, seed=1)
    heads.save_stack(stack, [2, 4, 7], tmp_path / "heads.safetensors")
    names = head_names(head)
    for index, depth in enumerate((2, 4, 7)):
        loaded = heads.load_head_of_depth(tmp_path / "heads.safetensors", depth)
        assert loaded.keys() <= model.state_dict().keys()
        assert all(torch.equal(loaded[names[name]], stack[name][index]) for name in stack)
    with pytest.raises(ValueError):
        heads.load_head_of_depth(tmp_path / "heads.safetensors", 3)


@every_architecture
@every_kind
def test_untuned_is_the_cut_model_at_every_depth_and_the_full_model_at_the_last(
    architecture, kind, tmp_path
):
    model, task = tiny.task_model(architecture, kind), tiny.task(kind)
    with Activations.open(dumped(tmp_path / "a.h5", model, kind)) as evaluated:
        table = truncation.untuned(evaluated, Head(model), task)
    assert set(table["configuration"]) == {"untuned"}
    assert table["label"].tolist() == 4 * tiny.examples(kind)["label"].tolist()
    for depth, group in table.groupby("depth"):
        cut = tiny.without(model, range(depth + 1, 5))
        expected = predict(cut, tiny.rows(kind), task, ForwardSettings(12))
        np.testing.assert_allclose(group["prediction"], expected, rtol=1e-5, atol=1e-5)
    assert depth == 4
