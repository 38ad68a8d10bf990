"""A small study whose jobs and scheduler are killed at random moments, until it is finished.

Run by ``make soak``, not by ``make test``: 50 kills take about 15 minutes on two cores.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from helpers import tiny
from helpers.workflows import COSTLY, RECIPE, copy_workflow, merge, write_tasks

KILLS = int(os.environ.get("STRATA_SOAK_KILLS", "50"))
SEED = int(os.environ.get("STRATA_SOAK_SEED", "1"))
TABLES = ("summary.csv", "cka/*.csv", "truncation/*.csv", "skipping/*.csv", "reinit/*/*.csv")
COSTS = [
    "seconds_per_step",
    "epoch_seconds",
    "peak_memory_mb",
    "inference_examples_per_second",
]


def study(folder: Path) -> dict:
    """One encoder, one task, two seeds; checkpoints every second."""
    changes = {
        "study": {
            "models": ["bert"],
            "tasks": ["entail"],
            "seeds": [1, 2],
            "analyses": ["cka", "truncation", "skipping", "reinit"],
            "skipping": ["bert"],
            "figure1": {"model": "bert", "task": "entail"},
        },
        "models": {"bert": {"source": f"path:{tiny.save_model(folder / 'bert', 'bert', 2)}"}},
        "tasks": write_tasks(folder / "tasks"),
        "training": {"max_steps": 400},
        "resume": {"save_minutes": 0.02},
        "reinit": {
            "models": None,
            "scheme": "fresh",
            "progressive": {"sizes": [64], "seeds": [1], "step": 2},
            "kept_norms": None,
            "faster_layers": None,
            "localized": None,
            "permutation": None,
            "probing": None,
        },
    }
    return merge(RECIPE, changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The workflow's folder, with results/calm finished."""
    folder = tmp_path_factory.mktemp("soak")
    copy_workflow(folder)
    described = study(folder / "source")
    for name in ("calm", *(f"round{i}" for i in range(KILLS))):
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump(described | {"outdir": f"results/{name}"})
        )
    assert start(folder, "calm").wait() == 0, (folder / "calm.log").read_text()[-3000:]
    return folder


def start(folder: Path, name: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", f"{name}.yaml"]
    command += ["--set-threads", *(f"{rule}=1" for rule in COSTLY)]
    with (folder / f"{name}.log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def jobs(scheduler: psutil.Process) -> list[psutil.Process]:
    """The scripts that run below a scheduler."""
    try:
        below = scheduler.children(recursive=True)
        return [p for p in below if any(".snakemake/scripts" in word for word in p.cmdline()[:2])]
    except psutil.Error:
        return []


def disturb(chance: random.Random, scheduler: subprocess.Popen) -> str | None:
    """Kill a job (one that trains if there is one, else any) or, one time in five, the scheduler;
    returns what was done, if anything.
    """
    process = psutil.Process(scheduler.pid)
    running = jobs(process)
    victims = [process] if chance.random() < 0.2 else [*filter(trains, running)] or running
    if not victims:
        return None
    victim, number = chance.choice(victims), chance.choice((signal.SIGKILL, signal.SIGTERM))
    try:
        name = "scheduler" if victim is process else script(victim)
        victim.send_signal(number)
    except psutil.Error:
        return None
    return f"{name} {signal.Signals(number).name}"


def script(process: psutil.Process) -> str:
    return Path(process.cmdline()[1]).name.split(".")[1]


def trains(process: psutil.Process) -> bool:
    try:
        return script(process) == "finetune"
    except psutil.Error:
        return False


def finish(folder: Path, name: str, chance: random.Random, kills: list[str]) -> None:
    """Run a study to its end, killing on the way, up to ten times."""
    last = min(len(kills) + 10, KILLS)
    while True:
        scheduler = start(folder, name)
        before = jobs(psutil.Process(scheduler.pid))
        while scheduler.poll() is None:
            time.sleep(chance.uniform(1, 12))
            if len(kills) < last and scheduler.poll() is None:
                before = jobs(psutil.Process(scheduler.pid))
                done = disturb(chance, scheduler)
                kills += [done] if done else []
        _, alive = psutil.wait_procs(before, timeout=30)
        assert not alive, "a job outlived its workflow by half a minute"
        if scheduler.returncode == 0:
            return


def tables(results: Path) -> dict[str, pd.DataFrame]:
    found = {}
    for pattern in TABLES:
        for path in sorted(results.glob(pattern)):
            found[str(path.relative_to(results))] = pd.read_csv(path).drop(
                columns=COSTS, errors="ignore"
            )
    return found


def strays(folder: Path) -> list[str]:
    places = [folder / "data", folder / "results", folder / ".snakemake" / "locks"]
    hidden = [p for place in places for p in place.rglob("*") if p.name.startswith(".")]
    locks = list(places[-1].glob("*"))
    return [str(p) for p in [*hidden, *locks] if p.name != ".snakemake_timestamp"]


def test_a_study_killed_again_and_again_ends_as_one_that_was_not(undisturbed):
    expected = tables(undisturbed / "results" / "calm")
    assert set(expected) == {
        "summary.csv", "cka/bert_entail.csv", "cka/bert_entail.blocks.csv",
        "truncation/bert_entail.csv", "truncation/bert_entail.calibration.csv",
        "skipping/bert_entail.csv", "reinit/bert_entail/progressive.csv",
    }  # fmt: skip
    assert not strays(undisturbed)
    chance, kills, rounds = random.Random(SEED), [], 0
    while len(kills) < KILLS:
        name = f"round{rounds}"
        shutil.rmtree(undisturbed / "data")
        finish(undisturbed, name, chance, kills)
        found = tables(undisturbed / "results" / name)
        assert list(found) == list(expected)
        for table, content in expected.items():
            pd.testing.assert_frame_equal(found[table], content, check_exact=True, obj=table)
        assert not strays(undisturbed)
        rounds += 1
    logs = (undisturbed / "results").glob("*/runs/**/run.json")
    resumed = sum('"resumed_at": null' not in path.read_text() for path in logs)
    print(f"\n{len(kills)} kills over {rounds} studies, {resumed} runs resumed:")
    print(pd.Series(kills).value_counts().to_string())
    assert resumed, "no kill met a fine-tuning run that had a checkpoint"
