"""Hashes of local sources: of what a file holds, not of when it was written."""

import json
import os

import pytest

from helpers import tiny
from strata.sources.local_files import local_hashes


@pytest.fixture
def task(tmp_path):
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "rows.csv").write_text(part)
    return {"source": f"path:{tmp_path}", "splits": {"train": "a/rows.csv", "eval": "b/rows.csv"}}


def test_files_of_one_name_are_told_apart(task):
    hashes = local_hashes(task)
    assert list(hashes) == ["a/rows.csv", "b/rows.csv"] and len(set(hashes.values())) == 2


def test_touching_changes_nothing_and_editing_does(task, tmp_path):
    cache, file = tmp_path / "cache.json", tmp_path / "a" / "rows.csv"
    before = local_hashes(task, cache)
    os.utime(file, (1, 1))
    assert local_hashes(task, cache) == before
    file.write_text("c")  # of the same size
    after = local_hashes(task, cache)
    assert after["a/rows.csv"] != before["a/rows.csv"]
    assert after["b/rows.csv"] == before["b/rows.csv"]


def test_what_has_the_same_size_and_time_is_not_hashed_again(task, tmp_path):
    cache = tmp_path / "cache.json"
    local_hashes(task, cache)
    known = {path: [*entry[:2], "known"] for path, entry in json.loads(cache.read_text()).items()}
    cache.write_text(json.dumps(known))
    assert set(local_hashes(task, cache).values()) == {"known"}


def test_a_model_is_its_config_weights_and_tokenizer(tmp_path):
    folder = tiny.save_model(tmp_path / "bert", "bert", layers=1)
    (folder / "notes.txt").write_text("not read")
    hashes = local_hashes({"source": f"path:{folder}"})
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hashes)
    assert "notes.txt" not in hashes


@pytest.mark.parametrize("source", ("hub:a/b", "pypi:a==1", "path:/nowhere"))
def test_what_is_not_local_or_not_there_has_none(source):
    assert local_hashes({"source": source}) is None
