"""What rules pass to their jobs: params in which Snakemake sees changes."""

import json

import pytest

from helpers.workflows import REPOSITORY

# mine.yaml is meant to be copied; its paths belong to somebody else.
FILES = sorted(path.name for path in (REPOSITORY / "studies").glob("*.yaml"))
STUDIES = [None, *(name for name in FILES if name != "mine.yaml")]
# Run in a separate process: Snakemake's API leaves loggers and settings behind.
PARAMS = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings,
)

def kinds(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from kinds(key)
            yield from kinds(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from kinds(inner)
    else:
        yield type(value).__name__

snakefile, folder, out, *configfiles = sys.argv[1:]
with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=list(map(Path, configfiles))),
        snakefile=Path(snakefile),
        workdir=Path(folder),
    )
    targets = {
        "cka", "controls", "truncation", "skipping", "exits", "frontier", "export", "reinit",
        "variability", "agreement", "claims",
    }  # fmt: skip
    workflow.dag(dag_settings=DAGSettings(targets=targets))
    planned = workflow._workflow
    planned._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    planned._build_dag()
    found = [
        [job.rule.name, name, sorted({type(value).__name__, *kinds(value)})]
        for job in planned.dag.jobs
        for name, value in job.params.items()
    ]
Path(out).write_text(json.dumps(found))
"""
# The last is Snakemake's own, for a param that waits for a checkpoint.
PLAIN = {"dict", "list", "str", "int", "float", "bool", "NoneType", "TBDString"}


@pytest.mark.parametrize("study", STUDIES)
def test_params_are_plain(study, planner, tmp_path):
    """Snakemake silently leaves params of any other type out of its comparison."""
    script, out = tmp_path / "params.py", tmp_path / "params.json"
    script.write_text(PARAMS)
    files = [str(REPOSITORY / "studies" / study)] if study else []
    snakefile = str(REPOSITORY / "Snakefile")
    done = planner.run([str(script), snakefile, str(tmp_path), str(out), *files], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    params = json.loads(out.read_text())
    other = {
        (rule, name, *set(types) - PLAIN) for rule, name, types in params if set(types) - PLAIN
    }
    assert not other
    assert len(params) > 100 and {rule for rule, name, _ in params if name == "code"} >= {
        "finetune", "dump_eval", "tabulate_cka", "tune_heads",
    }  # fmt: skip


def test_nothing_is_deleted_by_a_dry_run(own_study):
    """Nor are the locks that a killed Snakemake left, which a run removes."""
    locks = own_study.folder / ".snakemake" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    left = locks / "0.output.lock"
    left.write_text("results/tiny/summary.csv\n")
    try:
        done = own_study.configured("--dry-run")
        assert left.is_file() and "Removed the locks" not in done.stdout + done.stderr
        done = own_study.configured("results/tiny/summary.csv", "--cores", "1")
        assert "Removed the locks of a Snakemake that was killed" in done.stdout + done.stderr
        assert not left.is_file()
    finally:
        left.unlink(missing_ok=True)
