"""Models that are trained after a cut: names, plans, recipes, losses, starting weights."""

from copy import deepcopy
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import model_types, tiny
from helpers.configs import PAPER
from strata.data.parts import CHOOSE, JUDGE
from strata.modeling.cut_training import answers_of_cut, cut_before_training
from strata.modeling.distillation import distillation_loss, learn_from, unlearn
from strata.modeling.encoder import Encoder
from strata.modeling.inference import all_logits
from strata.modeling.loading import load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.layer_sets import LayerSet
from strata.study.recipes import cut_training_settings, cut_ways
from strata.study.settings import DistillationSettings, ForwardSettings
from strata.study.trained_cuts import WAYS, TrainedCut, trained_cuts

NAMES = {
    "layers1-8+12_heal500": ("heal", "1-8+12", 500),
    "layers2_distil1": ("distil", "2", 1),
    "cut1-6_tune900": ("cut-tune", "1-6", 900),
    "cut1+3_distil20": ("cut-distil", "1+3", 20),
}
MIXED = DistillationSettings(temperature=3.0, labels=0.25, states=0.5)
KINDS = ("classification", "regression", "multiple-choice")


# ---------------------------------------------------------------- names and plans


@pytest.mark.parametrize("text", NAMES)
def test_a_name_parses_and_prints_back(text):
    way, kept, steps = NAMES[text]
    cut = TrainedCut.parse(text)
    assert (cut.way, str(cut.kept), cut.steps) == (way, kept, steps) and str(cut) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("layers1-8_tune500", "expected 'layers1-8_heal500'"),
        ("cut1-8_heal500", "expected 'layers1-8_heal500'"),
        ("layers1-8_heal0", "expected 'layers1-8_heal500'"),
        ("layers1-8", "expected 'layers1-8_heal500'"),
        ("layers1+2_heal5", "must be written '1-2'"),
        ("cut3-2_tune5", "out of order"),
    ],
)
def test_what_is_no_name_is_refused_and_why(text, what):
    with pytest.raises(ValueError, match=what):
        TrainedCut.parse(text)


SETTINGS = {
    "sizes": [2, 3],
    "sets": ["top", "best"],
    "ways": {"heal": [10], "distil": [], "cut-tune": [10, 30]},
}
ROWS = [
    ("top", 3, "1-3", 0.7, 0.5), ("greedy", 3, "1-2+4", 0.9, 0.6), ("span", 3, "1+3-4", 0.9, 0.5),
    ("top", 2, "1-2", 0.8, 0.4), ("greedy", 2, "2+4", 0.8, 0.5), ("top", 1, "1", 0.5, 0.7),
]  # fmt: skip


@pytest.fixture
def sets(tmp_path):
    table = pd.DataFrame(ROWS, columns=["method", "size", "layers", "score", "loss"])
    table.to_csv(tmp_path / "sets.csv", index=False)
    return tmp_path / "sets.csv"


def planned(table, *ways, **changes) -> list[str]:
    return [str(cut) for cut in trained_cuts(SETTINGS | changes, table, *ways)]


def test_the_best_set_of_a_size_and_the_top_cut_are_trained_in_every_way_once(sets):
    assert planned(sets) == [
        "layers1-3_heal10", "cut1-3_tune10", "cut1-3_tune30",
        "layers1+3-4_heal10", "cut1+3-4_tune10", "cut1+3-4_tune30",
        "layers1-2_heal10", "cut1-2_tune10", "cut1-2_tune30",
    ]  # fmt: skip
    assert planned(sets, ["heal"], sizes=[2]) == ["layers1-2_heal10"]
    # All layers are the whole model, trained as long.
    assert planned(sets, sizes=[4]) == ["layers1-4_heal10", "cut1-4_tune10", "cut1-4_tune30"]


def test_sizes_that_a_model_has_not_and_methods_without_a_set_are_refused(sets):
    with pytest.raises(StrataError, match="sizes: 5, but the model has 4 layers"):
        planned(sets, sizes=[5])
    with pytest.raises(StrataError, match="no set of 1 layers was found by greedy, every"):
        planned(sets, sizes=[1], sets=["greedy", "every"])


def test_a_size_of_another_model_is_left_out_and_said(sets, capsys):
    assert planned(sets, ["heal"], sizes=[5, 2]) == ["layers1-2_heal10"]
    assert "5 is left out, as the model has 4 layers" in capsys.readouterr().out


def test_where_only_the_top_can_be_cut_that_is_trained_whatever_method_is_wanted(sets, tmp_path):
    """ALBERT's layers share weights: a set of them is a number of layers."""
    table = pd.read_csv(sets, dtype={"layers": str})
    table[table["method"] == "top"].to_csv(tmp_path / "sets.csv", index=False)
    found = planned(tmp_path / "sets.csv", ["heal"], sizes=[3], sets=["greedy"])
    assert found == ["layers1-3_heal10"]


