"""What a script's hash covers: the definitions it reaches, except what changes no number."""

import ast
import re
import shutil

import pytest

from strata.runtime.code_hash import REGISTRIES, SCRIPTS, CodeTree

# ---------------------------------------------------------------- a small tree

SCRIPT = '''"""Does a thing."""
from strata.data.outer import Halved, halved

# why
with open(snakemake.input[0]) as file:
    from strata.data import inner as within

    print(halved(4), Halved().value(3), within.DOUBLE, file=file)
    print(f"done {inner_words()}")
'''
OUTER = '''"""Halves."""
import numpy as np
import sklearn.metrics
from strata.data import inner
from strata.runtime.errors import StrataError, always_raises
from strata.runtime.progress import Progress
from strata.study.metrics import METRICS

TABLE = {"a": np.multiply, "b": "text"}


class Base:
    factor = 4


class Halved(Base):
    """A thing."""

    def value(self, x: int = inner.DOUBLE) -> float:
        """Its value."""
        if x < 0:
            self._fail("x is below 0", said(x))
        return inner.half() * self.factor

    @always_raises
    def _fail(self, problem, x):
        raise StrataError(f"{problem}: {x}; give another.")


@inner.decorate
def halved(x: "float", by=inner.DOUBLE) -> "float":
    """Half of x."""
    progress = Progress(3, "steps")
    progress.advance(1, lambda: inner.note())
    problem, words = "it is odd", "some words"
    if x > 9:
        problem = "it is large"
    if x > 8:
        raise StrataError(f"x: {problem}; take {said(x)}.")
    if by == 0:
        raise ValueError(f"by is {shown(by)}, which is not allowed")
    assert by, "no by"

    def nested(y):
        return sklearn.metrics.f1_score(y, x)

    row = METRICS["one"]
    return sum(map(TABLE["a"], [x], [nested(x), row], key=inner.keyed)) + len(words)


def said(x):
    return f"{x} in words"


def shown(x):
    return x


def unused():
    return 1
'''
INNER = """DOUBLE = 2


def half():
    return 0.5


def note():
    return "a note"


def decorate(function):
    return function


def keyed(x):
    return x


def other():
    return 3
"""
METRICS = """from strata.data.inner import half, keyed

METRICS = {"one": keyed, "two": half}
"""
FILES = {
    "run.py": SCRIPT,
    "strata/data/outer.py": OUTER,
    "strata/data/inner.py": INNER,
    "strata/study/metrics.py": METRICS,
    "strata/runtime/errors.py": "class StrataError(Exception):\n    pass\n",
    "strata/runtime/progress.py": "class Progress:\n    every = 5\n",
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "workflow_scripts"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def changes(folder, file: str, old: str, new: str) -> bool:
    """Whether the script's hash changes when `old` becomes `new` in a file."""
    before, path = CodeTree(folder).version("run"), folder / file
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new))
    return CodeTree(folder).version("run") != before


