"""Whole studies on tiny encoders, run once by Snakemake; their results serve all workflow tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from helpers.forks import JOBS, SNAKEMAKE, Forks
from helpers.recording import record
from helpers.shared import once
from helpers.today import write_today
from helpers.workflows import (
    COMPANIONS,
    COSTLY,
    MINE,
    PASSING,
    RUNS,
    Workflow,
    copy_workflow,
    write_study,
)

SAID = "said.txt"  # Snakemake's output while it ran a study


@pytest.fixture(scope="session")
def planner(tmp_path_factory) -> Iterator[Forks]:
    """A server that Snakemake may run in if it only plans, or if its own start does not matter."""
    forks = Forks(tmp_path_factory.mktemp("planner"), SNAKEMAKE)
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def jobs(tmp_path_factory) -> Iterator[Forks]:
    """A server that jobs may run in if their start and their end by signals do not matter."""
    forks = Forks(tmp_path_factory.mktemp("jobs"), JOBS)
    yield forks
    forks.close()


def run_study(folder: Path, request, **changes) -> None:
    """Run the study in a folder and keep the output."""
    planner, jobs = (request.getfixturevalue(name) for name in ("planner", "jobs"))
    workflow = Workflow(folder / "workflow", folder, planner, jobs)
    # Each process that runs tests has one core.
    cores = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
    one_thread = [f"{rule}=1" for rule in COSTLY]
    done = workflow.configured("--cores", cores, "--set-threads", *one_thread, **changes)
    (folder / SAID).write_text(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def study(tmp_path_factory, planner, request) -> Workflow:
    """The finished study, which other processes also read: tests only plan, and change nothing."""

    def make(folder: Path) -> None:
        write_study(folder)
        record(copy_workflow(folder / "workflow"))
        run_study(folder, request)

    folder = once(tmp_path_factory, "study", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


@pytest.fixture(scope="module")
def own_study(study, tmp_path_factory) -> Workflow:
    """A copy of the finished study for tests that touch, edit or move files of it."""
    folder = tmp_path_factory.mktemp("own") / "study"
    shutil.copytree(study.folder, folder, symlinks=True, ignore=PASSING)
    return Workflow(folder / "workflow", folder, study.planner)


@pytest.fixture(scope="session")
def companions(study, tmp_path_factory, planner, request) -> Workflow:
    """A finished study of the companion papers, on two of the encoders and tasks of `study`."""

    def make(folder: Path) -> None:
        shutil.copytree(study.folder, folder, symlinks=True, ignore=PASSING, dirs_exist_ok=True)
        run_study(folder, request, **COMPANIONS)

    folder = once(tmp_path_factory, "companions", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


@pytest.fixture(scope="session")
def mine(study, tmp_path_factory, planner, request) -> Workflow:
    """The finished study of MINE, next to the one that made its checkpoints."""

    def make(folder: Path) -> None:
        shutil.copytree(study.folder, folder, symlinks=True, ignore=PASSING, dirs_exist_ok=True)
        for seed in (1, 2):
            checkpoint = folder / RUNS / f"seed{seed}" / "checkpoint"
            shutil.copytree(checkpoint, folder / f"source/mine/{seed}")
        run_study(folder, request, **MINE)

    folder = once(tmp_path_factory, "mine", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


@pytest.fixture(scope="session")
def today(tmp_path_factory, planner, request) -> Workflow:
    """The finished study of today's models, with all analyses."""

    def make(folder: Path) -> None:
        write_today(folder)
        record(copy_workflow(folder / "workflow"))
        run_study(folder, request)

    folder = once(tmp_path_factory, "today", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


@pytest.fixture(scope="session")
def results(study) -> Path:
    return study.folder / "results" / "tiny"


@pytest.fixture
def table(results):
    return lambda name: pd.read_csv(results / name)
