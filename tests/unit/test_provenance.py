"""What is recorded about how a result was made."""

import re

from strata.runtime import provenance
from strata.runtime.provenance import config_hash


def test_config_hash_is_of_content_not_of_order():
    one = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert config_hash(one) == config_hash({"b": {"d": None, "c": [1, 2]}, "a": 1})
    others = [{"a": 1}, one | {"a": 2}, one | {"a": "1"}, one | {"b": {"c": [2, 1], "d": None}}]
    assert len({config_hash(other) for other in [one, *others]}) == 5


def test_commit_is_none_outside_git(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_commit() is None


def test_commit_tells_of_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    for variable in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{variable}_NAME", "a")
        monkeypatch.setenv(f"GIT_{variable}_EMAIL", "a@b")
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        provenance._git(*arguments)
    clean = provenance.git_commit()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (tmp_path / "file").write_text("2")
    assert provenance.git_commit() == f"{clean}+changes"


def test_versions_are_those_of_the_libraries():
    import numpy
    import torch

    found = provenance.versions()
    assert found["numpy"] == numpy.__version__ and found["torch"] == torch.__version__
    assert found["python"].startswith("3.")
