"""The commands that README.md and the pages of docs/ document, and the linters."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import tiny
from helpers.pages import block, commands, pages
from helpers.workflows import REPOSITORY, copy_workflow

# A report needs results: it has its own test below. Environments and modules have theirs, with what
# stands in for conda, Apptainer and another workflow (test_environments, test_module).
ELSEWHERE = ("--report", "--sdm", "strata_")
COMMANDS = [each for each in commands("snakemake") if not any(word in each for word in ELSEWHERE)]
# Studies that a page tells the reader to write: a block that begins with the file's name.
STUDIES = {
    named[1]: text
    for page in pages()
    for text in block("yaml", page)
    if (named := re.match(r"# ([\w-]+\.yaml)\n", text))
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the workflow, with the studies that the pages let a reader write into it."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    for name, text in STUDIES.items():
        for model in re.findall(r"path:/models/([\w-]+)", text):
            tiny.save_model(folder / "models" / model, "roberta")
        (folder / name).write_text(text.replace("path:/models", "path:models"))
    return folder


@pytest.fixture
def snakemake(planner, clone):
    return lambda *arguments: planner.run(["-m", "snakemake", *arguments], clone)


def test_the_pages_document_the_commands():
    assert "snakemake --cores 8 --resources gpu=2" in COMMANDS
    assert "snakemake results/cka/albert_rte.png" in COMMANDS
    assert "snakemake --workflow-profile profiles/slurm" in COMMANDS
    assert {"mine.yaml", "study.yaml"} <= set(STUDIES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_plans(snakemake, command):
    done = snakemake(*shlex.split(command)[1:], "--dry-run", "--quiet")
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_whole_paper_is_72_runs(snakemake):
    done = snakemake("--dry-run", "--quiet", "rules")
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert counts["finetune"] == "72" and counts["fetch_task"] == "12"
    assert "figure7" in counts and counts["skip_spans"] == "24"


def test_the_demo_has_no_figure_without_inputs(snakemake):
    done = snakemake("--workflow-profile", "profiles/demo", "--dry-run", "--quiet", "rules")
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert counts["finetune"] == "4" and "figure6" in counts and "figure7" not in counts


def test_a_dry_run_of_tamkins_study_says_how_many_runs_it_needs(snakemake):
    done = snakemake("--configfile", "studies/tamkin.yaml", "-n", "--quiet", "rules")
    said = done.stdout + done.stderr
    assert "Partial reinitialisation needs 1,800 runs." in said
    assert "1,800 runs" in (REPOSITORY / "docs" / "companions.md").read_text()
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", said, re.MULTILINE))
    assert int(counts["ablate"]) + int(counts["finetune"]) == 1800
    # Runs that differ only in their variant share one token file.
    assert counts["tokenize_task"] == "3"


def test_the_explorer_trains_no_run_that_the_analyses_do_without(snakemake, tmp_path):
    pair = {"models": ["roberta"], "tasks": ["rte"], "figure1": {"model": "roberta", "task": "rte"}}
    study = {**pair, "seeds": [1, 2, 3], "skipping": [], "analyses": ["frontier"]}
    file = tmp_path / "study.json"
    file.write_text(json.dumps({"study": study, "frontier": {"seeds": [2]}}))
    done = snakemake("--dry-run", "--quiet", "rules", "--configfile", str(file))
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert counts["explorer"] == counts["finetune"] == "1", done.stderr


def test_an_unregistered_name_is_refused(snakemake):
    done = snakemake("results/cka/bort_rte.png", "--dry-run")
    said = done.stdout + done.stderr
    assert done.returncode and "'bort' is not registered under 'models'; registered are" in said


def test_lint_is_clean(snakemake):
    done = snakemake("--lint")
    assert done.returncode == 0, done.stderr


def test_planning_imports_no_torch(clone):
    code = (
        "import sys\n"
        "from snakemake.cli import main\n"
        "try:\n    main(['--dry-run', '--quiet'])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=clone
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_documented_graph_has_every_rule():
    rules = {
        name
        for file in (REPOSITORY / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    (graph,) = block("mermaid", REPOSITORY / "docs" / "design.md")
    drawing = {name for name in rules if name.startswith(("plot_", "figure"))}
    assert drawing and rules - drawing <= set(re.findall(r"\w+", graph))
