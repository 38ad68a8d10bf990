"""Which functions of the library run in which script: written into a copy of the workflow.

Every function outside ``strata/runtime/`` gets a first line that records that it was entered. A
process appends each function once, immediately: jobs are killed, fork, and have threads. What a
module calls while it is imported makes its constants, which count if a script reaches them.
"""

import ast
from pathlib import Path

MODULE = '''"""Which functions were entered, by script."""

import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "entered"
SEEN = set()


def entered(module, name):
    if (module, name) in SEEN or importing(sys._getframe(1)):
        return
    SEEN.add((module, name))
    script = re.search(r"[.]snakemake/scripts/\\w+[.](\\w+)[.]py$", sys.argv[0] if sys.argv else "")
    if script:  # else Snakemake itself, which plans
        FOLDER.mkdir(exist_ok=True)
        with open(FOLDER / f"{os.getpid()}.txt", "a") as file:
            file.write(f"{script[1]} {module} {name}\\n")


def importing(frame):
    while frame:
        name = frame.f_globals.get("__name__") or ""  # what Snakemake runs has none
        if frame.f_code.co_name == "<module>" and name.startswith("strata."):
            return True
        frame = frame.f_back
    return False
'''


def record(code: Path) -> None:
    """Write the recording into a copy of the workflow."""
    scripts = code / "workflow_scripts"
    (scripts / "strata" / "runtime" / "recording.py").write_text(MODULE)
    for path in (scripts / "strata").rglob("*.py"):
        if path.parent.name != "runtime" and path.name != "__init__.py":
            module = ".".join(path.relative_to(scripts).with_suffix("").parts)
            path.write_text(_with_calls(path.read_text(), module))


def _with_calls(text: str, module: str) -> str:
    source, lines = ast.parse(text), text.splitlines()
    for top in source.body:
        for node in ast.walk(top):
            if isinstance(node, ast.FunctionDef):
                # After the docstring, which the code hash leaves out only if it comes first.
                first = node.body[0]
                if first.lineno == node.lineno:  # a protocol's method, which is never entered
                    continue
                if ast.get_docstring(node) is not None:
                    place, column = first.end_lineno, first.col_offset
                else:
                    place, column = _line_of(first) - 1, first.col_offset
                lines[place - 1] += f"\n{' ' * column}_entered({module!r}, {top.name!r})"
    # After the module's docstring.
    begin = source.body[0].end_lineno
    lines[begin - 1] += "\nfrom strata.runtime.recording import entered as _entered"
    return "\n".join(lines) + "\n"


def _line_of(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def recorded(code: Path) -> set[tuple[str, str, str]]:
    """(script, module, name of a function or of its class) of everything that was entered."""
    lines = [
        line for file in (code / "entered").glob("*.txt") for line in file.read_text().splitlines()
    ]
    return {tuple(line.split()) for line in lines}
