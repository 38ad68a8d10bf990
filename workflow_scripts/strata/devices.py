"""Device and precision, chosen once; leases on GPUs, so that local jobs do not share one unasked.

Snakemake counts GPUs but hands none out: without a lease every local job would use the first.
"""

import getpass
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from strata.jobs import StrataError, job


@contextmanager
def gpu_job(snakemake: Any) -> Iterator[None]:
    """A job (see ``strata.jobs.job``) that holds a lease on a GPU if it asked for one.

    Parameters
    ----------
    snakemake : what Snakemake puts into a script.
    """
    gpus, sharing = snakemake.resources.get("gpu", 0), snakemake.resources.jobs_per_device
    with job(snakemake.log[0], snakemake.threads), lease(gpus, sharing):
        import torch

        torch.set_num_threads(snakemake.threads)
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise StrataError(
                "The GPU's memory does not suffice: lower heads.batch_size where heads are tuned, "
                "or gpus.jobs_per_device if jobs share the GPU."
            ) from error


@contextmanager
def lease(requested: int, jobs_per_device: int = 1, poll: float = 0.5) -> Iterator[str | None]:
    """Hold one GPU for the block and make it the only one this process sees.

    To be entered before torch is imported. With nothing requested, or no GPU there, the process
    sees none. In a SLURM job that was given one GPU, the scheduler's choice stands.

    Parameters
    ----------
    requested : GPUs the job asked Snakemake for; 0 means the CPU.
    jobs_per_device : leases given out on each GPU at a time.

    Yields
    ------
    The GPU's name as CUDA_VISIBLE_DEVICES spells it, or None for the CPU.
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
    """GPUs this process may use: those of CUDA_VISIBLE_DEVICES, or all that the driver lists."""
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
    """Where the lock files lie: one folder a user, on the machine's own disk."""
    folder = Path(tempfile.gettempdir()) / f"strata-gpus-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _acquire(gpus: list[str], jobs_per_device: int, poll: float) -> tuple[FileLock, str]:
    # Slot by slot, so that every GPU has one job before any has two.
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
            print(f"waiting for one of GPUs {', '.join(gpus)}", flush=True)
            told = True
        time.sleep(poll)


def device() -> Any:
    """The torch device: CUDA where the lease left a GPU visible, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def refuse_many_gpus() -> None:
    """Training sees one GPU at most; Trainer would otherwise split batches among all."""
    import torch

    if torch.cuda.device_count() > 1:
        raise StrataError(
            f"This job sees {torch.cuda.device_count()} GPUs and training uses one: request "
            "gpu=1, or set CUDA_VISIBLE_DEVICES to one of them."
        )


def training_precision(wanted: str = "auto") -> str:
    """Precision of training, bfloat16 (autocast) or float32.

    "auto" takes bfloat16 where it is the faster: on GPUs that have it, on CPUs with AMX, and on
    AMD's with AVX512-BF16 (on an Intel Xeon with that and no AMX, a step takes 1.5 times as long
    as in float32).
    """
    if wanted != "auto":
        return wanted
    import torch

    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        wide = torch.cpu._is_avx512_bf16_supported() and _made_by_amd()
        fast = wide or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if fast else "float32"


def _made_by_amd(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    return cpuinfo.exists() and "AuthenticAMD" in cpuinfo.read_text(encoding="utf-8")


@contextmanager
def inference(precision: str = "float32") -> Iterator[Any]:
    """No gradients, TF32 off; autocast to bfloat16 only where `precision` says so."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    lower = precision == "bfloat16"
    with torch.inference_mode(), torch.autocast(device().type, torch.bfloat16, enabled=lower):
        yield
