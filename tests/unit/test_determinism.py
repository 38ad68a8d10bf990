"""What a training job sets for equal weights, and what it must not set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import tiny
from strata.data.tokens import write_tokens
from strata.modeling import training

SCRIPTS = Path(training.__file__).parents[2]
# A job's script as Snakemake runs it, then the state in which the process ends.
JOB = """
import json, os, runpy, sys
from types import SimpleNamespace

class Files(dict):
    __getattr__ = dict.__getitem__
    __iter__ = lambda self: iter(self.values())

job = json.load(open(sys.argv[1]))
runpy.run_path(sys.argv[2], {"snakemake": SimpleNamespace(
    input=Files(job["input"]), output=Files(job["output"]), wildcards=Files(job["wildcards"]),
    params=Files(job["params"]), resources=Files(jobs_per_device=1), threads=1,
    log=[job["log"]], config={"resume": {"save_minutes": 10}},
    scriptdir=os.path.dirname(sys.argv[2]),
)})
import torch
state = {
    "algorithms": torch.are_deterministic_algorithms_enabled(),
    "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
    "filled": torch.utils.deterministic.fill_uninitialized_memory,
    "cudnn": [torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark],
    "environment": dict(os.environ),
}
json.dump(state, open(sys.argv[3], "w"))
"""


def write_inputs(folder: Path) -> dict[str, str]:
    """Of a fine-tuning: path of every input."""
    model, task = tiny.save_model(folder / "model", "bert", layers=2), tiny.task()
    (model / "source.json").write_text('{"source": "tests/tiny.py"}')
    paths = {"model": str(model), "task": str(folder / "task.json")}
    Path(paths["task"]).write_text(json.dumps(vars(task)))
    for split in ("train", "eval"):
        paths[split] = str(folder / f"{split}.parquet")
        paths[f"{split}_tokens"] = str(folder / f"{split}.arrow")
        tiny.examples(count=24).to_parquet(paths[split], index=False)
        write_tokens(paths[f"{split}_tokens"], tiny.rows(count=24))
    return paths


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> dict:
    """The state in which a fine-tuning process ends."""
    folder = tmp_path_factory.mktemp("job")
    names = {
        "checkpoint": "checkpoint",
        "predictions": "predictions.parquet",
        "history": "history.csv",
        "run": "run.json",
    }
    job = {
        "input": write_inputs(folder),
        "output": {key: str(folder / name) for key, name in names.items()},
        "wildcards": {"model": "tiny", "task": "tiny", "variant": "full", "seed": "1"},
        "params": {"training": tiny.TRAINING, "style": "transformers", "code": "0"},
        "log": str(folder / "log.txt"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    paths = [folder / "job.json", SCRIPTS / "finetune.py", folder / "state.json"]
    environment = {key: text for key, text in os.environ.items() if not key.startswith("CU")}
    command = [sys.executable, "-c", JOB, *map(str, paths)]
    done = subprocess.run(command, cwd=SCRIPTS, env=environment, check=False)
    assert not done.returncode, (folder / "log.txt").read_text()
    assert json.loads((folder / "run.json").read_text())["steps"] == tiny.TRAINING["max_steps"]
    return json.loads(paths[2].read_text())


def test_kernels_that_add_in_any_order_are_refused(ended):
    assert ended["algorithms"] and not ended["warn_only"]
    assert ended["cudnn"] == [True, False]
    assert ended["environment"]["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert ended["environment"]["FLASH_ATTENTION_DETERMINISTIC"] == "1"


def test_no_kernel_is_waited_for_and_no_memory_filled(ended):
    """Trainer's full determinism does this: on a GPU, it takes most of a small step."""
    assert "CUDA_LAUNCH_BLOCKING" not in ended["environment"]
    assert not ended["filled"]
