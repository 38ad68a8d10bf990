"""Structure: packages in the order that data flows, scripts named like their rules, code that the
hash can follow.
"""

import ast
import importlib.machinery
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.followable import unfollowable
from strata.runtime.code_hash import SCRIPTS, CodeTree

REPOSITORY = SCRIPTS.parent
LIBRARY = SCRIPTS / "strata"
# A package imports from those before it.
PACKAGES = (
    "runtime", "study", "data", "evaluation", "modeling",
    "sources", "analysis", "figures", "export", "explorer",
)  # fmt: skip
MODULES = sorted(path for path in LIBRARY.rglob("*.py") if path.name != "__init__.py")
HEAVY = {"numpy", "torch", "pandas", "transformers"}
RULES = "\n".join(path.read_text() for path in sorted((REPOSITORY / "rules").glob("*.smk")))


def name_of(path: Path) -> str:
    return str(path.relative_to(SCRIPTS))


def imported(path: Path) -> set[str]:
    """Dotted names of what a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_from_those_before_it(path):
    place = PACKAGES.index(path.parent.name)
    for name in imported(path):
        if name.startswith("strata."):
            assert PACKAGES.index(name.split(".")[1]) <= place, name


def test_packages_are_these_and_hold_nothing_of_their_own():
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(PACKAGES)
    for path in LIBRARY.rglob("__init__.py"):
        assert path.read_text() == ""


def test_the_console_stands_beside_the_library():
    """It may be loaded by any Snakemake, so it imports little: rich where it draws, no more."""
    console = SCRIPTS / "snakemake_logger_plugin_strata"
    own = (console.name, "strata.runtime.progress.", "snakemake_interface_logger_plugins.")
    for path in console.glob("*.py"):
        for name in imported(path):
            drawing = path.name == "live.py" and name.startswith("rich.")
            top = name.partition(".")[0]
            assert drawing or name.startswith(own) or top in sys.stdlib_module_names, (path, name)
    assert not any(console.name in path.read_text() for path in [*MODULES, *SCRIPTS.glob("*.py")])


def test_what_runs_around_the_work_imports_no_library_of_numbers():
    for path in (LIBRARY / "runtime").glob("*.py"):
        assert not {name.partition(".")[0] for name in imported(path)} & HEAVY, path
    names = [f"strata.runtime.{path.stem}" for path in (LIBRARY / "runtime").glob("[a-z]*.py")]
    code = f"import sys, {', '.join(names)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert len(names) > 5 and not set(done.stdout.split()) & HEAVY


# ---------------------------------------------------------------- what the code hash can follow


@pytest.mark.parametrize("path", [*MODULES, *sorted(SCRIPTS.glob("*.py"))], ids=name_of)
def test_the_code_hash_can_follow_all_of_it(path):
    assert unfollowable(path, is_script=path.parent == SCRIPTS) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("from strata.data.task import *", "1: a star import"),
        ("from . import task", "1: a relative import"),
        ("from ..data.task import Task", "1: a relative import"),
        ("import strata.data.task as t\nx = getattr(t, 'Task')", "2: getattr on the module t"),
        ("from strata.data import task\n\ndef f():\n    return getattr(task, 'x')", "4: getattr"),
        ("print('loaded')", "1: top-level code"),
        ("if True:\n    X = 1", "1: top-level code"),
        ("X = 1\n\ndef f():\n    global X\n    X = 2", "4: global X"),
        ("X = []\n\ndef f():\n    X.append(1)", "4: mutation of the constant X"),
        ("X = {}\n\ndef f():\n    X['a'] = 1", "4: mutation of the constant X"),
        ("X = {}\n\ndef f():\n    del X['a']", "4: mutation of the constant X"),
        ("X = 1\nX += 1", "2: "),
        ("from strata.data.task import SPLITS\n\ndef f():\n    SPLITS.append(1)", "4: mutation"),
        ("from strata.data import task\n\ndef f():\n    task.SPLITS = 1", "4: assignment to an"),
        ("from importlib import import_module\nX = import_module('strata.a')", "2: import_module"),
    ],
)
def test_what_it_could_not_follow_is_found_with_its_place(text, what, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(text + "\n")
    (found, *_) = unfollowable(path)
    assert found.startswith(what)


def test_code_in_an_init_is_found(tmp_path):
    path = tmp_path / "__init__.py"
    path.write_text("from strata.data.task import Task\n")
    assert unfollowable(path) == ["1: code in an __init__.py"]


# ---------------------------------------------------------------- rules and scripts


def scripts_of_rules() -> dict[str, str]:
    """Each rule's script; a rule derived from another has the same."""
    found, made_of = {}, {}
    for block in re.split(r"^(?=rule |checkpoint |use rule )", RULES, flags=re.MULTILINE):
        if head := re.match(r"(?:rule|checkpoint) (\w+):", block):
            if script := re.search(r"workflow_scripts/(\w+)\.py", block):
                found[head[1]] = script[1]
        elif head := re.match(r"use rule (\w+) as (\w+) with:", block):
            made_of[head[2]] = head[1]
    while made_of:
        for rule, origin in list(made_of.items()):
            if origin in found:
                found[rule] = found[origin]
                del made_of[rule]
    return found


def test_a_script_has_its_rules_name_or_says_which_rules_share_it():
    rules = scripts_of_rules()
    assert set(rules.values()) == {path.stem for path in SCRIPTS.glob("*.py")}
    for script in set(rules.values()):
        sharing = sorted(rule for rule, own in rules.items() if own == script)
        if sharing == [script]:
            continue
        first = ast.get_docstring(ast.parse((SCRIPTS / f"{script}.py").read_text())).split("\n")[0]
        named = all(re.search(rf"\b{rule}\b", first) for rule in sharing)
        assert named, f"{script}: '{first}' does not name {sharing}"


def test_no_script_hides_a_package():
    """A script's folder is on its path."""
    elsewhere = [path for path in sys.path if path and Path(path).resolve() != SCRIPTS]
    for path in SCRIPTS.glob("*.py"):
        found = importlib.machinery.PathFinder.find_spec(path.stem, elsewhere)
        assert found is None and path.stem not in sys.stdlib_module_names, path.stem


def test_rules_name_every_registry_that_their_script_looks_into():
    """And so a row that is edited reruns its jobs; fetching a model looks into one to check it."""
    tree = CodeTree(SCRIPTS)
    named = {
        script: set(re.findall(r'"(\w+)"', registries))
        for script, registries in re.findall(r'code_of\(\s*"(\w+)"((?:,\s*"\w+")*)', RULES)
    }
    for script in re.findall(r'training_code\("(\w+)"\)', RULES):
        # The metric where it chooses the checkpoint.
        named[script] = {"architecture", "head_style", "metric", "task_type"}
    named["ablate"] |= {"adapted"}  # of variants with adapters
    for script in (path.stem for path in SCRIPTS.glob("*.py")):
        looked_into = tree.registries(script) - {"fetch_model": {"architecture"}}.get(script, set())
        assert named[script] == looked_into, script