OUTSIDE = [
    ("run.py", "# why\n", "# because\n\n\n"),
    ("run.py", '"""Does a thing."""\n', ""),
    ("run.py", "file=file)", "file=file\n    )  # four"),
    ("run.py", 'f"done {inner_words()}"', '"over", 3'),
    ("strata/data/outer.py", '"""Halves."""', '"""Something else,\nlonger."""'),
    ("strata/data/outer.py", '    """A thing."""\n\n', ""),
    ("strata/data/outer.py", '"""Its value."""', '"""Of it."""'),
    ("strata/data/outer.py", 'x: "float"', 'x: "complex | None"'),
    ("strata/data/outer.py", ' -> "float"', ""),
    ("strata/data/outer.py", "return 1", "return 2"),
    ("strata/data/outer.py", "def unused():\n    return 1\n", ""),
    ("strata/data/outer.py", "Halved", "Quartered"),
    # messages
    ("strata/data/outer.py", '"x is below 0"', '"x is negative"'),
    ("strata/data/outer.py", "; give another.", "; give one above 0."),
    ("strata/data/outer.py", '"it is large"', '"it is too large"'),
    ("strata/data/outer.py", "x: {problem}; take", "{problem}, so take"),
    ("strata/data/outer.py", "in words", "in other words"),
    ("strata/data/outer.py", "which is not allowed", "which is refused"),
    ("strata/data/outer.py", '"no by"', '"there is no by"'),
    ("strata/data/outer.py", 'Progress(3, "steps")', 'Progress(3, "steps taken")'),
    ("strata/data/inner.py", '"a note"', '"another note"'),
    # what is not reached, registries, and what runs around the work
    ("strata/data/inner.py", "return 3", "return 4"),
    ("strata/data/inner.py", "def other", "def added():\n    return 9\n\n\ndef other"),
    ("strata/study/metrics.py", '"two": half', '"two": keyed, "three": half'),
    ("strata/runtime/progress.py", "every = 5", "every = 6"),
]
INSIDE = [
    ("run.py", "halved(4)", "halved(5)"),
    ("run.py", "within.DOUBLE", "within.half()"),
    ("run.py", "print(halved", "str(halved"),
    ("strata/data/outer.py", "half() *", "half() /"),
    ("strata/data/outer.py", "factor = 4", "factor = 5"),  # a base
    ("strata/data/outer.py", "(Base)", ""),
    ("strata/data/outer.py", "x > 8", "x > 7"),
    ("strata/data/outer.py", "by == 0", "by == 1"),
    ("strata/data/outer.py", "shown(by)", "by"),  # of other exceptions the text alone
    ("strata/data/outer.py", "some words", "more words"),  # not only said
    ("strata/data/outer.py", '"b": "text"', '"b": "texts"'),  # in a table
    ("strata/data/outer.py", "np.multiply", "np.add"),
    ("strata/data/outer.py", "import numpy as np", "import another as np"),
    ("strata/data/outer.py", "import sklearn.metrics", "from another import sklearn"),
    ("strata/data/outer.py", "f1_score(y, x)", "f1_score(x, y)"),  # in a nested function
    ("strata/data/outer.py", "    @always_raises\n", ""),
    ("strata/data/outer.py", "@inner.decorate\n", ""),
    ("strata/data/outer.py", "by=inner.DOUBLE", "by=3"),
    ("strata/data/inner.py", "0.5", "0.25"),
    ("strata/data/inner.py", "0.5", "'0.5'"),
    ("strata/data/inner.py", "DOUBLE = 2", "DOUBLE = 3"),
    ("strata/data/inner.py", "return function", "return None"),  # a decorator
    ("strata/data/inner.py", "return x", "return -x"),  # passed as a value
]


@pytest.mark.parametrize(("file", "old", "new"), OUTSIDE)
def test_what_changes_no_number_does_not_count(folder, file, old, new):
    if old == "Halved":  # a name, everywhere
        (folder / "run.py").write_text(SCRIPT)
        before = CodeTree(folder).version("run")
        for path in (folder / "run.py", folder / file):
            path.write_text(path.read_text().replace(old, new))
        assert CodeTree(folder).version("run") == before
        return
    assert not changes(folder, file, old, new)


@pytest.mark.parametrize(("file", "old", "new"), INSIDE)
def test_what_a_result_may_depend_on_counts(folder, file, old, new):
    assert changes(folder, file, old, new)


def test_the_same_name_may_stand_for_another_definition(folder):
    """Two functions with the same text and two names: which one is called counts, not its name."""
    text = INNER + "\n\ndef quarter():\n    return 0.25\n"
    (folder / "strata/data/inner.py").write_text(text)
    assert changes(folder, "strata/data/outer.py", "inner.half()", "inner.quarter()")
    moved = text.replace("def half():\n    return 0.5\n", "")
    (folder / "strata/data/inner.py").write_text(text)
    (folder / "strata/data/outer.py").write_text(OUTER)
    before = CodeTree(folder).version("run")
    (folder / "strata/data/inner.py").write_text(f"def half():\n    return 0.5\n\n\n{moved}")
    assert CodeTree(folder).version("run") == before


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ("from strata.data import inner", "inner.other()"),
        ("from strata.data import inner as i", "i.other()"),
        ("from strata.data.inner import other", "other()"),
        ("from strata.data.inner import other as o", "print(o(), file=log)"),
        ("import strata.data.inner", "strata.data.inner.other()"),
        ("import strata.data.inner as i", "i.other()"),
        ("def f():\n    from strata.data.inner import other\n    return other()", "f()"),
        ("if True:\n    from strata.data.inner import other", "x = [other]"),
    ],
)
def test_every_way_to_import_is_followed(folder, line, use):
    (folder / "run.py").write_text(f"{SCRIPT}\n{line}\n{use}\n")
    assert changes(folder, "strata/data/inner.py", "return 3", "return 4")