def test_the_recipe_is_the_runs_for_the_steps_of_the_name():
    config = deepcopy(PAPER)
    cut = TrainedCut.parse("layers1-6_heal500")
    full = cut_training_settings(config, "roberta", "rte", cut)
    assert (full["max_steps"], full["warmup_steps"], full["epochs"]) == (500, 50, None)
    assert full["learning_rate"] == config["training"]["learning_rate"]
    config["variants"] |= {"*_heal*": {"learning_rate": 3e-5, "warmup_steps": 7}}
    own = cut_training_settings(config, "roberta", "rte", cut)
    assert (own["learning_rate"], own["warmup_steps"], own["max_steps"]) == (3e-5, 7, 500)
    other = cut_training_settings(config, "roberta", "rte", TrainedCut.parse("cut1-6_tune100"))
    assert other["warmup_steps"] == 10 and other["learning_rate"] == full["learning_rate"]
    # The best checkpoint would be chosen on eval examples, which judge.
    config["training"] |= {"epochs": 3, "checkpoint": "best"}
    assert cut_training_settings(config, "roberta", "rte", cut)["checkpoint"] == "last"
    assert cut_training_settings(config, "roberta", "rte", cut)["epochs"] is None


def test_a_given_model_without_its_encoder_can_only_be_healed():
    config = deepcopy(PAPER)
    assert cut_ways(config, "roberta") == list(WAYS)
    config["models"]["mine"] = {"checkpoints": [{"source": "path:x"}]}
    assert cut_ways(config, "mine") == ["heal", "distil"]
    config["models"]["mine"]["pretrained"] = {"source": "path:y"}
    assert cut_ways(config, "mine") == list(WAYS)


# ---------------------------------------------------------------- the loss


def test_the_loss_is_that_of_hinton_and_others_by_an_independent_formula():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 5, 3))
    softened = [np.exp(z / 4) / np.exp(z / 4).sum(1, keepdims=True) for z in (student, teacher)]
    expected = 16 * np.mean((softened[1] * np.log(softened[1] / softened[0])).sum(1))
    found = distillation_loss(*map(torch.tensor, (student, teacher)), tiny.task(), 4.0)
    assert float(found) == pytest.approx(expected, rel=1e-9)
    regression = distillation_loss(
        torch.tensor(student[:, :1]), torch.tensor(teacher[:, :1]), tiny.task("regression"), 4.0
    )
    assert float(regression) == pytest.approx(np.mean((student[:, 0] - teacher[:, 0]) ** 2))


def labelled(kind: str) -> dict[str, torch.Tensor]:
    rows = tiny.rows(kind, 6, seed=3)
    _, inputs, _ = next(rows.batches(range(len(rows)), 64, "cpu"))
    # In the batch's order, which is by length: labels are made up, so it does not matter.
    labels = torch.arange(6) % 2 if kind != "regression" else torch.linspace(-1, 1, 6)
    if kind == "multiple-choice":
        inputs = {name: t.unflatten(0, (6, rows.choices)) for name, t in inputs.items()}
    return inputs | {"labels": labels}


def two(name: str, kind: str = "classification") -> list:
    """Two models of a type, of different weights."""
    if name in ("modernbert:mean", "llama"):
        return [model_types.model(name, seed).eval() for seed in (1, 2)]
    return [tiny.task_model(name, kind, seed=seed) for seed in (1, 2)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *product(("bert", "distilbert", "albert"), KINDS),
        ("modernbert:mean", "classification"),
        ("llama", "classification"),
    ],
)
def test_a_model_that_learns_from_another_has_the_loss_of_the_formula(name, kind):
    """On labels, answers and what heads read, each taken from the models' own outputs."""
    student, teacher = two(name, kind)
    inputs, task = labelled(kind), tiny.task(kind)
    plain = [model(**inputs) for model in (student, teacher)]
    learn_from(student, teacher, task, MIXED)
    out = student(**inputs)
    flat = {k: t.flatten(0, 1) if t.ndim == 3 else t for k, t in inputs.items() if k != "labels"}
    read = [Encoder(model).pool(model.base_model(**flat)[0], flat) for model in (student, teacher)]
    states = torch.mean((read[0] - read[1]) ** 2)
    answers = distillation_loss(plain[0].logits, plain[1].logits, task, 3.0)
    expected = 0.25 * plain[0].loss + 0.75 * answers + 0.5 * states
    torch.testing.assert_close(out.loss, expected)
    torch.testing.assert_close(out.logits, plain[0].logits)
    unlearn(student)
    torch.testing.assert_close(student(**inputs).loss, plain[0].loss)


def test_the_teacher_learns_nothing_and_is_in_no_checkpoint():
    student, teacher = two("bert")
    before, names = deepcopy(teacher.state_dict()), set(student.state_dict())
    learn_from(student.train(), teacher.train(), tiny.task(), MIXED)
    out = student(**labelled("classification"))
    out.loss.backward()
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert student.training and all(p.grad is not None for p in student.classifier.parameters())
    assert set(student.state_dict()) == names
    assert all(torch.equal(before[name], t) for name, t in teacher.state_dict().items())


