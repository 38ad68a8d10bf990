"""Sections of docstrings are what numpydoc reads in them: types are types, names exist."""

import ast
import builtins
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

from strata.runtime.code_hash import SCRIPTS

LIBRARY = SCRIPTS / "strata"
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")
# Words in types, besides names of classes.
TYPE_WORDS = {
    *("bool", "callable", "collection", "dict", "float", "int", "iterable", "list", "mapping"),
    *("ndarray", "object", "path-like", "sequence", "str", "tuple", "None"),
    *("and", "of", "optional", "or", "to"),
}
NOT_TYPES = (
    r"of shape \([^()]*\)",  # of an array
    r"default \S+$",
    r'"[^"]*"',  # a literal
    r"[{},]",
)
OURS = {
    node.name
    for path in LIBRARY.rglob("*.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}
Definition = ast.Module | ast.ClassDef | ast.FunctionDef


def definitions() -> Iterator[pytest.param]:
    """Every definition of the library whose docstring has a section."""
    for path in sorted(LIBRARY.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, Definition) and re.search(r"\n-{3,}\n", docstring(node)):
                name = getattr(node, "name", "the module")
                yield pytest.param(node, path, id=f"{path.relative_to(LIBRARY)}:{name}")


def docstring(node: Definition) -> str:
    return ast.get_docstring(node) or ""


def parsed(text: str) -> NumpyDocString:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what numpydoc does not know is no section
        return NumpyDocString(text)


def parameters(node: Definition) -> set[str]:
    """Names of a function's arguments, or of what a class is made from."""
    if isinstance(node, ast.ClassDef):
        made = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
        return parameters(made[0]) if made else attributes(node)
    if isinstance(node, ast.Module):
        return set()
    given = node.args
    named = {argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    starred = {"*": given.vararg, "**": given.kwarg}
    return named | {f"{stars}{argument.arg}" for stars, argument in starred.items() if argument}


def attributes(node: Definition) -> set[str]:
    """Names of a class's fields, properties, and of what its methods set."""
    names = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    for part in ast.walk(node):
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
        elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            names.add(part.attr)
    return names


@cache
def classes_known(path: Path) -> set[str]:
    """What a file names that may be a class, and the library's classes."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    named = {node.id for node in nodes if isinstance(node, ast.Name)}
    named |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return {name for name in named if name[0].isupper()} | OURS


def is_type(text: str, path: Path) -> bool:
    """Whether a type field has nothing but types: no sentence, and no class from elsewhere."""
    for pattern in NOT_TYPES:
        text = re.sub(pattern, " ", text)
    return set(text.split()) <= TYPE_WORDS | classes_known(path)


def is_exception(name: str, path: Path) -> bool:
    found = getattr(builtins, name, None)
    if found is not None:
        return isinstance(found, type) and issubclass(found, BaseException)
    return bool(re.search(rf"(import .*|class )\b{name}\b", path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("node", "path"), [*definitions()])
def test_sections_are_as_numpydoc_means_them(node, path):
    doc = parsed(docstring(node))
    for entry in doc["Raises"]:
        assert is_exception(entry.type, path), f"Raises: '{entry.type}' is no exception"
    for section in SECTIONS:
        for entry in doc[section]:
            what = f"{section}: '{entry.name or entry.type}'"
            assert " ".join(entry.desc).strip(), f"{what} has no description"
            if section != "Raises":
                assert entry.type, f"{what} has no type"
                assert is_type(entry.type, path), f"{what} has '{entry.type}' as its type"
    for section, names in (("Parameters", parameters), ("Attributes", attributes)):
        for entry in doc[section]:
            unknown = {*entry.name.split(", ")} - names(node)
            assert not unknown, f"{section}: there is no {', '.join(sorted(unknown))}"


FUNCTION = "def scaled(values: ndarray, by: float = 2.0) -> ndarray:\n    return values * by\n"


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ("Parameters\n----------\nvalues : ndarray of shape (n, d)\n    Vectors.", None),
        ("Parameters\n----------\nvalues, by : ndarray or float\n    Numbers.", None),
        ("Parameters\n----------\nby : float, default 2.0\n    A factor.", None),
        ("Parameters\n----------\nby : what they are multiplied by.", "no description"),
        ("Parameters\n----------\nby : what they are\n    multiplied by.", "as its type"),
        ("Parameters\n----------\nby : Tensor\n    A factor.", "as its type"),
        ("Parameters\n----------\nby\n    A factor.", "no type"),
        ("Parameters\n----------\nfactor : float\n    A factor.", "there is no factor"),
        ("Returns\n-------\nndarray\n    Their products.", None),
        ("Returns\n-------\ntheir products.", "no description"),
        ("Raises\n------\nValueError\n    There are none.", None),
        ("Raises\n------\nValueError : there are none.", "no exception"),
        ("Raises\n------\nSometimes\n    There are none.", "no exception"),
    ],
)
def test_what_is_no_section_of_numpydocs_is_found(sections, complaint, tmp_path):
    function = ast.parse(FUNCTION).body[0]
    text = ast.Expr(ast.Constant(f"Multiply.\n\n{sections}\n"))
    function.body.insert(0, text)
    path = tmp_path / "module.py"
    path.write_text(FUNCTION)
    if complaint is None:
        test_sections_are_as_numpydoc_means_them(function, path)
        return
    with pytest.raises(AssertionError, match=complaint):
        test_sections_are_as_numpydoc_means_them(function, path)


def test_an_unknown_section_is_found():
    with pytest.raises(UserWarning, match="Unknown section Gives"):
        parsed("Multiply.\n\nGives\n-----\nndarray\n    Their products.\n")
