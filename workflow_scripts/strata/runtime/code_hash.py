"""Which code a result depends on, as a hash."""

import ast
import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
SCRIPTS = LIBRARY.parent


def code_version(script: str) -> str:
    """Hash of a workflow script and of every strata module it imports, directly or not.

    Taken over the syntax trees with docstrings stripped: a comment, a docstring or a line break
    changes nothing, a formula does.

    Parameters
    ----------
    script : name of a file in workflow_scripts, without ``.py``.
    """
    path = SCRIPTS / f"{script}.py"
    modules = sorted({path, *_modules_behind(path)})
    return _digest("\n".join(f"{m.name} {_tree(m)}" for m in modules))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _modules_behind(path: Path) -> frozenset[Path]:
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        for module in _imports(waiting.pop()) - found:
            found.add(module)
            waiting.append(module)
    return frozenset(found)


@cache
def _imports(path: Path) -> frozenset[Path]:
    names = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("strata"):
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(a.name for a in node.names if a.name.startswith("strata"))
    files = (LIBRARY.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in names)
    return frozenset(file for file in files if file.is_file())


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _tree(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                node.body = node.body[1:]
    return ast.dump(tree)
