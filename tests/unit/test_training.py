"""Fine-tuning for a few steps: reproducible, complete in what it writes, honest about failure."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from helpers import tiny
from strata.data.batches import Rows
from strata.evaluation.metrics import run_metrics
from strata.evaluation.predictions import answers, decode, prediction_table, score_table
from strata.modeling import training
from strata.modeling.ablations import training_examples
from strata.modeling.inference import predict
from strata.modeling.loading import load_model
from strata.modeling.training import finetune
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics
from strata.study.settings import ForwardSettings, Sampling
from strata.study.variants import Variant

SETTINGS = tiny.training()
SAMPLING = Sampling(200, 0.95)
KINDS = ("classification", "regression", "multiple-choice")


def rows_of(examples):
    return Rows(tiny.tokenizer(), examples, SETTINGS.max_length)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("model"), "bert", layers=2)


@pytest.fixture
def trained(folder, tmp_path):
    """Fine-tunes the tiny model: (model, what finetune returns, history)."""

    def run(kind="classification", seed=1, train=None, dev=None, **changes):
        model = load_model(folder, tiny.task(kind), seed)
        found = finetune(
            model,
            rows_of(tiny.examples(kind, 40, seed=1) if train is None else train),
            rows_of(tiny.examples(kind, 24, seed=2) if dev is None else dev),
            tiny.task(kind),
            replace(SETTINGS, **changes),
            seed,
            tmp_path / "history.csv",
            tmp_path,
        )
        return model, found, pd.read_csv(tmp_path / "history.csv")

    return run


def weights(model):
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained):
    first, again, other = (weights(trained(seed=seed)[0]) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(
        not torch.equal(first[name], other[name]) for name in first if name.endswith("weight")
    )


def test_new_memory_is_not_filled(trained, monkeypatch):
    """What full determinism does to find reads of uninitialised memory."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    trained(seed=1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


# Parameters of another rate: none, and those of layer 2 at five times the rate, a part at twice.
RATES = {
    "plain": {},
    "faster": {"bert.encoder.layer.1.": 5.0, "classifier.": 2.0},
}


@pytest.mark.parametrize("case", RATES)
def test_the_recipe_is_that_of_a_plain_loop(case, folder, tmp_path):
    """AdamW without decay of biases and norms, clipping of all together, one schedule for every
    rate; whole-set batches."""
    settings = replace(
        SETTINGS, batch_size=12, weight_decay=0.5, max_grad_norm=0.3, adam_epsilon=1e-4
    )
    model, plain = (load_model(folder, tiny.task(), seed=1) for _ in range(2))
    for module in [*model.modules(), *plain.modules()]:
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rate = {
        name: next((r for begin, r in RATES[case].items() if name.startswith(begin)), 1.0)
        for name, _ in plain.named_parameters()
    }
    examples, tokenizer = tiny.examples(count=12), tiny.tokenizer()
    history, rows = tmp_path / "history.csv", rows_of(examples)
    given = {name: each for name, each in rate.items() if each != 1}
    finetune(model, rows, rows, tiny.task(), settings, 1, history, tmp_path, rates=given)

    groups = [  # a parameter each
        {
            "params": [parameter],
            "weight_decay": 0.0 if name.endswith("bias") or "LayerNorm" in name else 0.5,
            "lr": 1e-3 * rate[name],
        }
        for name, parameter in plain.named_parameters()
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, eps=1e-4)
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 8)
    inputs = tokenizer.pad(tiny.rows(count=12).tokenize(slice(None))[0], return_tensors="pt")
    for _ in range(8):
        loss = plain(**inputs, labels=torch.tensor(examples["label"])).loss
        optimizer.zero_grad()
        loss.backward()
        assert torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.3) > 0.3
        optimizer.step()
        schedule.step()
    expected = weights(plain)
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
    rates = pd.read_csv(history)["learning_rate"]
    np.testing.assert_allclose(rates, [1e-3 * min(s / 2, (8 - s) / 6) for s in range(8)], atol=1e-9)


def test_a_rate_of_a_parameter_that_there_is_not_is_refused(folder, tmp_path):
    """A misspelt name would be trained at the plain rate."""
    rows, model = rows_of(tiny.examples(count=12)), load_model(folder, tiny.task(), seed=1)
    files = (tmp_path / "history.csv", tmp_path)
    with pytest.raises(KeyError, match="layer.9"):
        finetune(model, rows, rows, tiny.task(), SETTINGS, 1, *files, rates={"layer.9": 5.0})


