"""Which code a result depends on, as a hash.

The hash of a workflow script covers the script and the definitions (functions, classes, constants)
that it reaches, followed by name through imports of strata. What cannot change a number does not
count:

- comments, docstrings, layout, annotations of functions, names of definitions and of modules,
  the order in which definitions stand, and whatever the script does not reach;
- messages: the arguments, and what only they call, of ``StrataError``, of helpers marked with
  ``errors.always_raises``, of ``print`` to a standard stream, of ``warnings.warn`` and of
  ``Progress``; in other exceptions and in assertions only the text; the text of a variable that is
  used only in messages;
- ``strata/runtime/``, which by convention changes no number;
- registries (``REGISTRIES``); a job names the rows that it uses.

Each definition is turned once into pieces of text and, between them, references to what it names. A
script's hash is computed from that text in the order in which references are met; each reference is
written as the number of its target. Names are followed wherever they occur, so a local variable
that shares its name with a definition only makes the hash cover more.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

SCRIPTS = Path(__file__).parents[2]
PACKAGE = "strata"
UNCOUNTED = "strata.runtime."
# Registry -> the module and name of its table.
REGISTRIES = {
    "adapted": ("strata.study.architectures", "ADAPTED"),
    "architecture": ("strata.study.architectures", "ARCHITECTURES"),
    "head_style": ("strata.modeling.head_styles", "HEAD_STYLES"),
    "metric": ("strata.study.metrics", "METRICS"),
    "task_type": ("strata.study.task_types", "TASK_TYPES"),
}
PROGRESS = ("strata.runtime.progress.Progress", "advance")
MARK = "always_raises"
STANDARD_STREAMS = ("sys.stderr", "sys.stdout")

Definition = tuple[str, str]  # module, name; the name "" means a whole script


@dataclass(frozen=True)
class Reference:
    """What a name refers to: a definition in our code."""

    module: str
    name: str


Piece = str | Reference
Imports = dict[str, tuple[str, str | None]]  # local name -> (module, name in it or None)


def code_version(script: str, **rows: str | None) -> str:
    """Hash of the code that a script's results depend on.

    Parameters
    ----------
    script : str
        The name of a file in workflow_scripts, without ``.py``.
    **rows : str or None
        For each registry, the key of the row that the job uses (see ``REGISTRIES``); None for no
        row.

    Raises
    ------
    KeyError
        There is no such registry, or it has no such row.
    """
    return _tree(SCRIPTS).version(script, **rows)


@cache
def _tree(scripts: Path) -> "CodeTree":
    return CodeTree(scripts)


class CodeTree:
    """The scripts in a folder and the library next to them, read once.

    Parameters
    ----------
    scripts : path-like
        A folder ``workflow_scripts`` that contains the library, ``strata``.
    """

    def __init__(self, scripts: Path):
        self.scripts = scripts
        self._modules: dict[str, Module] = {}
        self._pieces: dict[Definition, tuple[Piece, ...]] = {}

    def version(self, script: str, **rows: str | None) -> str:
        """See ``code_version``."""
        text = hashlib.sha256()
        for part in self._text(script, rows):
            text.update(part.encode())
        return text.hexdigest()[:16]

    def reached(self, script: str, **rows: str | None) -> set[Definition]:
        """The library's definitions that the hash covers: (module, name)."""
        numbers: dict[Definition, int] = {}
        for _ in self._text(script, rows, numbers):
            pass
        return {key for key in numbers if key[0].startswith(f"{PACKAGE}.")}

    def registries(self, script: str) -> set[str]:
        """The registries that a script reads."""
        text = "".join(self._text(script, {}))
        return {name for name in REGISTRIES if f"registry {name};" in text}

    def _text(
        self,
        script: str,
        rows: Mapping[str, str | None],
        numbers: dict[Definition, int] | None = None,
    ) -> Iterator[str]:
        numbers = {} if numbers is None else numbers
        waiting: list[Definition] = []  # grows as references are met
        yield from self._joined(self.pieces((script, "")), numbers, waiting)
        for registry, key in sorted(rows.items()):
            if key is not None:
                module, table = REGISTRIES[registry]
                yield f"\n{registry}: "
                row = self.module(module).row(table, key)
                yield from self._joined(row, numbers, waiting)
        for definition in waiting:
            yield f"\n#{numbers[definition]} "
            yield from self._joined(self.pieces(definition), numbers, waiting)

    def _joined(
        self, pieces: Iterable[Piece], numbers: dict[Definition, int], waiting: list[Definition]
    ) -> Iterator[str]:
        for piece in pieces:
            if isinstance(piece, str):
                yield piece
                continue
            key = (piece.module, piece.name)
            if key not in numbers:
                numbers[key] = len(numbers)
                waiting.append(key)
            yield f"#{numbers[key]}"

    def pieces(self, definition: Definition) -> tuple[Piece, ...]:
        if definition not in self._pieces:
            module, name = definition
            self._pieces[definition] = tuple(_merged(self.module(module).pieces(name)))
        return self._pieces[definition]

    def module(self, name: str) -> "Module":
        if name not in self._modules:
            self._modules[name] = Module(self, name)
        return self._modules[name]

    def file(self, module: str) -> Path:
        return self.scripts.joinpath(*module.split(".")).with_suffix(".py")

    def has_module(self, name: str) -> bool:
        return name in self._files

    @cached_property
    def _files(self) -> set[str]:
        files = self.scripts.joinpath(PACKAGE).rglob("*.py")
        return {".".join(file.relative_to(self.scripts).with_suffix("").parts) for file in files}


