"""Heads tuned to convergence: their inputs, their rates, and whether they are better."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForMultipleChoice

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
)
from strata.analysis import truncation
from strata.analysis.activations import Activations
from strata.evaluation.predictions import score_table
from strata.modeling import converged
from strata.modeling import head_tuning as heads
from strata.modeling.head import Head
from strata.runtime.errors import StrataError
from strata.study.settings import ConvergedSettings

LONGER = replace(SETTINGS, steps=80, max_grad_norm=1.0)


def converging(rates, held_out=0.25, **changes):
    return replace(LONGER, converged=ConvergedSettings(rates, held_out), **changes)


def tiny_spread():
    """One depth that shows the label, by a thousandth of what its vectors have in common."""
    inputs = only(learnable(), depths=slice(1, None))
    return replace(inputs, vectors=5 + inputs.vectors * 1e-3)


def right(head, stack, inputs):
    return (heads.apply_heads(head, stack, inputs) == inputs.labels).mean(axis=1)


def outputs(head, stack, vectors):
    """Outputs of a stack's heads, one after the other, with plain PyTorch."""
    found = []
    for depth, rows in enumerate(vectors):
        with torch.no_grad():
            rows = torch.from_numpy(np.asarray(rows, dtype=np.float32))
            found.append(torch.func.functional_call(head.eval(), one(stack, depth), (rows,)))
    return torch.stack(found)


def offset(kind="classification"):
    """Vectors whose features have different means and spreads, also at each depth."""
    inputs, rng = problem(kind, examples=40), np.random.default_rng(3)
    spreads = np.exp(rng.normal(size=(DEPTHS, 1, 16)))
    means = 30 * spreads * rng.normal(size=(DEPTHS, 1, 16))
    return replace(inputs, vectors=(means + spreads * inputs.vectors).astype(np.float32))


def standardised(inputs):
    standard = heads.Standardizer.of(inputs.vectors)
    return standard, (inputs.vectors - standard.mean) / standard.deviation


@every_architecture
@every_kind
def test_heads_of_standardised_vectors_become_the_same_functions_of_vectors_as_they_are(
    architecture, kind
):
    head, inputs = head_of(architecture, kind), offset(kind)
    standard, vectors = standardised(inputs)
    stack = heads.tune_heads(head, replace(inputs, standard=standard), SETTINGS, seed=1)
    layer = converged.first_linear(head, 16)
    folded = converged.fold(stack, layer, standard)
    # Means of 30 times the spread cost a digit and a half of float32's seven.
    expected = outputs(head, stack, vectors)
    assert_close(outputs(head, folded, inputs.vectors), expected, rtol=1e-4, atol=1e-4)
    changed = [name for name in stack if not torch.equal(stack[name], folded[name])]
    assert changed == [f"{layer}.weight", f"{layer}.bias"]


@every_architecture
@every_kind
def test_a_runs_head_starts_on_standardised_vectors_as_the_function_that_it_is(architecture, kind):
    head, inputs = head_of(architecture, kind), offset(kind)
    standard, vectors = standardised(inputs)
    plain = heads.repeat_head(head, DEPTHS)
    layer = converged.first_linear(head, 16)
    start = converged.unfold(plain, layer, standard)
    expected = outputs(head, plain, inputs.vectors)
    assert_close(outputs(head, start, vectors), expected, rtol=1e-4, atol=1e-4)
    # It stays that way at a rate that moves nothing.
    still = converging([1e-9], learning_rate=1e-9)
    found = converged.tune_converged(head, inputs, still, seed=0, continued=True)
    assert_close(outputs(head, found.stack, inputs.vectors), expected, rtol=1e-4, atol=1e-4)


def test_a_head_without_a_linear_layer_that_reads_the_vectors_is_refused():
    """ELECTRA for multiple choice can begin with an activation."""
    config = tiny.config("electra")
    config.summary_use_proj = False
    model = AutoModelForMultipleChoice.from_config(config)
    with pytest.raises(StrataError, match="does not begin with a linear layer.*converged: null"):
        converged.tune_both(Head(model), problem("multiple-choice"), converging([1e-3]), 0)


