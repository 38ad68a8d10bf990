"""Training that is interrupted and resumed ends with the weights of uninterrupted training."""

import json
import os
import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers import tiny
from strata.modeling import training
from strata.modeling.ablations import adapt
from strata.modeling.loading import load_model
from strata.modeling.resumption import file_facts, last_checkpoint, resumable
from strata.modeling.training import finetune
from strata.study.variants import Variant

pytestmark = pytest.mark.slow
SETTINGS = tiny.training(max_steps=24, warmup_steps=4, eval_steps=5)
ALWAYS = 1e-9  # minutes between checkpoints


class Crash(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("model"), "bert", layers=2)


@pytest.fixture
def attempt(folder, tmp_path, monkeypatch):
    """Train in the named folder of checkpoints, disturbed when batch number `at` is read."""
    kept = training._Dataset.__getitems__

    def run(name, at=None, disturb=None, kind="classification", variant="full", **changes):
        count = 0

        def read(self, indices):
            nonlocal count
            count += len(indices) > 1  # lengths are read one by one
            if len(indices) > 1 and count == at:
                disturb()
            return kept(self, indices)

        monkeypatch.setattr(training._Dataset, "__getitems__", read)
        model = load_model(folder, tiny.task(kind), seed=1)
        named = Variant.parse(variant)
        rates = adapt(model, named, tiny.ablation(named, dropout=0.1), seed=1)
        checkpoints, history = tmp_path / name, tmp_path / f"{name}.csv"
        checkpoints.mkdir(exist_ok=True)
        train, dev = (tiny.rows(kind, count, seed=s) for s, count in ((1, 40), (2, 24)))
        settings = replace(SETTINGS, **changes)
        found = finetune(
            model, train, dev, tiny.task(kind), settings, 1, history, checkpoints, ALWAYS, rates
        )
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return weights, found, pd.read_csv(history)

    return run


def crash():
    raise Crash


def terminate(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


CASES = {
    "plain": {},
    "grouped": {"group_by_length": True},
    "choices": {"kind": "multiple-choice"},
    "lora": {"variant": "lora"},
    "adapter": {"variant": "adapter"},
    "faster": {"variant": "reinit2-2x5"},
    "part": {"variant": "head2top1"},
    "best": {"checkpoint": "best"},
    "best-of-epochs": {"checkpoint": "best", "eval_steps": "epoch"},
}


# Batch 4 is in the first epoch of ten, batch 16 in the second.
@pytest.mark.parametrize(("case", "at"), [("grouped", 4), *((case, 16) for case in CASES)])
def test_a_run_that_crashed_ends_with_the_weights_of_one_that_did_not(case, at, attempt):
    expected, _, history = attempt("whole", **CASES[case])
    with pytest.raises(Crash):
        attempt("broken", at, crash, **CASES[case])
    weights, found, resumed = attempt("broken", **CASES[case])
    assert 0 < found.resumed_at < at and found.steps == 24
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    # Logged every step here; what was logged before the crash is there, too.
    columns = ["step", "loss", "learning_rate"]
    pd.testing.assert_frame_equal(resumed[columns], history[columns])


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_saves_what_was_done_and_ends_the_job(number, attempt, monkeypatch, tmp_path):
    expected, _, _ = attempt("whole")
    monkeypatch.setattr("test_resumption.ALWAYS", 1e9)
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        attempt("ended", 13, lambda: terminate(number))
    assert ended.value.code == 128 + number and signal.getsignal(number) is handler
    assert not (tmp_path / "ended.csv").exists()
    weights, found, _ = attempt("ended")
    assert found.resumed_at >= 11
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_run_disturbed_again_and_again_gets_there(attempt):
    expected, _, _ = attempt("whole")
    for _ in range(4):
        with pytest.raises(Crash):
            attempt("broken", 6, crash)
    weights, found, _ = attempt("broken")
    assert found.resumed_at >= 12
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_no_checkpoint_is_written_before_its_time(attempt, monkeypatch, tmp_path):
    monkeypatch.setattr("test_resumption.ALWAYS", 10)
    attempt("short")
    assert list((tmp_path / "short").iterdir()) == []


def test_a_checkpoint_cut_short_is_passed_over_and_removed(tmp_path):
    for step, state in ((10, '{"global_step": 10}'), (9, '{"global_step": 9}'), (20, '{"glob')):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-30").mkdir()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-9", "checkpoint-10"}


def test_checkpoints_are_removed_when_the_run_is_complete_and_kept_when_it_is_not(tmp_path):
    with pytest.raises(Crash), resumable(tmp_path, "this", 1) as folder:
        (folder / "checkpoint-1").mkdir()
        (folder / "checkpoint-1" / "trainer_state.json").write_text('{"global_step": 1}')
        (folder / "checkpoint-2").mkdir()
        raise Crash
    assert [path.name for path in folder.iterdir()] == ["checkpoint-1"]
    with resumable(tmp_path, "this", 1) as again:
        assert last_checkpoint(again).name == "checkpoint-1"
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_changed_does_not_go_on_from_the_old_one(tmp_path):
    with pytest.raises(Crash), resumable(tmp_path, {"learning_rate": 1}) as old:
        raise Crash
    with resumable(tmp_path, {"learning_rate": 2}) as new:
        assert new != old and not old.exists() and list(new.iterdir()) == []


def test_facts_of_files_change_with_their_content(tmp_path):
    (tmp_path / "model").mkdir()
    for path in (tmp_path / "train.arrow", tmp_path / "model" / "weights"):
        path.write_text("abc")
    given = [tmp_path / "train.arrow", tmp_path / "model"]
    before = file_facts(given)
    assert json.dumps(before) == json.dumps(file_facts(given)) and len(before) == 2
    (tmp_path / "model" / "weights").write_text("abcd")
    assert file_facts(given) != before