def test_calls_in_a_circle_end(folder):
    (folder / "strata/data/inner.py").write_text(
        "from strata.data import outer\n\n" + INNER.replace("return x", "return outer.halved(x)")
    )
    assert changes(folder, "strata/data/outer.py", "half() *", "half() /")


def test_a_row_counts_where_a_job_uses_it(folder):
    def versions():
        tree = CodeTree(folder)
        return [tree.version("run", metric=key) for key in (None, "one", "two")]

    before = versions()
    assert len(set(before)) == 3
    path = folder / "strata/study/metrics.py"
    path.write_text(METRICS.replace('"two": half', '"two": keyed, "three": half'))
    none, one, two = versions()
    assert [none, one] == before[:2] and two != before[2]
    with pytest.raises(KeyError, match="no row 'four'"):
        CodeTree(folder).version("run", metric="four")


def test_a_file_beside_a_module_that_reads_it_counts(folder):
    (folder / "strata/data/card.md").write_text("# A card")
    (folder / "strata/data/inner.py").write_text(
        "from pathlib import Path\n\n"
        + INNER.replace("DOUBLE = 2", 'DOUBLE = Path(__file__).with_name("card.md").read_text()')
    )
    assert changes(folder, "strata/data/card.md", "A card", "Another card")


def test_a_version_is_the_same_elsewhere(folder, tmp_path):
    """Another checkout, another user: no path is in it."""
    shutil.copytree(folder, tmp_path / "elsewhere")
    version = CodeTree(folder).version("run")
    assert CodeTree(tmp_path / "elsewhere").version("run") == version
    assert re.fullmatch("[0-9a-f]{16}", version)


# ---------------------------------------------------------------- the workflow's own code

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
DRAWS_MAPS = {"plot_cka", "plot_map_grid", "plot_model_pairs"}
READS_ACTIVATIONS = {
    "compare_models", "compare_states", "dump_activations", "find_blocks", "measure_controls",
    "measure_movement", "measure_variability",
    "score_untuned", "tune_fresh_heads", "tune_heads",
}  # fmt: skip


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code") / "workflow_scripts"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def versions(folder) -> dict[str, str]:
    tree = CodeTree(folder)
    return {name: tree.version(name) for name in NAMES}


@pytest.fixture(scope="module")
def unedited(code):
    return versions(code)