@pytest.mark.parametrize("rates", [[1e-7, 1e-2], [1e-2, 1e-7]])
def test_the_rate_that_does_best_on_held_out_examples_is_taken(rates):
    """A rate of 1e-7 moves nothing, whatever its place in the list; the last tuning sees all."""
    inputs, head = only(learnable(), depths=slice(1, None)), head_of()
    found = converged.tune_converged(head, inputs, converging(rates), seed=0)
    assert found.rates == [1e-2]
    standard, settings = heads.Standardizer.of(inputs.vectors), replace(LONGER, learning_rate=1e-2)
    expected = heads.tune_heads(head, replace(inputs, standard=standard), settings, 0)
    same(found.stack, converged.fold(expected, "model.bert.pooler.dense", standard))


def test_of_equal_rates_the_smallest_is_taken():
    found = converged.tune_converged(head_of(), learnable(), converging([1e-8, 1e-9]), seed=0)
    assert found.rates == [1e-9, 1e-9] and found.grid_ends == ["lowest", "lowest"]


def test_rates_at_the_ends_of_the_grid_are_flagged():
    found = converged.Converged({}, [1e-3, 1e-4, 3e-4], [1e-4, 3e-4, 1e-3], np.zeros(3), 10)
    assert found.grid_ends == ["highest", "lowest", ""]
    assert replace(found, rates=[1e-3], grid=[1e-3]).grid_ends == ["only"]


def test_heads_tuned_to_convergence_read_a_tiny_spread_on_a_large_mean_and_are_taken():
    """CLS vectors of low depths: as they are, no head gets anywhere; standardised, it does."""
    head, inputs = head_of(), tiny_spread()
    found = converged.tune_both(head, inputs, converging([1e-3, 1e-2]), seed=0)
    assert found.takes_converged.tolist() == [True]
    assert found.plain_withheld[0] < 0.75 and found.converged.withheld[0] > 0.8
    assert right(head, found.plain, inputs) < 0.75
    assert right(head, found.best, inputs) > 0.9
    same(found.best, found.converged.stack, atol=0)


def test_plain_heads_are_taken_where_they_are_better():
    """No rate of the grid moves a head."""
    head, inputs = head_of(), only(learnable(), depths=slice(1, None))
    settings = converging([1e-8, 1e-9], learning_rate=1e-2)
    found = converged.tune_both(head, inputs, settings, seed=0)
    assert found.takes_converged.tolist() == [False]
    same(found.best, found.plain, atol=0)
    same(found.plain, heads.tune_heads(head, inputs, settings, 0))


def test_each_depth_has_its_own_better_head():
    """The first is loud and clear as it is; the second needs standardised inputs."""
    head, clear, small = head_of(), learnable(), tiny_spread()
    loud = clear.vectors[1:] * np.where(np.arange(16) == 0, 1, 0.01).astype(np.float32)
    inputs = replace(clear, vectors=np.concatenate([loud, small.vectors]))
    settings = converging([1e-3, 1e-2], learning_rate=1e-2)
    found = converged.tune_both(head, inputs, settings, seed=0)
    assert found.takes_converged.tolist() == [False, True]
    same(one(found.best, 0), one(found.plain, 0), atol=0)
    same(one(found.best, 1), one(found.converged.stack, 1), atol=0)


def test_of_equal_heads_the_plain_one_is_taken():
    settings = converging([1e-9], learning_rate=1e-9)
    found = converged.tune_both(head_of(), learnable(), settings, seed=0)
    np.testing.assert_array_equal(found.converged.withheld, found.plain_withheld)
    assert not found.takes_converged.any()


def test_no_rate_is_judged_on_the_examples_that_chose_it(monkeypatch):
    """With heads that guess, the best of eight rates has no advantage over the plain recipe."""
    depths, rng = 300, np.random.default_rng(0)
    labels = rng.integers(2, size=100)
    vectors = rng.normal(size=(depths, 100, 16)).astype(np.float32)
    inputs = heads.HeadInputs(vectors, labels, tiny.task())

    def guess(head, stack, inputs, slots):
        return rng.integers(2, size=(len(slots), len(inputs.numbers)))

    monkeypatch.setattr(converged, "apply_heads", guess)
    rates = [1e-5 * 2**power for power in range(8)]
    found = converged.tune_both(head_of(), inputs, converging(rates, 0.4, steps=1), seed=0)
    # 300 depths of 40 examples: a standard error of 0.005 (the rates' best would score 0.61).
    assert abs(found.converged.withheld.mean() - 0.5) < 0.02
    assert abs(found.plain_withheld.mean() - 0.5) < 0.02
    assert 0.36 < found.takes_converged.mean() < 0.55


