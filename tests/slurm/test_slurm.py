"""A tiny study through the SLURM profile, with disturbed jobs, compared with the same study run
locally.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers import tiny
from helpers.cluster import ASKED, cluster

REPOSITORY = Path(__file__).parents[2]
RUN = "runs/roberta_entail/full/seed{}"
LOG = "logs/finetune/roberta_entail_full_{}.log"
GPU_SCRIPTS = ("dump_activations", "finetune", "score_untuned", "tune_fresh_heads", "tune_heads")
# On the path of every Python process: records how a script of the workflow ended.
WITNESS = """
import atexit, json, os, re, sys, uuid

@atexit.register
def tell():
    script = re.search(r"[.](\\w+)[.]py$", sys.argv[0] if hasattr(sys, "argv") else "")
    if script:
        names = ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE")
        said = {"script": script[1]} | {name: os.environ.get(name) for name in names}
        with open(f"FOLDER/{uuid.uuid4()}.json", "w") as file:
            json.dump(said, file)
"""


@dataclass
class Study:
    """Results of the two runs, Snakemake's output, SLURM's jobs, and what scripts saw."""

    local: Path
    slurm: Path
    said: str
    jobs: pd.DataFrame
    scripts: pd.DataFrame
    stopped: int
    cancelled: int
    cancelled_at: int


def write_study(folder: Path) -> Path:
    tiny.pair_rows(320, 1).to_json(folder / "train.jsonl", orient="records", lines=True)
    tiny.pair_rows(96, 2).to_json(folder / "dev.jsonl", orient="records", lines=True)
    study = {
        "outdir": "results",
        "study": {
            "models": ["roberta"],
            "tasks": ["entail"],
            "seeds": [1],
            "analyses": ["cka", "truncation"],
            "skipping": [],
            "figure1": {"model": "roberta", "task": "entail"},
        },
        "models": {
            "roberta": {"source": f"path:{tiny.save_model(folder / 'roberta', 'roberta', 2)}"}
        },
        "tasks": {
            "entail": {
                "source": f"path:{folder}",
                "type": "classification",
                "texts": ["premise", "hypothesis"],
                "label": "label",
                "labels": ["yes", "no"],
                "splits": {"train": "train.jsonl", "eval": "dev.jsonl"},
                "metric": "accuracy",
            }
        },
        "training": {
            "max_steps": 600,
            "batch_size": 16,
            "learning_rate": 0.003,
            "warmup_steps": 10,
            "max_length": 32,
            "precision": "float32",
        },
        "heads": {"steps": 60, "batch_size": 16, "learning_rate": 0.003, "warmup_steps": 5},
        "evaluation": {"max_train_examples": 96},
        "summary": {"resamples": 100},
        "resume": {"save_minutes": 0.01},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def write_profile(folder: Path) -> Path:
    """The profile, filled in as a user would, with a time limit that a test can wait for."""
    text = (REPOSITORY / "profiles/slurm/config.yaml").read_text()
    filled = {
        "  gpu_partition: null": "  gpu_partition: gpu",
        "    finetune: {threads: 4, mem_mb: 16000, minutes: 240}": (
            "    finetune: {threads: 4, mem_mb: 16000, minutes: 1}"
        ),
    }
    for old, new in filled.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    return folder


def snakemake(folder: Path, study: Path, *options: str) -> list[str]:
    folder.mkdir()
    script = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    targets = [
        "results/cka/roberta_entail.png",
        "results/truncation/roberta_entail.csv",
        # A second run that nothing else needs, so that two can be disturbed.
        f"results/{RUN.format(2)}/run.json",
    ]
    # One thread per job: the same arithmetic both ways, and no competition for two cores.
    return [
        *script,
        *targets,
        "--directory",
        str(folder),
        "--configfile",
        str(study),
        *options,
        "--max-threads",
        "1",
    ]


def until(holds, what: str, seconds: float = 300):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"After {seconds:.0f} s it still is not so that {what}."
        time.sleep(0.2)
    return found


def squeue(columns: str, *options: str) -> list[list[str]]:
    command = ["squeue", "--noheader", "--format", columns, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


def job_of(seed: int) -> str:
    """Number of the SLURM job that is fine-tuning with `seed`."""
    comment = f"rule_finetune_wildcards_roberta_entail_full_{seed}"
    return next(job for job, said in squeue("%i|%k", "--states=running") if said == comment)


def resumed_at(log: Path) -> int | None:
    text = log.read_text() if log.exists() else ""
    found = re.search(r"^resuming at step ([\d,]+)", text, re.MULTILINE)
    return int(found[1].replace(",", "")) if found else None


def disturb(results: Path) -> tuple[int, int, int]:
    """Stop the run that starts first until its time is over; cancel the other, then preempt it.

    Returns the seeds of the two and the step at which the cancelled run was resumed.
    """
    seeds = []
    for options in (["--signal=STOP"], []):
        waiting = {s: results / RUN.format(s) / ".resume" for s in (1, 2) if s not in seeds}
        seeds.append(until(lambda w=waiting: has_checkpoint(w), "a run has a checkpoint"))
        subprocess.run(["scancel", *options, job_of(seeds[-1])], check=True)
    log = results / LOG.format(seeds[1])
    step = until(lambda: resumed_at(log), "the cancelled run was resumed")
    # What SLURM does to a job that another one preempts.
    subprocess.run(["scontrol", "requeue", job_of(seeds[1])], check=True)
    return *seeds, step


def has_checkpoint(folders: dict[int, Path]) -> int | None:
    return next((seed for seed, f in folders.items() if any(f.glob("*/checkpoint-*"))), None)


def run_study(folder: Path) -> Study:
    study, profile = write_study(folder), write_profile(folder / "profile")
    witness = folder / "witness"
    witness.mkdir()
    (witness / "sitecustomize.py").write_text(WITNESS.replace("FOLDER", str(witness)))
    through_slurm = snakemake(
        *(folder / "slurm", study, "--workflow-profile", str(profile)),
        # There is no accounting here, so there is no reason to wait.
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"),
    )
    environment = os.environ | {"PYTHONPATH": str(witness)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    said = folder / "said.txt"
    with said.open("w") as out:
        process = subprocess.Popen(
            through_slurm,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder / "slurm",
            env=environment,
        )
    try:
        stopped, cancelled, step = disturb(folder / "slurm/results")
        local = snakemake(folder / "local", study, "--cores", "2")
        subprocess.run(local, check=True, capture_output=True, cwd=folder / "local")
        assert process.wait(timeout=600) == 0, said.read_text()[-6000:]
    except BaseException:
        print(said.read_text()[-6000:])
        raise
    finally:
        if process.poll() is None:  # after SIGTERM it would wait for its jobs
            process.kill()
            process.wait()
    return Study(
        folder / "local/results",
        folder / "slurm/results",
        said.read_text(),
        pd.DataFrame(
            squeue("%i|%k|%T|%P|%l|%m", "--states=all"),
            columns=["job", "comment", "state", "partition", "limit", "memory"],
        ),
        pd.DataFrame(json.loads(path.read_text()) for path in witness.glob("*.json")),
        stopped,
        cancelled,
        step,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    if os.environ.get(ASKED) != "1":
        pytest.skip(
            f"SLURM is installed and started only where {ASKED}=1 asks for it (.ci/run does)"
        )
    folder = tmp_path_factory.mktemp("slurm")
    with cluster(folder / "cluster"):
        return run_study(folder)


def attempts(study: Study, seed: int) -> pd.DataFrame:
    """SLURM's jobs for a fine-tuning run, in order."""
    comment = f"rule_finetune_wildcards_roberta_entail_full_{seed}"
    return study.jobs[study.jobs["comment"] == comment].sort_values(
        "job", key=lambda j: j.astype(int)
    )


