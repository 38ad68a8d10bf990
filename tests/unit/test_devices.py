"""Leases on GPUs between real processes; no GPU is needed, only their names are handed out."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from strata.modeling import compute as devices
from strata.modeling.compute import inference, training_precision
from strata.runtime.gpu_lease import lease, lease_folder, visible_gpus

SCRIPTS = Path(devices.__file__).parents[2]
HOLD = """
import json, os, sys, time
from strata.runtime.gpu_lease import lease
with lease(1, jobs_per_device=int(sys.argv[1]), poll=0.01) as gpu:
    print(json.dumps({"gpu": gpu, "seen": os.environ["CUDA_VISIBLE_DEVICES"]}), flush=True)
    began = time.monotonic()
    time.sleep(float(sys.argv[2]))
    ended = time.monotonic()
print(json.dumps({"began": began, "ended": ended}), flush=True)
assert "torch" not in sys.modules
"""


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """Lock files of these tests are their own, and no scheduler's variables are inherited."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def start(jobs_per_device=1, seconds=0.3):
    command = [sys.executable, "-c", HOLD, str(jobs_per_device), str(seconds)]
    return subprocess.Popen(command, cwd=SCRIPTS, stdout=subprocess.PIPE, text=True)


def lines(process):
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return {
        k: v for line in out.splitlines() if line[0] == "{" for k, v in json.loads(line).items()
    }


def held_at_once(holders):
    """gpu -> the most leases held on it at any time; and the most of all together."""
    most, together = Counter(), 0
    for moment in (holder["began"] for holder in holders):
        now = Counter(h["gpu"] for h in holders if h["began"] <= moment < h["ended"])
        together = max(together, now.total())
        most |= now
    return most, together


def test_peak_memory_is_the_most_held_since_it_was_asked_for():
    memory = devices.PeakMemory()
    before = memory.read()
    held = torch.ones(64 * 2**18)  # 64 MB
    most = memory.read()
    del held
    assert most > before + 60 and memory.read() > before + 60  # Linux counts to within some MB
    assert devices.PeakMemory().read() < most - 32  # counted from scratch


def test_where_nothing_tells_the_peak_of_memory_there_is_none(tmp_path):
    assert devices.PeakMemory(tmp_path / "no process").read() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  2048 kB\n")
    assert devices.PeakMemory(tmp_path).read() == 2.0


@pytest.mark.parametrize("jobs_per_device", (1, 2))
def test_processes_share_the_gpus_as_allowed(jobs_per_device):
    """Six processes on two GPUs: each sees one, none has too many, and both are used."""
    holders = [lines(p) for p in [start(jobs_per_device) for _ in range(6)]]
    assert all(holder["seen"] == holder["gpu"] for holder in holders)
    assert {holder["gpu"] for holder in holders} == {"0", "1"}
    most, together = held_at_once(holders)
    assert max(most.values()) <= jobs_per_device
    assert together > jobs_per_device  # they do not all queue for one


def test_every_gpu_has_one_job_before_any_has_two():
    with lease(1, jobs_per_device=2) as first:
        os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"  # as another process has it
        with lease(1, jobs_per_device=2) as second:
            assert {first, second} == {"0", "1"}


def test_a_lease_is_handed_back_also_by_a_job_that_is_killed():
    with pytest.raises(ZeroDivisionError), lease(1) as gpu:
        raise ZeroDivisionError
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    holder = start(seconds=60)
    try:
        line = holder.stdout.readline()
        while not line.startswith("{"):
            line = holder.stdout.readline()
        waiting = start(seconds=0)
        time.sleep(0.3)
        assert waiting.poll() is None
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert lines(waiting)["gpu"] == gpu


def test_a_job_that_asked_for_no_gpu_sees_none():
    with lease(0) as gpu:
        assert gpu is None and os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("listed", ("", "-1"))
def test_where_no_gpu_is_listed_the_job_runs_on_the_cpu(listed, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with lease(1) as gpu:
        assert gpu is None and os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_names_are_taken_as_they_are_spelt(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-ab/1, MIG-7")
    assert visible_gpus() == ["GPU-ab/1", "MIG-7"]
    with lease(1) as gpu:
        assert gpu == os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-ab/1"


def fake_driver(folder, monkeypatch, script):
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


def test_without_the_variable_the_driver_is_asked(tmp_path, monkeypatch):
    fake_driver(tmp_path, monkeypatch, "echo 0; echo 1; echo 2")
    assert visible_gpus() == ["0", "1", "2"]


def test_a_driver_that_fails_or_is_not_there_means_no_gpu(tmp_path, monkeypatch):
    fake_driver(tmp_path, monkeypatch, "echo no devices; exit 9")
    assert visible_gpus() == []
    (tmp_path / "nvidia-smi").unlink()
    with lease(1) as gpu:
        assert gpu is None


def test_in_a_slurm_job_the_schedulers_choice_stands(monkeypatch):
    """No lease is taken: who else is on that GPU is the scheduler's business."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with lease(1) as gpu:
        assert gpu == os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert list(lease_folder().iterdir()) == []


def test_in_a_slurm_job_with_several_gpus_one_is_leased(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lease(1) as gpu:
        assert gpu in ("0", "1") and os.environ["CUDA_VISIBLE_DEVICES"] == gpu


def test_the_lease_folder_is_the_users_own(tmp_path):
    folder = lease_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0


def test_a_precision_that_is_asked_for_is_taken():
    assert training_precision("float32") == "float32"
    assert training_precision("bfloat16") == "bfloat16"


@pytest.mark.parametrize(
    ("avx512", "amd", "amx", "expected"),
    [
        (False, False, False, "float32"),
        (True, False, False, "float32"),
        (True, True, False, "bfloat16"),
        (False, True, False, "float32"),
        (True, False, True, "bfloat16"),
    ],
)
def test_auto_follows_the_cpu(avx512, amd, amx, expected, monkeypatch):
    monkeypatch.setattr(devices, "_made_by_amd", lambda: amd)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert training_precision("auto") == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_gpu_and_takes_no_emulation(native, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: native or including_emulation,
    )
    assert training_precision("auto") == expected


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_inference_has_no_gradients_and_the_precision_asked_for(precision, dtype):
    layer, x = torch.nn.Linear(4, 4).to(devices.device()), torch.ones(2, 4, device=devices.device())
    with inference(precision):
        y = layer(x)
    assert y.dtype == dtype and not y.requires_grad
    assert not torch.backends.cuda.matmul.allow_tf32