@pytest.mark.parametrize(("share", "count"), [(0.001, 2), (0.5, 2), (0.999, 3)])
def test_some_examples_are_held_out_and_some_are_not(share, count):
    few = only(learnable(), rows=slice(4))
    settings = converging([1e-3, 1e-2], share, steps=3)
    found = converged.tune_both(head_of(), few, settings, seed=0)
    assert found.converged.n_withheld == count
    assert len(found.converged.rates) == len(found.takes_converged) == 2


def inputs_of(activations, task):
    labels = activations.examples()["label"].to_numpy()
    return heads.HeadInputs(activations.vectors(), labels, task)


@every_kind
def test_tuned_heads_are_tuned_on_one_file_and_score_another(kind, tmp_path):
    model, task = tiny.task_model("bert", kind), tiny.task(kind)
    settings = converging([1e-3, 1e-2], steps=12)
    with (
        Activations.open(dumped(tmp_path / "train.h5", model, kind, 24, seed=1)) as trained,
        Activations.open(dumped(tmp_path / "eval.h5", model, kind, 8, seed=2)) as evaluated,
    ):
        arguments = truncation.Splits(trained, evaluated, task), Head(model), settings, 1
        made, fresh = truncation.tuned(*arguments), truncation.tuned_orig(*arguments)
        inputs, rows = inputs_of(trained, task), inputs_of(evaluated, task)
        both = converged.tune_both(Head(model), inputs, settings, 1)
        other = converged.tune_converged(Head(model), inputs, settings, 1)
        stacks = {
            "tuned": heads.tune_heads(Head(model), inputs, settings, 1),
            "tuned-converged": both.converged.stack,
            "tuned-best": both.best,
            "tuned-orig": both.plain,
            "tuned-orig-converged": other.stack,
        }
        predicted = {
            name: heads.apply_heads(Head(model), stack, rows) for name, stack in stacks.items()
        }
    same(made.heads, both.best)
    assert list(made.predictions["configuration"].unique()) == list(stacks)[:3]
    assert list(fresh.predictions["configuration"].unique()) == list(stacks)[3:]
    for name, predictions in predicted.items():
        table = (fresh if "orig" in name else made).predictions
        table = table[table["configuration"] == name]
        np.testing.assert_allclose(table["prediction"], predictions.ravel(), rtol=1e-5, atol=1e-5)
        assert table["depth"].tolist() == [depth for depth in (1, 2, 3, 4) for _ in range(8)]
        assert table["example_id"].tolist() == 4 * list(range(8))
        assert table["label"].tolist() == 4 * rows.labels.tolist()

    scores = made.scores(task, 5)
    assert (scores["n_examples"] == 8).all() and (scores["n"] == 8 * task.choices).all()
    assert (scores["seed"] == 5).all()
    np.testing.assert_array_equal(scores["value"], score_table(made.predictions, task)["value"])
    scores = scores.set_index("configuration")
    plain, twin, best = (scores.loc[name] for name in list(stacks)[:3])
    assert (plain["learning_rate"] == settings.learning_rate).all()
    assert twin["learning_rate"].tolist() == both.converged.rates
    assert twin["grid_end"].tolist() == both.converged.grid_ends
    np.testing.assert_allclose(plain["withheld"], both.plain_withheld)
    np.testing.assert_allclose(twin["withheld"], both.converged.withheld)
    assert (scores["n_withheld"] == 6).all()
    taken = np.where(both.takes_converged, "tuned-converged", "tuned")
    assert best["recipe"].tolist() == taken.tolist()
    for column in ("value", "learning_rate", "withheld"):
        expected = np.where(both.takes_converged, twin[column], plain[column])
        np.testing.assert_array_equal(best[column], expected)


def test_without_settings_for_convergence_there_is_no_twin(tmp_path):
    model, task = tiny.task_model("bert"), tiny.task()
    with Activations.open(dumped(tmp_path / "a.h5", model, "classification")) as file:
        arguments = truncation.Splits(file, file, task), Head(model), SETTINGS, 1
        made, fresh = truncation.tuned(*arguments), truncation.tuned_orig(*arguments)
        expected = heads.tune_heads(Head(model), inputs_of(file, task), SETTINGS, 1)
    same(made.heads, expected)
    assert set(fresh.predictions["configuration"]) == {"tuned-orig"}
    tables = dict(tuple(made.predictions.groupby("configuration")))
    assert set(tables) == {"tuned", "tuned-best"}
    assert (tables["tuned"]["prediction"].values == tables["tuned-best"]["prediction"].values).all()
    scores = made.scores(task, 1)
    assert (scores["recipe"] == "tuned").all() and scores["withheld"].isna().all()