def test_tables_are_those_of_the_local_run(study):
    # Of a run that was cut short in the middle of a logged interval, that interval's loss is the
    # mean of its second part: its history differs in a line, its weights do not.
    local, slurm = (
        {p.relative_to(r): p for p in r.rglob("*.csv") if p.name != "history.csv"}
        for r in (study.local, study.slurm)
    )
    assert local.keys() == slurm.keys()
    assert {Path(f"{table}/roberta_entail.csv") for table in ("cka", "truncation")} <= local.keys()
    for name in local:
        pd.testing.assert_frame_equal(pd.read_csv(local[name]), pd.read_csv(slurm[name]))
    for seed in (1, 2):
        tables = [r / RUN.format(seed) / "predictions.parquet" for r in (study.local, study.slurm)]
        pd.testing.assert_frame_equal(*map(pd.read_parquet, tables), check_exact=True)


def test_gpu_jobs_got_a_gpu_of_the_gpu_partition_and_others_none(study):
    with_gpu = study.scripts["script"].isin(GPU_SCRIPTS)
    given = study.scripts.groupby(with_gpu)["CUDA_VISIBLE_DEVICES"].agg(lambda g: set(g.dropna()))
    assert given[True] == {"0", "1"} and given[False] == set()
    assert study.scripts[with_gpu]["CUDA_VISIBLE_DEVICES"].notna().all()
    partitions = study.jobs.set_index("job")["partition"]
    went_to = study.scripts["SLURM_JOB_ID"].dropna().map(partitions)
    assert set(went_to[with_gpu]) == {"gpu"} and set(went_to[~with_gpu]) == {"main"}


def test_rules_that_need_the_network_stay_on_the_login_node(study):
    home = study.scripts[study.scripts["SLURM_JOB_ID"].isna()]
    assert set(home["script"]) == {"fetch_model", "fetch_task"}


def test_jobs_run_with_the_hub_offline(study):
    away = study.scripts.dropna(subset="SLURM_JOB_ID")
    assert len(away) > 10 and set(away["HF_HUB_OFFLINE"]) == {"1"}


def test_a_cancelled_and_then_preempted_job_is_resumed_twice(study):
    assert attempts(study, study.cancelled)["state"].tolist() == ["CANCELLED", "COMPLETED"]
    again = attempts(study, study.cancelled)["job"].iloc[-1]
    assert (study.scripts["SLURM_JOB_ID"] == again).sum() == 2  # one job, started twice
    assert resumed_at(study.slurm / LOG.format(study.cancelled)) > study.cancelled_at > 0


def test_a_job_over_its_time_limit_is_resumed_with_more_time_and_memory(study):
    first, second = attempts(study, study.stopped).to_dict("records")
    assert (first["state"], first["limit"], first["memory"]) == ("TIMEOUT", "1:00", "16000M")
    assert (second["state"], second["limit"], second["memory"]) == ("COMPLETED", "2:00", "32000M")
    assert resumed_at(study.slurm / LOG.format(study.stopped)) > 0


def test_logs_of_failed_jobs_are_named_and_kept(study):
    logs = (study.slurm.parent / ".snakemake/log").glob("*.log")
    kept = "".join(path.read_text() for path in logs)
    for seed in (1, 2):
        named = rf"  SLURM-job .* failed, SLURM status is: .*\n  Log: \S*{LOG.format(seed)}"
        assert re.search(named, study.said)
        assert re.search(rf"Logfile .*/{LOG.format(seed)}", kept)
    assert kept.count("SIGTERM: saving a checkpoint, then ending") >= 2
