"""What the code hash cannot follow, found in a file: see ``strata.runtime.code_hash``."""

import ast
from collections.abc import Iterator
from pathlib import Path

from strata.runtime.code_hash import PACKAGE, defined_names, dotted, is_text

MUTATING = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
}  # fmt: skip
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def unfollowable(path: Path, is_script: bool = False) -> list[str]:
    """Each place in a file that the code hash cannot fully follow, as ``line: what``."""
    source = ast.parse(path.read_text(encoding="utf-8"))
    if path.name == "__init__.py":
        return [f"{node.lineno}: code in an __init__.py" for node in source.body]
    found = [*_imports(source), *_functions(source)]
    if not is_script:
        found += _top_level(source)
    return [f"{line}: {what}" for line, what in sorted(found)]


def _imports(source: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import"
            if any(alias.name == "*" for alias in node.names):
                yield node.lineno, "a star import"
            if node.module == PACKAGE and any(a.name.startswith("_") for a in node.names):
                yield node.lineno, "a name of the package itself"


def _top_level(source: ast.Module) -> Iterator[tuple[int, str]]:
    for number, node in enumerate(source.body):
        docstring = number == 0 and is_text(node)
        imported = isinstance(node, ast.Import | ast.ImportFrom)
        if not (docstring or imported or defined_names(node)):
            yield node.lineno, "top-level code that is no import, definition or constant"


def _functions(source: ast.Module) -> Iterator[tuple[int, str]]:
    modules, names = _imported(source)
    constants = names | {
        name
        for node in source.body
        if not isinstance(node, FUNCTIONS)
        for name in defined_names(node)
    }
    for node in ast.walk(source):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global {', '.join(node.names)}"
        elif isinstance(node, ast.Call):
            yield from _call(node, modules, constants)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
            for target in targets:
                yield from _target(target, node, source, modules, constants)


def _call(node: ast.Call, modules: set[str], constants: set[str]) -> Iterator[tuple[int, str]]:
    name = dotted(node.func)
    first = dotted(node.args[0]) if node.args else []
    if name in (["getattr"], ["setattr"], ["vars"]) and first and first[0] in modules:
        yield node.lineno, f"{name[0]} on the module {first[0]}"
    if name in (["__import__"], ["exec"], ["eval"]) or name[-1:] == ["import_module"]:
        yield node.lineno, f"{name[-1]}()"
    if len(name) == 2 and name[1] in MUTATING and name[0] in constants:
        yield node.lineno, f"mutation of the constant {name[0]}"


def _target(
    target: ast.expr,
    node: ast.stmt,
    source: ast.Module,
    modules: set[str],
    constants: set[str],
) -> Iterator[tuple[int, str]]:
    holder = target.value if isinstance(target, ast.Subscript | ast.Attribute) else None
    name = dotted(holder) if holder is not None else []
    if isinstance(target, ast.Subscript) and name and name[0] in constants and len(name) == 1:
        yield node.lineno, f"mutation of the constant {name[0]}"
    if isinstance(target, ast.Attribute) and name and name[0] in modules:
        yield node.lineno, f"assignment to an attribute of the module {name[0]}"
    if isinstance(node, ast.AugAssign) and isinstance(target, ast.Name) and node in source.body:
        yield node.lineno, f"mutation of the constant {target.id}"


def _imported(source: ast.Module) -> tuple[set[str], set[str]]:
    """Names of the package's modules that a file imports, and of definitions in them."""
    modules, names = set(), set()
    library = Path(__file__).parents[2] / "workflow_scripts"
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            modules |= {
                a.asname or a.name.partition(".")[0]
                for a in node.names
                if a.name.startswith(PACKAGE)
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            for alias in node.names:
                file = library.joinpath(*node.module.split("."), f"{alias.name}.py")
                (modules if file.is_file() else names).add(alias.asname or alias.name)
    return modules, names
