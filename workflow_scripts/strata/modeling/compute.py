"""Device, precision and determinism, chosen in one place; jobs that hold a GPU."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strata.runtime.errors import StrataError
from strata.runtime.gpu_lease import lease
from strata.runtime.job import job


@contextmanager
def gpu_job(snakemake: Any) -> Iterator[None]:
    """A job (see ``strata.runtime.job.job``) that holds a lease on a GPU if it requested one.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives a script.
    """
    gpus, sharing = snakemake.resources.get("gpu", 0), snakemake.resources.jobs_per_device
    with job(snakemake), lease(gpus, sharing):
        import torch

        torch.set_num_threads(snakemake.threads)
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise StrataError(
                "The GPU's memory is too small: lower heads.batch_size if this job tunes heads, or "
                "gpus.jobs_per_device if jobs share the GPU; otherwise the model needs a larger "
                "one."
            ) from error


def device() -> Any:
    """The torch device: CUDA if the lease left a GPU visible, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def refuse_many_gpus() -> None:
    """Refuse more than one visible GPU, since Trainer would split batches among all of them."""
    import torch

    if torch.cuda.device_count() > 1:
        raise StrataError(
            f"This job sees {torch.cuda.device_count()} GPUs, but training uses one: request "
            "gpu=1, or set CUDA_VISIBLE_DEVICES to one of them."
        )


def deterministic() -> None:
    """Make the same seed give the same weights: no kernel may sum in an order of its own.

    Call it before CUDA starts, which reads the environment once. Trainer's own ``full_determinism``
    also makes every launch wait for its kernel (CUDA_LAUNCH_BLOCKING). That is not needed: cuBLAS
    is deterministic with a workspace of fixed size.
    """
    import torch

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ["FLASH_ATTENTION_DETERMINISTIC"] = "1"
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    # This would fill all new memory before it is written: a debugging aid that changes no result
    # but costs a write, and on a GPU a launch, for each operation.
    torch.utils.deterministic.fill_uninitialized_memory = False


class PeakMemory:
    """Peak memory since the object was made.

    On a GPU, what torch has allocated there. Otherwise the process's RAM including libraries, as
    Linux counts it; if that count cannot be reset, since the process started.
    """

    def __init__(self, process: Path = Path("/proc/self")):
        import torch

        self.process, self.on_gpu = process, torch.cuda.is_available()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            (process / "clear_refs").write_text("5", encoding="ascii")
        except OSError:
            pass

    def read(self) -> float | None:
        """In MB (2^20 bytes); None if it cannot be measured."""
        if self.on_gpu:
            import torch

            return round(torch.cuda.max_memory_allocated() / 2**20, 1)
        try:
            text = (self.process / "status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
        return round(int(found[1]) / 1024, 1) if found else None


def training_precision(wanted: str = "auto") -> str:
    """Precision of training, bfloat16 (autocast) or float32.

    "auto" takes bfloat16 where it is faster: on GPUs that have it, on CPUs with AMX, and on AMD
    CPUs with AVX512-BF16 (on an Intel Xeon with AVX512-BF16 but without AMX, a step takes 1.5 times
    as long as in float32).
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
def inference(precision: str = "float32") -> Iterator[None]:
    """No gradients, TF32 off; autocast to bfloat16 only if `precision` says so."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    lower = precision == "bfloat16"
    with torch.inference_mode(), torch.autocast(device().type, torch.bfloat16, enabled=lower):
        yield