def test_the_most_memory_held_is_recorded(trained):
    _, found, _ = trained()
    assert found.peak_memory_mb > 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grouped", (False, True))
def test_every_type_of_task_trains_all_layers(kind, grouped, trained, folder, tmp_path):
    before = weights(load_model(folder, tiny.task(kind), seed=1))
    model, found, history = trained(kind, group_by_length=grouped)
    after = weights(model)
    for part in ("embeddings", "layer.0", "layer.1", "classifier"):
        assert any(not torch.equal(before[name], after[name]) for name in after if part in name)
    assert found.steps == 8 and found.precision == "float32" and found.wall_seconds > 0
    assert np.isfinite(history["loss"]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]  # scratch is cleared


def test_batches_grouped_by_length_are_padded_less(trained, monkeypatch):
    padding, collator = [], training.DataCollatorWithPadding

    def watching(tokenizer):
        def collate(features):
            inputs = collator(tokenizer)(features)
            padding.append((inputs["attention_mask"] == 0).sum().item())
            return inputs

        return collate

    monkeypatch.setattr(training, "DataCollatorWithPadding", watching)
    train = tiny.examples(count=200)
    trained(train=train, max_steps=50, group_by_length=False)
    trained(train=train, max_steps=50, group_by_length=True)
    assert sum(padding[50:]) < sum(padding[:50]) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns(kind, trained):
    """On examples not seen: labels that a word gives away are found."""
    train = tiny.examples(kind, 400, seed=3)
    settings = {"max_steps": 250, "batch_size": 16, "learning_rate": 3e-3}
    model, _, _ = trained(kind, train=train, **settings)
    task, dev = tiny.task(kind), tiny.examples(kind, 60, seed=4)
    predictions = predict(model, tiny.rows(kind, 60, seed=4), task, ForwardSettings(16))
    metrics = run_metrics(task, dev["label"].to_numpy(), predictions, SAMPLING)
    assert metrics.score > 0.8 and not metrics.failed


def test_the_history_has_a_row_a_logged_step(trained):
    """Up to 100 of them; the rate climbs for the warm-up steps, then falls to 0."""
    _, _, history = trained(max_steps=10, warmup_steps=4)
    assert list(history) == ["step", "loss", "learning_rate", "examples_per_second"]
    assert history["step"].tolist() == list(range(1, 11))
    expected = [1e-3 * min(s / 4, (10 - s) / 6) for s in range(10)]
    np.testing.assert_allclose(history["learning_rate"], expected, atol=1e-9)
    assert (history["examples_per_second"] > 0).all()


def test_the_checkpoint_is_the_last_or_the_one_that_scored_best(trained, monkeypatch):
    """Scores are made up: the second of four evaluations is best."""
    scores, seen = iter([0.3, 0.9, 0.5, 0.6]), []

    def fake(task):
        def compute(output):
            seen.append(len(output.label_ids))
            return {"score": next(scores)}

        return compute

    stops = {}

    def keep(self, args, state, control, model=None, **kwargs):
        stops[state.global_step] = weights(model)

    monkeypatch.setattr(training, "_metrics", fake)
    monkeypatch.setattr(training.ProgressCallback, "on_evaluate", keep)
    best, found, _ = trained(eval_steps=2, checkpoint="best")
    assert seen == [24] * 4 and list(stops) == [2, 4, 6, 8] and found.steps == 8
    assert all(torch.equal(stops[4][name], tensor) for name, tensor in weights(best).items())
    assert any(not torch.equal(stops[4][name], stops[8][name]) for name in stops[4])

    monkeypatch.setattr(training.ProgressCallback, "on_step_end", keep)
    last, _, _ = trained(eval_steps=2)
    assert seen == [24] * 4  # nothing is evaluated where nothing is chosen
    assert all(torch.equal(stops[8][name], tensor) for name, tensor in weights(last).items())


