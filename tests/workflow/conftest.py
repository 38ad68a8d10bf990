"""A whole study on tiny encoders, run once by Snakemake; its results serve all workflow tests."""

from pathlib import Path

import pandas as pd
import pytest

from helpers.workflows import COSTLY, SISTERS, Workflow, copy_workflow, write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Workflow:
    """The finished study; tests that edit code or config only plan, they run nothing."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    workflow = Workflow(copy_workflow(folder / "workflow"), folder)
    one_thread = [f"{rule}=1" for rule in COSTLY]
    workflow.output = workflow.configured("--cores", "2", "--set-threads", *one_thread)
    return workflow


@pytest.fixture(scope="session")
def sisters(study) -> Workflow:
    """A finished study of the sister papers, on two of the encoders and tasks of `study`."""
    one_thread = [f"{rule}=1" for rule in COSTLY]
    workflow = Workflow(study.code, study.folder)
    workflow.output = workflow.configured("--cores", "2", "--set-threads", *one_thread, **SISTERS)
    return workflow


@pytest.fixture(scope="session")
def results(study) -> Path:
    return study.folder / "results" / "tiny"


@pytest.fixture
def table(results):
    return lambda name: pd.read_csv(results / name)
