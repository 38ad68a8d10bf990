"""Strata as a module of another workflow."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from helpers import tiny
from helpers.forks import HANDOVER, SOCKET
from helpers.workflows import RECIPE, REPOSITORY, copy_workflow, write_tasks

PAGE = (REPOSITORY / "docs/module.md").read_text()
# What the page says a user's Snakefile is, with its own path of Strata in place of the page's.
(SNAKEFILE,) = re.findall(r"```python\n(configfile:.*?)```", PAGE, re.DOTALL)
PATH = '"path/to/strata/Snakefile"'
ANALYSES = ["cka", "controls", "truncation", "skipping", "exits", "frontier", "export"]
COMPANIONS = ["reinit", "variability", "agreement", "claims"]


@pytest.fixture(scope="module")
def strata(tmp_path_factory) -> Path:
    return copy_workflow(tmp_path_factory.mktemp("elsewhere") / "strata")


@pytest.fixture
def parent(strata, planner, jobs, tmp_path):
    """A workflow that has Strata as a module; of its config all that config.yaml does not say."""
    tiny.save_model(tmp_path / "source/roberta", "roberta")
    tasks = write_tasks(tmp_path / "source/tasks", "source/tasks")
    study = {
        "outdir": "results/strata",
        "study": {
            "models": ["roberta"],
            "tasks": ["entail"],
            "seeds": [1],
            "analyses": ["truncation"],
            "skipping": ["roberta"],
            "figure1": {"model": "roberta", "task": "entail"},
        },
        "models": {"roberta": {"source": "path:source/roberta"}},
        "tasks": {"entail": tasks["entail"]},
        **RECIPE,
    }
    text = SNAKEFILE.replace(PATH, repr(str(strata / "Snakefile")))
    return Parent(tmp_path, text, study, planner, jobs)


class Parent:
    def __init__(self, folder, text, study, planner, jobs):
        self.folder, self.text, self.study = folder, text, study
        self.planner, self.jobs = planner, jobs

    def run(
        self, *arguments: str, text: str | None = None, **changes
    ) -> subprocess.CompletedProcess:
        (self.folder / "Snakefile").write_text(text or self.text)
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"strata": self.study | changes}))
        environment = os.environ | {SOCKET: str(self.jobs.path), "PYTHONPATH": str(HANDOVER)}
        return self.planner.run(["-m", "snakemake", *arguments], self.folder, environment)

    def planned(self, *arguments: str, **options) -> dict[str, int]:
        """How many jobs of each rule a dry run has."""
        done = self.run(*arguments, "--dry-run", "--quiet", "rules", **options)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-3000:]
        return {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", said, re.MULTILINE)}


def test_the_workflow_that_uses_it_keeps_its_own_default_target(parent):
    jobs = parent.planned()
    assert jobs["all"] == 1 and jobs["report_answer"] == 1 and jobs["strata_finetune"] == 1
    assert "strata_all" not in jobs and "strata_plot_truncation" not in jobs
    jobs = parent.planned("strata_all")
    assert jobs["strata_plot_truncation"] == 1 and "report_answer" not in jobs


def test_every_analysis_is_planned_under_its_new_name(parent):
    """Those too that wait for a checkpoint of Snakemake's."""
    jobs = parent.planned(*(f"strata_{name}" for name in ANALYSES + COMPANIONS))
    assert jobs["strata_measure_variability"] == 1 and jobs["strata_choose_layers"] == 1
    assert all(rule.startswith("strata_") or rule == "total" for rule in jobs)


def test_what_it_makes_lies_where_its_config_says(parent):
    tokens = parent.folder / "results/strata/tokens/roberta_entail/eval.arrow"
    done = parent.run("--cores", "1", str(tokens.relative_to(parent.folder)))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert tokens.is_file() and (parent.folder / "data/models/roberta/config.json").is_file()
    assert list((parent.folder / "results/strata/logs/tokenize_task").iterdir())


def test_what_needs_a_network_stays_where_snakemake_runs(parent):
    """Also under new names, which a list of local rules would not know."""
    asked = "import sys\nprint(*workflow._localrules, file=sys.stderr)"
    done = parent.run("--list", text=f"{parent.text}\n\n{asked}\n")
    assert set(done.stderr.split()) == {
        "strata_fetch_model", "strata_fetch_task", "strata_fetch_given"
    }  # fmt: skip


def test_a_wrong_config_is_told_as_ever(parent):
    done = parent.run("--dry-run", colour="red")
    assert done.returncode and "there is no key 'colour'" in done.stdout + done.stderr


def test_a_prefix_is_refused(parent):
    text = parent.text.replace("    config:", '    prefix: "sub"\n    config:')
    done = parent.run("--dry-run", text=text)
    assert done.returncode and "Strata as a module has no 'prefix'" in done.stdout + done.stderr


def test_a_source_without_its_library_is_refused(parent, strata):
    """gitfile(), which needs no network, is read as github() is."""
    git = ["git", "-C", str(strata), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    hosted = f"gitfile({str(strata)!r}, path='Snakefile', tag='v1')"
    done = parent.run(
        "--dry-run", text=parent.text.replace(repr(str(strata / "Snakefile")), hosted)
    )
    assert done.returncode
    assert "Strata's Snakefile must be a local path: clone Strata" in done.stdout + done.stderr
