"""The commands the README documents, and the linters."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import tiny
from helpers.workflows import REPOSITORY, copy_workflow

README = (REPOSITORY / "README.md").read_text()
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
        for line in block.splitlines()
        # A report needs results: it has its own test below.
        if line.startswith("snakemake") and "--report" not in line
    }
)


# The README's own example of a model that is fine-tuned already.
MINE = re.search(r"```yaml\n(outdir: results/support\n.*?)```", README, re.DOTALL)[1]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of the workflow, with what the README lets a user write into it."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    tiny.save_model(folder / "models/support-a", "roberta")
    (folder / "mine.yaml").write_text(MINE.replace("path:/models", "path:models"))
    return folder


@pytest.fixture
def snakemake(planner, clone):
    return lambda *arguments: planner.run(["-m", "snakemake", *arguments], clone)


def test_the_readme_documents_the_commands():
    assert "snakemake --cores 8 --resources gpu=2" in COMMANDS
    assert "snakemake results/cka/albert_rte.png" in COMMANDS
    assert "snakemake --workflow-profile profiles/slurm" in COMMANDS


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
    assert "Partial reinitialisation needs 1,800 runs." in said and "1,800 runs" in README
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", said, re.MULTILINE))
    assert int(counts["ablate"]) + int(counts["finetune"]) == 1800
    # Runs that differ in their variant alone share one token file.
    assert counts["tokenize_task"] == "3"


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


def test_the_readmes_graph_has_every_rule():
    rules = {
        name
        for file in (REPOSITORY / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    graph = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    drawing = {name for name in rules if name.startswith(("plot_", "figure"))}
    assert drawing and rules - drawing <= set(re.findall(r"\w+", graph))