@dataclass
class Module:
    """A parsed file: its definitions by name, and what its imports refer to."""

    tree: CodeTree
    name: str
    text: str = field(init=False, repr=False)
    source: ast.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.text = self.tree.file(self.name).read_text(encoding="utf-8")
        self.source = ast.parse(self.text)

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        return {name: node for node in self.source.body for name in defined_names(node)}

    @cached_property
    def imports(self) -> Imports:
        # Imports in functions belong to the function alone.
        return _imports(self.tree, self.source, within_functions=False)

    @cached_property
    def raising(self) -> set[str]:
        """Functions and methods that only raise a StrataError."""
        if MARK not in self.text:
            return set()
        return {
            node.name
            for node in ast.walk(self.source)
            if isinstance(node, ast.FunctionDef)
            and any(isinstance(d, ast.Name) and d.id == MARK for d in node.decorator_list)
        }

    def pieces(self, name: str) -> Iterator[Piece]:
        """The text of a definition, or of the whole file if `name` is empty."""
        if not name:
            yield from Writer(self, self.source).statements(self.source.body)
            return
        node = self.definitions[name]
        yield from Writer(self, node).node(node)

    def rows(self, table: str) -> dict[str, ast.expr]:
        """The rows of a registry, by key."""
        value = getattr(self.definitions[table], "value", None)
        assert isinstance(value, ast.Dict), f"{self.name}.{table} is not a literal dict"
        keys = [str(key.value) for key in value.keys if isinstance(key, ast.Constant)]
        return dict(zip(keys, value.values, strict=True))

    def row(self, table: str, key: str) -> Iterator[Piece]:
        """The text of one row of a registry, without its title, which only figures show."""
        rows = self.rows(table)
        if key not in rows:
            raise KeyError(f"{self.name}.{table} has no row '{key}'")
        row = rows[key]
        if isinstance(row, ast.Call):
            counted = [keyword for keyword in row.keywords if keyword.arg != "title"]
            row = ast.Call(func=row.func, args=row.args, keywords=counted)
        return Writer(self, row).node(row)

    def resolve(self, parts: list[str], local: Imports) -> tuple[Piece, int] | None:
        """What a dotted name refers to, and how many of its parts that is; None for other names."""
        first = parts[0]
        if first in local or first in self.imports:
            module, name = local.get(first) or self.imports[first]
            if not module.startswith(PACKAGE):
                return f"{module}.{name}" if name else module, 1
            if name is not None:
                return self._reference(module, name), 1
            used = 1
            while not self.tree.has_module(module):
                if used == len(parts):
                    return module, used
                module, used = f"{module}.{parts[used]}", used + 1
            # A module by itself would mean all of it: followable.py refuses that.
            return (self._reference(module, parts[used]), used + 1) if used < len(parts) else None
        if first in self.definitions:
            return self._reference(self.name, first), 1
        return None

    def _reference(self, module: str, name: str) -> Piece:
        for registry, place in REGISTRIES.items():
            if place == (module, name):
                return f"registry {registry}"
        if module.startswith(UNCOUNTED):
            return f"{module}.{name}"
        defined = self.tree.module(module)
        if name in defined.definitions:
            return Reference(module, name)
        if name in defined.imports:  # passed on by a module that imports it
            origin, inner = defined.imports[name]
            return self._reference(origin, inner) if inner else origin
        return f"{module}.{name}"


