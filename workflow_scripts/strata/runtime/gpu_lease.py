"""Leases on GPUs, so that local jobs do not share one unintentionally.

Snakemake counts GPUs but does not assign them: without a lease every local job would use the first.
"""

import getpass
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def lease(requested: int, jobs_per_device: int = 1, poll: float = 0.5) -> Iterator[str | None]:
    """Hold one GPU for the block and make it the only one this process sees.

    Enter it before torch is imported. If no GPU was requested, or there is none, the process sees
    none. In a SLURM job that was given one GPU, the scheduler's choice stands.

    Parameters
    ----------
    requested : int
        The number of GPUs that the job requested from Snakemake; 0 means the CPU.
    jobs_per_device : int, default 1
        The number of leases on each GPU at the same time.

    poll : float, default 0.5
        Seconds between attempts while all GPUs are taken.

    Yields
    ------
    str or None
        The GPU's name as in CUDA_VISIBLE_DEVICES, or None for the CPU.
    """
    gpus = visible_gpus() if requested else []
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        yield None
        return
    if len(gpus) == 1 and "SLURM_JOB_ID" in os.environ:
        yield gpus[0]
        return
    lock, gpu = _acquire(gpus, jobs_per_device, poll)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        yield gpu
    finally:
        lock.release()


def visible_gpus() -> list[str]:
    """GPUs this process may use: those in CUDA_VISIBLE_DEVICES, or all that the driver lists."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [gpu.strip() for gpu in listed.split(",") if gpu.strip() not in ("", "-1")]
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return found.stdout.split()


def lease_folder() -> Path:
    """The folder of the lock files: one per user, on the machine's own disk."""
    folder = Path(tempfile.gettempdir()) / f"strata-gpus-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _acquire(gpus: list[str], jobs_per_device: int, poll: float) -> tuple[FileLock, str]:
    # By slot, so that every GPU has one job before any has two.
    slots = [(gpu, slot) for slot in range(jobs_per_device) for gpu in gpus]
    told = False
    while True:
        for gpu, slot in slots:
            lock = FileLock(lease_folder() / f"gpu-{gpu.replace('/', '-')}-{slot}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            print(f"lease on GPU {gpu}, slot {slot + 1} of {jobs_per_device}", flush=True)
            return lock, gpu
        if not told:
            print(f"waiting for one of the GPUs {', '.join(gpus)}", flush=True)
            told = True
        time.sleep(poll)