@pytest.mark.parametrize("kind", KINDS)
def test_evaluations_on_the_way_score_as_the_final_one_does(kind, trained, monkeypatch):
    """What "best" compares is the task's metric on the dev examples."""
    seen, compute = [], training._metrics

    def kept(task):
        inner = compute(task)
        return lambda output: seen.append(inner(output)) or seen[-1]

    monkeypatch.setattr(training, "_metrics", kept)
    model, _, _ = trained(kind, max_steps=4, eval_steps=4, checkpoint="best")
    task, labels = tiny.task(kind), tiny.examples(kind, 24, seed=2)["label"].to_numpy()
    predictions = predict(model, tiny.rows(kind, 24, seed=2), task, ForwardSettings(24))
    expected = run_metrics(task, labels, predictions, SAMPLING).score
    assert seen[0]["score"] == pytest.approx(expected, abs=1e-4)


def test_a_variant_with_a_size_trains_on_a_fixed_subset(trained):
    examples = tiny.examples(count=50)
    subset = training_examples(examples, Variant.parse("full_n20"), seed=1)
    again = training_examples(examples, Variant.parse("full_n20"), seed=1)
    other = training_examples(examples, Variant.parse("full_n20"), seed=2)
    assert len(set(subset["example_id"])) == 20
    pd.testing.assert_frame_equal(subset, again)
    assert set(subset["example_id"]) != set(other["example_id"])
    merged = subset.merge(examples, on="example_id", suffixes=("", "_all"))
    assert (merged["text_b"] == merged["text_b_all"]).all()
    smaller = training_examples(examples, Variant.parse("full_n10"), seed=1)
    assert set(smaller["example_id"]) <= set(subset["example_id"])
    first, second = (weights(trained(train=part)[0]) for part in (subset, other))
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("variant", ("full", "full_n50", "full_n99"))
def test_without_a_smaller_size_all_examples_are_used(variant):
    examples = tiny.examples(count=50)
    pd.testing.assert_frame_equal(
        training_examples(examples, Variant.parse(variant), seed=1), examples
    )


def test_sequences_longer_than_the_model_are_refused_before_training(trained):
    with pytest.raises(StrataError, match="max_length is 65.*64 positions"):
        trained(max_length=65)


