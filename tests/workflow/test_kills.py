"""A full disk, then a scheduler killed in the middle of training: the next call continues.

`make soak` does this at random moments, many times.
"""

import resource
import signal
import time

import psutil
import pytest
import yaml

from helpers import tiny
from helpers.workflows import RECIPE, Workflow, copy_workflow, merge, write_tasks

RUN = "runs/bert_entail/full/seed1"
ROOM = 40_000  # bytes per file: enough for everything except the optimiser's state


@pytest.fixture(scope="module")
def workflow(tmp_path_factory, planner) -> Workflow:
    folder = tmp_path_factory.mktemp("kills")
    study = {
        "outdir": "results/killed",
        "study": {"models": ["bert"], "tasks": ["entail"], "seeds": [1], "skipping": []},
        "models": {"bert": {"source": f"path:{tiny.save_model(folder / 'bert', 'bert', 2)}"}},
        "tasks": write_tasks(folder / "tasks"),
        "training": {"max_steps": 1200},
        "resume": {"save_minutes": 0.01},
    }
    study["study"]["figure1"] = {"model": "bert", "task": "entail"}
    (folder / "study.yaml").write_text(yaml.safe_dump(merge(RECIPE, study)))
    return Workflow(copy_workflow(folder / "workflow"), folder, planner)


def target(outdir: str) -> str:
    return f"{outdir}/{RUN}/metrics.json"


def wait_for(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)


def test_a_run_that_was_disturbed_ends_as_one_that_was_not(workflow):
    results = workflow.folder / "results"
    run, log = results / "killed" / RUN, results / "killed/logs/finetune/bert_entail_full_1.log"

    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))}
    done = workflow.run(*call("results/killed"), check=False, **limit)
    assert done.returncode and "left no room to write" in done.stdout + done.stderr
    assert "Traceback" not in log.read_text()
    assert not (run / "checkpoint").exists() and not list(run.rglob("checkpoint-*"))
    assert (workflow.folder / "data/models/bert/model.safetensors").is_file()  # nothing is lost

    scheduler = workflow.start(*call("results/killed"))
    wait_for(lambda: list(run.rglob("trainer_state.json")))
    below = psutil.Process(scheduler.pid).children(recursive=True)
    scheduler.send_signal(signal.SIGKILL)
    scheduler.wait()
    assert not psutil.wait_procs(below, timeout=60)[1], "a job outlived its workflow"
    assert list((workflow.folder / ".snakemake/locks").iterdir())
    assert not (run / "predictions.parquet").exists() and list(run.rglob("trainer_state.json"))

    done = workflow.run(*call("results/killed"))
    assert "Removed the locks of a Snakemake that was killed" in done.stderr
    assert "resuming at step" in log.read_text()
    assert not (run / ".resume").exists()

    workflow.run(*call("results/calm"))
    for file in ("checkpoint/model.safetensors", "predictions.parquet", "metrics.json"):
        assert (run / file).read_bytes() == (results / "calm" / RUN / file).read_bytes(), file


def call(outdir: str) -> list[str]:
    return [target(outdir), "--cores", "1", "--configfile", "study.yaml", "--config",
            f"outdir={outdir}"]  # fmt: skip
