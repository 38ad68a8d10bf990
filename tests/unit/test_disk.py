"""The disk space that jobs ask for covers what they write."""

import json

from helpers import tiny
from strata.study.disk import activations_mb, set_vectors_mb
from strata.study.layer_sets import METHODS

MIB = 2**20


def test_vectors_of_layer_sets_are_counted_for_the_splits_that_there_are(tmp_path):
    model = tiny.save_model(tmp_path / "model", "bert", layers=12)
    hidden = json.loads((model / "config.json").read_text())["hidden_size"]
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"sizes": {"eval": 100_000}, "choices": 1}))
    one_set_a_size = 100_000 * 12 * hidden * 4
    asked = set_vectors_mb(model, task, [("train", 2_000), ("eval", None)])
    assert asked * MIB >= len(METHODS) * one_set_a_size
    assert asked * MIB < 1.1 * len(METHODS) * one_set_a_size + 100 * MIB
    assert activations_mb(model, task, 1_000, "eval") * MIB >= 1_000 * 12 * hidden * 2
    task.write_text(json.dumps({"sizes": {"train": 9, "eval": 100_000}, "choices": 1}))
    assert set_vectors_mb(model, task, [("train", None)]) < 100