class Writer:
    """Writes the nodes of one definition as pieces, leaving out what does not count."""

    def __init__(self, module: Module, top: ast.AST):
        self.module = module
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        self.local = _imports(module.tree, top, True) if isinstance(top, functions) else {}
        self.top = top
        self._class_fields: set[int] = set()

    def statements(self, body: list[ast.stmt]) -> Iterator[Piece]:
        for number, statement in enumerate(body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            if number == 0 and is_text(statement):
                continue  # a docstring
            yield from self.node(statement)

    def node(self, node: ast.AST, texts: bool = True) -> Iterator[Piece]:
        """Pieces of a node; `texts` says whether string literals count."""
        if isinstance(node, ast.Name | ast.Attribute):
            yield from self._name(node, texts)
        elif isinstance(node, ast.Constant):
            if texts or not isinstance(node.value, str):
                yield f"{type(node.value).__name__} {node.value!r};"
        elif isinstance(node, ast.JoinedStr):
            yield from self._joined(node, texts)
        elif isinstance(node, ast.Call) and self._is_message(node):
            yield "Say("
            yield from self.node(node.func)
            yield ")"
        else:
            yield from self._fields(node, texts)

    def _fields(self, node: ast.AST, texts: bool) -> Iterator[Piece]:
        yield f"{type(node).__name__}("
        if isinstance(node, ast.ClassDef):
            self._class_fields.update(map(id, node.body))
        for name, value in ast.iter_fields(node):
            if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
                continue
            if name in ("annotation", "returns") and not self._is_field(node):
                continue
            if name == "name" and node is self.top:
                continue
            yield f"{name}="
            if name == "body" and isinstance(value, list):
                yield from self.statements(value)
            elif isinstance(value, list):
                for item in value:
                    yield from self._value(item, self._counts(node, name, texts))
            else:
                yield from self._value(value, self._counts(node, name, texts))
        yield from self._files(node)
        yield ")"

    def _value(self, value: object, texts: bool) -> Iterator[Piece]:
        if isinstance(value, ast.AST):
            yield from self.node(value, texts)
        else:  # a keyword's name, say, or a None among a dict's keys
            yield f"{value!r};"

    def _counts(self, node: ast.AST, name: str, texts: bool) -> bool:
        """Whether texts in a node's field count; in other exceptions and assertions they do not."""
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Assert) and name == "msg"):
            return False
        if isinstance(node, ast.Assign) and name == "value":
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if len(names) == len(node.targets) and _holds_text(node.value):
                return not all(name in self._said_alone for name in names)
        return texts

    def _is_field(self, node: ast.AST) -> bool:
        """Whether an annotation belongs to a class's field (of a dataclass, say)."""
        return isinstance(node, ast.AnnAssign) and id(node) in self._class_fields

    def _name(self, node: ast.Name | ast.Attribute, texts: bool) -> Iterator[Piece]:
        parts = dotted(node)
        resolved = self.module.resolve(parts, self.local) if parts else None
        if resolved is None:
            if isinstance(node, ast.Name):
                yield f"{node.id};"
            else:
                yield from self.node(node.value, texts)
                yield f".{node.attr};"
            return
        piece, used = resolved
        yield piece
        yield "".join(f".{part}" for part in parts[used:]) + ";"

    def _joined(self, node: ast.JoinedStr, texts: bool) -> Iterator[Piece]:
        # Versions of Python differ in how they split the constant parts of an f-string.
        text = ""
        yield "f("
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
                continue
            if texts and text:
                yield f"str {text!r};"
            text = ""
            yield from self._fields(part, texts)
        if texts and text:
            yield f"str {text!r};"
        yield ")"

    def _is_message(self, call: ast.Call) -> bool:
        parts = dotted(call.func)
        if not parts:
            return isinstance(call.func, ast.Attribute) and self._is_said_by(call.func.attr)
        leads_to, used = self.module.resolve(parts, self.local) or (parts[0], 1)
        if isinstance(leads_to, Reference):
            return leads_to.name in self.module.tree.module(leads_to.module).raising
        name = ".".join([leads_to, *parts[used:]])
        if name == "print":
            streams = [k.value for k in call.keywords if k.arg == "file"]
            return all(".".join(dotted(stream)) in STANDARD_STREAMS for stream in streams)
        if name in (f"{UNCOUNTED}errors.StrataError", "warnings.warn", PROGRESS[0]):
            return True
        return len(parts) > 1 and self._is_said_by(parts[-1])

    def _is_said_by(self, method: str) -> bool:
        return method == PROGRESS[1] or method in self.module.raising

    @cached_property
    def _said_alone(self) -> set[str]:
        """Names that are read in messages and nowhere else."""
        said: set[str] = set()
        meant: set[str] = set()

        def visit(node: ast.AST, message: bool) -> None:
            message = message or isinstance(node, ast.Raise)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                (said if message else meant).add(node.id)
            within = message or (isinstance(node, ast.Call) and self._is_message(node))
            for child in ast.iter_child_nodes(node):
                visit(child, within)

        visit(self.top, False)
        return said - meant

    def _files(self, node: ast.AST) -> Iterator[Piece]:
        """The content of package files that a definition reads, found next to its module."""
        if "__file__" not in self.module.text or not _names_file(node):
            return
        folder = self.module.tree.file(self.module.name).parent
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value:
                file = folder / part.value
                if file.is_file():
                    yield f"file {hashlib.sha256(file.read_bytes()).hexdigest()};"


