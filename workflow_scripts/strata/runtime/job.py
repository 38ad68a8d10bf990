"""What every job does around its work: its log, its threads, its errors, its progress."""

import atexit
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from strata.runtime.errors import StrataError, lacks_room


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run a script's body: output goes to its log, libraries use its threads, the hub is offline.

    A StrataError ends the job with only its message, a full disk with one sentence, anything else
    with a traceback. If the workflow that started the job is killed, the job ends, too: otherwise
    it would keep running next to the next workflow's job of the same name.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives a script. Its log also receives the output of child
        processes and native libraries; its threads are used by BLAS, OpenMP and torch.
    """
    _redirect(snakemake.log[0])
    _collect_less()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(snakemake.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    _end_with_workflow()
    try:
        _check_library(snakemake.scriptdir)
        yield
    except StrataError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 (a job reports any error in its log)
        if lacks_room(error):
            print(
                "Error: the disk (or a quota or size limit) left no room to write "
                f"{getattr(error, 'filename', None) or 'a result'}: make room and run the same "
                "command again; finished results are kept.",
                file=sys.stderr,
            )
        else:
            traceback.print_exc()
        sys.stderr.flush()
        sys.exit(1)


def _check_library(scripts: str) -> None:
    """Refuse a library that is not next to the script: its code would not be in the hash."""
    beside, imported = Path(scripts).resolve(), Path(__file__).resolve().parents[2]
    if imported != beside:
        raise StrataError(
            f"This job imported the package 'strata' from {imported}, not the one of its workflow "
            f"in {beside}: uninstall that package, or remove its folder from PYTHONPATH."
        )


def _collect_less() -> None:
    """Spare the garbage collector the objects that importing torch and transformers makes.

    There are a million of them, which live as long as the job. With Python's thresholds it would go
    through them repeatedly while they are made, and once more when the process ends: together a
    third of a short job's start and end.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def _end_with_workflow(every: float = 1.0) -> None:
    """Send this process SIGTERM when the Snakemake process that started it is gone."""
    workflow = next((p for p in psutil.Process().parents() if _is_snakemake(p)), None)
    if workflow is None:
        return

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while workflow.is_running() and workflow.status() != psutil.STATUS_ZOMBIE:
                time.sleep(every)
        print("the workflow is gone: ending", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _is_snakemake(process: psutil.Process) -> bool:
    try:
        return any(Path(word).name == "snakemake" for word in process.cmdline()[:3])
    except psutil.Error:
        return False


def _redirect(log: str) -> None:
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
