"""What a dry run shows of conda and of Apptainer, neither of which need be installed here."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from helpers.workflows import REPOSITORY

CONDA = yaml.safe_load((REPOSITORY / "envs/strata.yaml").read_text())
LOCK = (REPOSITORY / "envs/requirements.txt").read_text()
# What Snakemake asks of them before it plans.
INFO = json.dumps({"conda_prefix": "/opt/conda", "platform": "linux-64"})
PRIORITY = json.dumps({"get": {"channel_priority": "strict"}})
STUBS = {
    "conda": f"""case $1 in
      info) echo '{INFO}' ;;
      config) echo '{PRIORITY}' ;;
      *) echo 'conda 26.1.0' ;;
    esac""",
    "apptainer": "echo 'apptainer version 1.4.0'",
}


@pytest.fixture
def installed(tmp_path):
    """A PATH that begins with commands of these names, which only say what they are."""

    def path(*names: str) -> dict[str, str]:
        for name in names:
            stub = tmp_path / "bin" / name
            stub.parent.mkdir(exist_ok=True)
            stub.write_text(f"#!/bin/sh\n{STUBS[name]}\n")
            stub.chmod(0o755)
        return os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    return path


@pytest.fixture
def dry_run(planner, tmp_path):
    def run(environment: dict[str, str], *deployment: str) -> tuple[int, str]:
        command = ["-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        options = [
            "--directory",
            str(tmp_path),
            "--configfile",
            str(REPOSITORY / "studies/demo.yaml"),
        ]
        options += ["--dry-run", "--quiet", "rules", "--sdm", *deployment]
        done = planner.run([*command, *options], tmp_path, environment)
        return done.returncode, done.stdout + done.stderr

    return run


def test_conda_makes_one_environment_for_all_rules(installed, dry_run):
    status, said = dry_run(installed("conda"), "conda")
    assert status == 0, said[-3000:]
    (made,) = re.findall(r"Conda environment (\S+) will be created", said)
    assert Path(made).name == "strata.yaml" and re.search(r"^finetune +4$", said, re.MULTILINE)


def test_condas_environment_is_the_lock_in_one_file():
    """Snakemake copies the file, and nothing that it names, to where it makes the environment."""
    *_, of_pip = CONDA["dependencies"]
    assert of_pip == {"pip": [line for line in LOCK.splitlines() if not line.startswith("#")]}
    assert "pip" in CONDA["dependencies"] and "python=3.11" in CONDA["dependencies"]


def test_apptainer_runs_jobs_in_an_image_that_a_dry_run_does_not_need(installed, dry_run):
    status, said = dry_run(installed("apptainer"), "apptainer")
    assert status == 0, said[-3000:]
    assert re.search(r"^finetune +4$", said, re.MULTILINE) and "will be pulled" not in said


def test_a_run_without_the_image_says_how_to_build_it(installed, planner, tmp_path):
    command = ["-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    options = ["--directory", str(tmp_path), "--sdm", "apptainer"]
    done = planner.run([*command, *options], tmp_path, installed("apptainer"))
    said = done.stdout + done.stderr
    assert done.returncode and "There is no envs/strata.sif" in said, said[-3000:]
    assert "docs/environments.md" in said and (REPOSITORY / "docs/environments.md").is_file()


def test_the_image_is_made_of_the_lock():
    lines = (REPOSITORY / "envs/Dockerfile").read_text().splitlines()
    steps = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    assert steps["FROM"].startswith("python:3.11")
    source, target = steps["COPY"].split()
    assert (REPOSITORY / "envs" / source).read_text() == LOCK
    assert steps["RUN"].endswith(f"-r {target}")


def test_the_catalogue_is_told_what_it_asks():
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["software-stack-deployment"].keys() == {"conda", "apptainer", "apptainer+conda"}
    # What it lists a workflow by.
    readme = (REPOSITORY / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (REPOSITORY / "Snakefile").is_file() and list((REPOSITORY / "rules").glob("*.smk"))