# ---------------------------------------------------------------- where they begin


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A pretrained encoder, and a fine-tuned model of four layers."""
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / "encoder", "bert")
    tuned = tiny.task_model("bert", seed=5)
    tuned.save_pretrained(folder / "tuned")
    return folder


def begun(folders, name: str, **changes):
    cut = TrainedCut.parse(name)
    model = load_model(folders / "encoder", tiny.task(), seed=1)
    full = folders / "tuned" if cut.about.needs_full else None
    cut_before_training(model, cut, full, tiny.task(), replace(MIXED, **changes))
    return model


def test_healing_begins_with_the_fine_tuned_layers_and_head(folders):
    tuned = load_model(folders / "tuned", tiny.task())
    model = begun(folders, "layers1+4_heal10")
    assert model.config.num_hidden_layers == 2
    for own, place in zip(model.bert.encoder.layer, (0, 3), strict=True):
        for name, tensor in own.state_dict().items():
            assert torch.equal(tensor, tuned.bert.encoder.layer[place].state_dict()[name])
    assert torch.equal(model.classifier.weight, tuned.classifier.weight)


def test_cutting_first_begins_with_the_pretrained_layers_and_the_runs_new_head(folders):
    model = begun(folders, "cut2-3_tune10")
    plain = load_model(folders / "encoder", tiny.task(), seed=1)
    for own, place in zip(model.bert.encoder.layer, (1, 2), strict=True):
        assert torch.equal(
            own.output.dense.weight, plain.bert.encoder.layer[place].output.dense.weight
        )
    assert torch.equal(model.classifier.weight, plain.classifier.weight)


def test_layers_that_there_are_not_are_refused(folders):
    with pytest.raises(StrataError, match="names layer 5, but the model has 4 layers"):
        begun(folders, "layers1+5_heal10")


def train(model, folder, at=None, monkeypatch=None, steps=12):
    rows = tiny.rows(count=40, seed=1)
    settings = tiny.training(max_steps=steps, warmup_steps=2)
    folder.mkdir(exist_ok=True)
    return finetune(
        model, rows, tiny.rows(count=12, seed=2), tiny.task(), settings, 1,
        folder / "history.csv", folder, 1e-9,
    )  # fmt: skip


@pytest.mark.slow
def test_a_distillation_that_is_killed_resumes_to_the_same_weights(folders, tmp_path, monkeypatch):
    expected = begun(folders, "layers1+4_distil12")
    train(expected, tmp_path / "whole")
    broken, count = begun(folders, "layers1+4_distil12"), 0
    forward = broken.forward

    def crashing(*arguments, **inputs):
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        return forward(*arguments, **inputs)

    crashing.__wrapped__ = forward
    broken.forward = crashing
    with pytest.raises(KeyboardInterrupt):
        train(broken, tmp_path / "broken")
    resumed = begun(folders, "layers1+4_distil12")
    found = train(resumed, tmp_path / "broken")
    assert 0 < found.resumed_at < 8
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    # And it did learn from the teacher: labels alone give other weights.
    other = begun(folders, "layers1+4_heal12")
    train(other, tmp_path / "other")
    assert not torch.equal(other.classifier.weight, resumed.classifier.weight)


@pytest.mark.slow
def test_distilling_comes_nearer_to_the_full_models_answers_than_it_began(folders, tmp_path):
    rows, forward = tiny.rows(count=40, seed=1), ForwardSettings(64)
    full = load_model(folders / "tuned", tiny.task())
    wanted = all_logits(full, rows, tiny.task(), forward).softmax(-1)
    model = begun(folders, "layers1+4_distil60", labels=0.0, states=0.0)

    def distance() -> float:
        found = all_logits(model, rows, tiny.task(), forward).softmax(-1)
        return float((found - wanted).abs().mean())

    before = distance()
    train(model, tmp_path / "run", steps=60)
    unlearn(model)
    assert distance() < 0.7 * before


def test_what_it_answers_is_kept_by_part(folders):
    model = begun(folders, "layers1-2_heal10")
    parts = {CHOOSE: tiny.rows(count=8, seed=1), JUDGE: tiny.rows(count=12, seed=2)}
    cut, forward = TrainedCut(LayerSet.top_cut(2), "heal", 10), ForwardSettings(5)
    table = answers_of_cut(model, cut, parts, tiny.task(), forward)
    assert list(table["part"]) == [CHOOSE] * 8 + [JUDGE] * 12
    assert set(table["name"]) == {"layers1-2_heal10"} and set(table["layers"]) == {"1-2"}
    expected = all_logits(model, parts[JUDGE], tiny.task(), forward)
    own = table[table["part"] == JUDGE][["logit_0", "logit_1"]].to_numpy()
    np.testing.assert_allclose(own, expected, rtol=1e-5)
