"""Fixtures that several modules use."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from helpers import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return tiny.save_model(tmp_path_factory.mktemp("saved") / "bert", "bert", layers=2)


@pytest.fixture
def model(saved, tmp_path) -> Path:
    """A model folder that a test may damage."""
    folder = tmp_path / "source"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def packages(monkeypatch):
    """What pip answers: requirement -> (file, bytes), or the text of its error."""
    offered = {}

    def answer(command, **_):
        arguments = dict(pairwise(command))
        requirement = Path(arguments["--requirement"]).read_text().split()[0]
        if isinstance(offered[requirement], str):
            return subprocess.CompletedProcess(command, 1, "", offered[requirement])
        name, data = offered[requirement]
        offered["downloaded to"] = target = Path(arguments["--dest"])
        target.mkdir()
        (target / name).write_bytes(data)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", answer)
    return offered