def test_more_than_one_gpu_is_refused(trained, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(StrataError, match="sees 2 GPUs, but training uses one"):
        trained()


LABELS = np.array([0, 1, 1, 0, 1, 1, 0, 1, 1, 1] * 8)


def test_a_run_that_predicts_one_class_has_failed():
    found = run_metrics(tiny.task(), LABELS, np.ones_like(LABELS), SAMPLING)
    assert found.failed
    assert found.score == found.baseline == pytest.approx(0.7)


@pytest.mark.parametrize(("wrong", "failed"), [(0, False), (8, False), (22, True), (40, True)])
def test_a_run_fails_that_does_not_beat_the_baseline_beyond_doubt(wrong, failed):
    """The baseline has 24 of 80 wrong; 2 fewer are too few to tell."""
    predictions = LABELS.copy()
    predictions[np.random.default_rng(0).permutation(80)[:wrong]] ^= 1
    found = run_metrics(tiny.task(), LABELS, predictions, SAMPLING)
    assert found.failed == failed and not found.degenerate
    assert found.score == pytest.approx(1 - wrong / 80)
    assert found.score_low <= found.score <= found.score_high
    assert found.n_examples == 80 and found.resamples == 200


@pytest.mark.parametrize("noise", (0.0, 1e-8))
def test_a_regression_that_predicts_one_value_has_failed(noise):
    """Also where batches of different sizes gave that value different last bits."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=80)
    predictions = 0.02 + noise * np.sign(labels)
    found = run_metrics(tiny.task("regression"), labels, predictions, SAMPLING)
    assert found.failed and found.degenerate and found.score == 0
    good = run_metrics(tiny.task("regression"), labels, labels + rng.normal(size=80), SAMPLING)
    assert not good.failed and not good.degenerate


def test_a_model_trained_in_bfloat16_is_scored_in_float32(tmp_path):
    """Its logits are those of its saved weights, not those of training's autocast."""
    task, train = tiny.task(), tiny.examples(count=40)
    model = tiny.task_model("bert")
    settings = replace(SETTINGS, precision="bfloat16")
    rows = rows_of(train)
    finetune(model, rows, rows, task, settings, 0, tmp_path / "h.csv", tmp_path)
    model.save_pretrained(tmp_path / "saved")
    features, _ = tiny.rows(count=6).tokenize(slice(None))
    inputs = tiny.tokenizer().pad(features, return_tensors="pt")
    with torch.no_grad():
        expected = load_model(tmp_path / "saved", task).eval()(**inputs).logits
        torch.testing.assert_close(model.eval()(**inputs).logits, expected, rtol=1e-6, atol=1e-6)


def test_metrics_are_read_as_they_were_written(tmp_path):
    found = run_metrics(tiny.task(), LABELS, LABELS, SAMPLING)
    found.write(tmp_path / "metrics.json")
    assert RunMetrics.read(tmp_path / "metrics.json") == found
    assert json.loads((tmp_path / "metrics.json").read_text()) == asdict(found)


def test_decoding_by_type_of_task():
    logits = torch.tensor([[0.1, 0.2], [3.0, -1.0], [0.0, 0.5]])
    assert decode(logits, tiny.task()).tolist() == [1, 0, 1]
    scores = torch.tensor([1.0, 3.0, 2.0, 0.3, 0.2, 0.1])[:, None]
    assert decode(scores, tiny.task("multiple-choice")).tolist() == [1, 0]
    assert decode(scores, tiny.task("regression")).dtype == np.float64
    np.testing.assert_allclose(decode(scores, tiny.task("regression"))[:3], [1, 3, 2])


def test_tables_of_predictions_and_scores():
    """One row per depth and example; scores of each depth come from its own rows."""
    examples = pd.DataFrame({"example_id": [7, 9, 11], "label": [0, 1, 1]})
    logits = torch.tensor([[[2.0, 1], [1, 0], [3, -1]], [[0.5, 0], [-1, 0], [0, 0.25]]])
    table = prediction_table(examples, logits, [1, 2], "untuned", tiny.task())
    assert table.columns.tolist() == [
        "configuration", "depth", "example_id", "label", "prediction", "logit_0", "logit_1",
    ]  # fmt: skip
    assert table["depth"].tolist() == [1, 1, 1, 2, 2, 2]
    assert table["example_id"].tolist() == [7, 9, 11, 7, 9, 11]
    assert table["prediction"].tolist() == [0, 0, 0, 0, 1, 1]
    assert table["logit_1"].tolist() == [1, 0, -1, 0, 0, 0.25]
    assert table["logit_0"].dtype == np.float32
    scores = score_table(table, tiny.task())
    assert scores["depth"].tolist() == [1, 2]
    np.testing.assert_allclose(scores["value"], [1 / 3, 1])
    assert (scores["n"] == 3).all() and (scores["n_examples"] == 3).all()
    choices = score_table(table, tiny.task("multiple-choice"))
    assert (choices["n"] == 9).all() and (choices["n_examples"] == 3).all()


def test_logits_are_one_an_answer_whatever_the_type_of_task():
    """One score per choice, from one row per choice; for a regression, the predicted value."""
    examples = pd.DataFrame({"example_id": [0, 1], "label": [1, 0]})
    scores = torch.tensor([1.0, 3.0, 2.0, 0.3, 0.2, 0.1], dtype=torch.bfloat16)[:, None]
    choices = answers(examples, scores.float(), tiny.task("multiple-choice"))
    assert choices["prediction"].tolist() == [1, 0]
    assert choices[["logit_0", "logit_1", "logit_2"]].loc[0].tolist() == [1, 3, 2]
    values = answers(examples, scores[:2], tiny.task("regression"))
    assert values["logit_0"].dtype == np.float32 and "logit_1" not in values
    assert values["logit_0"].tolist() == values["prediction"].tolist() == [1, 3]


# ---------------------------------------------------------------- length of training


def test_epochs_take_the_place_of_steps(trained):
    _, found, history = trained(epochs=2)
    assert found.steps == 2 * 40 / 4 and history["step"].iloc[-1] == 20
    assert training.step_count(replace(SETTINGS, epochs=1.5, batch_size=8), 41) == 9
    assert training.step_count(replace(SETTINGS, epochs=0.01), 40) == 1


def test_warm_up_may_be_a_share_of_the_steps(trained):
    rates = trained(max_steps=20, warmup_steps=0.25)[2]["learning_rate"]
    assert rates.idxmax() == 5 and rates.is_monotonic_increasing is False


def test_the_best_epoch_is_kept(trained):
    _, found, _ = trained(epochs=3, checkpoint="best", eval_steps="epoch")
    assert found.steps == 30


def test_a_step_takes_a_positive_time(trained):
    assert 0 < trained()[1].seconds_per_step < 10