# An edit, and the scripts whose hash it changes.
EDITS = {
    "a message": (
        "strata/data/batches.py", "The GPU's memory does not hold", "The GPU cannot hold", set()
    ),
    "a log line": (
        "strata/analysis/truncation.py", " rate of the grid is the best", " rate wins", set()
    ),
    "a warning sign in a helper": (
        "strata/analysis/activations.py", "is not a complete HDF5 file", "is cut short", set()
    ),
    "an unused function": (
        "strata/analysis/tables.py", "def read_metrics",
        "def added():\n    pass\n\n\ndef read_metrics", set(),
    ),
    "a new architecture": (
        "strata/study/architectures.py", '    "bert": Arch',
        '    "new": Architecture("encoder.layers"),\n    "bert": Arch', set(),
    ),
    "where another architecture has its adapters": (
        "strata/study/architectures.py", '    "albert": ("albert_layers',
        '    "modernbert": ("attn.out_drop", "mlp.Wo"),\n    "albert": ("albert_layers', set(),
    ),
    "a new metric": (
        "strata/study/metrics.py", '    "f1": Metric(',
        '    "kappa": Metric(CLASSES, mcc, counted_mcc, title="Kappa"),\n    "f1": Metric(', set(),
    ),
    "a column of the skipping table": (
        "strata/analysis/tables.py", '"baseline", [', '"base", [', {"tabulate_skipping"}
    ),
    "the CKA formula": (
        "strata/analysis/cka.py", "n / (n - 2)", "n / (n - 3)",
        {"choose_layers", "compare_states", "compare_models", "find_blocks"},
    ),
    "the optimiser": (
        "strata/modeling/training.py", '"adamw_torch_fused"', '"adamw_torch"',
        {"ablate", "finetune", "train_cut"},
    ),
    "what an ablation does": (
        "strata/modeling/reinit.py", "sorted(layers)", "layers", {"ablate"}
    ),
    "a run's row": (
        "strata/analysis/runs.py", '"train_examples",', "", {"collect_reinit", "compare_selection"}
    ),
    "the maps' colours": ("strata/figures/cka.py", '"viridis"', '"magma"', DRAWS_MAPS),
    "a sentence of the findings": (
        "strata/analysis/agreement.py", " of the full score", " of all layers", {"compare_methods"}
    ),
    "who leaves at a depth": (
        "strata/analysis/early_exit.py", "confidence > threshold", "confidence >= threshold",
        {"measure_exits"},
    ),
    "the model card": (
        "strata/export/card.py", "fewer parameters", "less",
        {"export_layers", "export_model", "export_trained"},
    ),
    "what a smaller model learns from": (
        "strata/modeling/distillation.py", "temperature**2", "temperature", {"train_cut"}
    ),
    "the activations' layout": (
        "strata/analysis/activations.py", "SCHEMA_VERSION = 3", "SCHEMA_VERSION = 4",
        READS_ACTIVATIONS,
    ),
    "what runs around the work": (
        "strata/runtime/progress.py", "every: float = 5.0", "every: float = 9.0", set()
    ),
    "the hash itself": ("strata/runtime/code_hash.py", "[:16]", "[:17]", set()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_the_hash_of_what_it_feeds_and_nothing_else(edit, code, unedited):
    file, old, new, expected = EDITS[edit]
    path = code / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        now = versions(code)
    finally:
        path.write_text(text)
    assert {name for name in NAMES if now[name] != unedited[name]} == expected


def messages(tree: ast.Module) -> list[ast.expr]:
    """Text in the arguments of everything that makes messages, found independently."""
    raising = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and "always_raises" in map(ast.unparse, node.decorator_list)
    }  # fmt: skip
    saying = {"StrataError", "print", "Progress", "advance", *raising}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            calls = [node.exc]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in saying:
            calls = [node]
        else:
            continue
        for call in filter(None, calls):
            texts += [
                part
                for part in ast.walk(call)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
    return texts


@pytest.mark.slow
def test_no_message_anywhere_counts(code, unedited):
    """Every text of every message is altered at once, or one by one if that changes a hash."""
    kept, altered = {}, 0
    for path in [*code.glob("*.py"), *code.joinpath("strata").rglob("*.py")]:
        kept[path] = path.read_text()
        tree = ast.parse(kept[path])
        for text in messages(tree):
            if text.value:
                text.value += " altered"
                altered += 1
        path.write_text(ast.unparse(tree))
    try:
        assert altered > 100
        assert versions(code) == unedited
    finally:
        for path, text in kept.items():
            path.write_text(text)


def test_a_registrys_row_is_named_by_every_script_that_looks_into_it():
    """As rules name them: see tests/workflow/test_rules.py."""
    tree = CodeTree(SCRIPTS)
    for module, table in REGISTRIES.values():
        assert table in tree.module(module).definitions


def test_a_metrics_title_counts_nowhere_and_its_formula_where_it_is_used(code):
    path = code / "strata/study/metrics.py"
    text = path.read_text()

    def version(metric):
        return CodeTree(code).version("score_run", metric=metric)

    before = [version("f1"), version("accuracy-f1"), version("accuracy"), version("pearson")]
    try:
        path.write_text(text.replace('title="F1"', 'title="F1 of label 1"'))
        assert version("f1") == before[0]
        path.write_text(text.replace("zero_division=0", "zero_division=1"))
        after = [version("f1"), version("accuracy-f1"), version("accuracy"), version("pearson")]
    finally:
        path.write_text(text)
    assert after[0] != before[0] and after[1] != before[1] and after[2:] == before[2:]


def test_fetching_a_model_depends_on_no_architecture(code, unedited):
    text = (code / "strata/study/architectures.py").read_text()
    (code / "strata/study/architectures.py").write_text(
        text.replace('"bert": Architecture("encoder.', '"bert": Architecture("layers.')
    )
    try:
        assert versions(code) == unedited
        tree = CodeTree(code)
        changed, same = tree.version("finetune", architecture="bert"), CodeTree(SCRIPTS)
        assert changed != same.version("finetune", architecture="bert")
        assert tree.version("finetune", architecture="electra") == same.version(
            "finetune", architecture="electra"
        )
    finally:
        (code / "strata/study/architectures.py").write_text(text)