def defined_names(node: ast.stmt) -> list[str]:
    """The names that a top-level statement defines; imports are not definitions."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [
            name.id
            for target in node.targets
            for name in ast.walk(target)
            if isinstance(name, ast.Name)
        ]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def dotted(node: ast.AST) -> list[str]:
    """The parts of a dotted name; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def _imports(tree: CodeTree, top: ast.AST, within_functions: bool) -> Imports:
    places: Imports = {}
    waiting = list(ast.iter_child_nodes(top))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                places[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                places[alias.asname or name] = (name, None)
        if within_functions or not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            waiting += ast.iter_child_nodes(node)
    return {local: _as_module(tree, *place) for local, place in places.items()}


def _as_module(tree: CodeTree, module: str, name: str | None) -> tuple[str, str | None]:
    """`from strata.analysis import cka` names a module, not a definition in one."""
    whole = f"{module}.{name}"
    return (whole, None) if name and tree.has_module(whole) else (module, name)


def _merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, with neighbouring texts joined."""
    text: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            text.append(piece)
            continue
        yield "".join(text)
        yield piece
        text = []
    yield "".join(text)


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is only a string, like a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _holds_text(node: ast.AST) -> bool:
    return any(isinstance(p, ast.Constant) and isinstance(p.value, str) for p in ast.walk(node))


def _names_file(node: ast.AST) -> bool:
    return isinstance(node, ast.stmt) and any(
        isinstance(part, ast.Name) and part.id == "__file__" for part in ast.walk(node)
    )
