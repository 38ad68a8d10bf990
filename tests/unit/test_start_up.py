"""What jobs import before they work: half of a small job's time, easily increased by one line."""

import ast
import subprocess
import sys

import pytest

from strata.runtime.code_hash import SCRIPTS

RUN_MODELS = {
    "ablate",
    "adopt",
    "choose_layers",
    "dump_activations",
    "dump_sets",
    "export_layers",
    "export_model",
    "export_onnx",
    "export_trained",
    "finetune",
    "measure_costs",
    "measure_onnx",
    "measure_variability",
    "score_sets",
    "score_untuned",
    "skip_spans",
    "train_cut",
    "tune_fresh_heads",
    "tune_heads",
}
TOKENISE = {"check_given", "tokenize_task"}
LIGHT = {path.stem for path in SCRIPTS.glob("*.py")} - RUN_MODELS - TOKENISE


def imported_by(*scripts: str) -> set[str]:
    """Modules in a process that does all imports of these scripts."""
    kinds = ast.Import | ast.ImportFrom
    trees = [ast.parse((SCRIPTS / f"{name}.py").read_text()) for name in scripts]
    lines = [ast.unparse(n) for tree in trees for n in ast.walk(tree) if isinstance(n, kinds)]
    code = "\n".join([*lines, "import sys", "print(*sys.modules)"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_tables_scores_figures_and_fetching_start_without_what_is_heavy():
    assert len(LIGHT) > 20
    heavy = {"torch", "transformers", "datasets", "sklearn", "scipy", "huggingface_hub"}
    assert not imported_by(*LIGHT) & heavy


def test_only_figures_import_what_draws():
    # The explorer has the figures' colours and words.
    tables = [name for name in LIGHT if not name.startswith("plot_") and name != "explorer"]
    assert not imported_by(*tables) & {"matplotlib", "plotnine"}


def test_tokenising_imports_no_models():
    """The tokenizers' code imports torch; models' code is as much again."""
    found = imported_by(*TOKENISE)
    assert "transformers" in found and "transformers.modeling_utils" not in found


@pytest.mark.slow
def test_what_runs_models_starts_without_what_only_some_metrics_use():
    assert not imported_by("score_untuned", "skip_spans", "tune_heads") & {"sklearn", "scipy.stats"}
