"""What a result depends on: code_version and config_hash change when they should."""

import re
import shutil

import pytest

from strata.runtime import code_hash, provenance
from strata.runtime.code_hash import code_version
from strata.runtime.provenance import config_hash

SCRIPT = '''"""Does a thing."""
from strata.outer import halved

# why
print(halved(4))
'''
OUTER = '''"""Halves."""
import numpy as np
from strata import inner


class Thing:
    """A thing."""

    def value(self):
        """Its value."""
        return inner.half() * 4


def halved(x):
    """Half of x."""
    return np.multiply(x, inner.half())
'''
INNER = "def half():\n    return 0.5\n"
OTHER = "def unrelated():\n    return 1\n"


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A script, a module it imports, one that imports, and one that nobody does."""
    folder = tmp_path / "workflow_scripts"
    (folder / "strata").mkdir(parents=True)
    files = {"run.py": SCRIPT, "strata/__init__.py": "", "strata/outer.py": OUTER}
    for name, text in (files | {"strata/inner.py": INNER, "strata/other.py": OTHER}).items():
        (folder / name).write_text(text)
    monkeypatch.setattr(code_hash, "SCRIPTS", folder)
    monkeypatch.setattr(code_hash, "LIBRARY", folder / "strata")
    return folder


def fresh() -> None:
    """Forget what was read of files, as a new process has."""
    for cached in vars(code_hash).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def version(script: str = "run") -> str:
    fresh()
    return code_version(script)


def after(file, old: str, new: str) -> bool:
    """Whether code_version is another once `old` is `new` in a file."""
    before = version()
    text = file.read_text()
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new))
    return version() != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run.py", "# why\n", "# because\n\n\n"),
        ("run.py", '"""Does a thing."""\n', ""),
        ("run.py", "print(halved(4))", "print( halved(\n    4)\n)  # four"),
        ("strata/outer.py", '"""Halves."""', '"""Something else,\nlonger."""'),
        ("strata/outer.py", '    """A thing."""\n\n', ""),
        ("strata/outer.py", '"""Its value."""', '"""Of it."""'),
        ("strata/inner.py", "    return", "    # half\n\n    return"),
        ("strata/inner.py", "():\n", '():\n    """A half."""\n'),
        ("strata/other.py", "return 1", "return 2"),
    ],
)
def test_comments_docstrings_layout_and_other_modules_change_nothing(code, file, old, new):
    assert not after(code / file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run.py", "halved(4)", "halved(5)"),
        ("strata/outer.py", "x, inner", "-x, inner"),
        ("strata/outer.py", "* 4", "* 5"),
        ("strata/inner.py", "0.5", "0.25"),
        ("strata/inner.py", "0.5", "'0.5'"),
    ],
)
def test_an_expression_changes_it_directly_and_through_imports(code, file, old, new):
    assert after(code / file, old, new)


@pytest.mark.parametrize(
    "line",
    [
        "import strata.other",
        "import strata.other as o",
        "from strata import other",
        "from strata.other import unrelated",
        "def f():\n    from strata.other import unrelated",
        "if True:\n    import strata.other",
    ],
)
def test_every_way_to_import_is_followed(code, line):
    (code / "run.py").write_text(f"{SCRIPT}\n{line}\n")
    assert after(code / "strata" / "other.py", "return 1", "return 2")


def test_imports_in_a_circle_end(code):
    assert after(code / "strata" / "inner.py", "def", "import strata.outer\n\n\ndef")
    assert after(code / "strata" / "outer.py", "* 4", "* 5")


def test_version_is_the_same_elsewhere(code, tmp_path, monkeypatch):
    """Another checkout, another user: no path is in it."""
    before = version()
    shutil.copytree(code, tmp_path / "elsewhere")
    monkeypatch.setattr(code_hash, "SCRIPTS", tmp_path / "elsewhere")
    monkeypatch.setattr(code_hash, "LIBRARY", tmp_path / "elsewhere" / "strata")
    assert version() == before and re.fullmatch("[0-9a-f]{16}", before)


def test_real_scripts_depend_on_what_they_compute_with(tmp_path, monkeypatch):
    """A change in training reruns fine-tuning, not the download of a task."""
    shutil.copytree(provenance.SCRIPTS, tmp_path / "code")
    monkeypatch.setattr(code_hash, "SCRIPTS", tmp_path / "code")
    monkeypatch.setattr(code_hash, "LIBRARY", tmp_path / "code" / "strata")
    scripts = ("finetune", "fetch_task", "fetch_model")
    fresh()
    before = {script: code_version(script) for script in scripts}
    assert len(set(before.values())) == 3

    def changed_by(module: str) -> set[str]:
        path = tmp_path / "code" / "strata" / f"{module}.py"
        text = path.read_text()
        path.write_text(text + "\nADDED = 1\n")
        fresh()
        found = {script for script in scripts if code_version(script) != before[script]}
        path.write_text(text)
        return found

    training, sources = changed_by("modeling/training"), changed_by("sources/rows")
    assert "finetune" in training and "fetch_task" not in training
    assert "fetch_task" in sources and "finetune" not in sources
    # Indirectly: finetune -> training -> metrics.
    assert "import metrics" not in (tmp_path / "code" / "finetune.py").read_text()
    assert "finetune" in changed_by("evaluation/metrics")


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
