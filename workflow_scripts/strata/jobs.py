"""What every job does around its work: its log, its threads, its errors, its progress."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class StrataError(Exception):
    """Something the user can mend; the message is one sentence and says how."""


@contextmanager
def job(log: str, threads: int = 1) -> Iterator[None]:
    """Run a script's body: output goes to `log`, libraries use `threads`, the hub is offline.

    A StrataError ends the job with its sentence alone; anything else with its traceback.

    Parameters
    ----------
    log : path of the rule's log file; child processes and native libraries write there too.
    threads : CPU threads for BLAS, OpenMP and torch.
    """
    _redirect(log)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    except StrataError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except Exception:  # noqa: BLE001 (the log is where a job tells of any error)
        traceback.print_exc()
        sys.stderr.flush()
        sys.exit(1)


def _redirect(log: str) -> None:
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


class Progress:
    """Lines with rate and time left, at most one every `every` seconds (and one at the end)."""

    def __init__(self, total: int, unit: str, every: float = 5.0):
        self.total, self.unit, self.every = total, unit, every
        self.done = 0
        self.start = self.last = time.monotonic()

    def advance(self, count: int = 1, note: Callable[[], str] | None = None) -> None:
        """Count on; `note` is called only when a line is due (a loss on a GPU is slow to ask)."""
        self.done += count
        now = time.monotonic()
        if now - self.last < self.every and self.done < self.total:
            return
        self.last = now
        rate = self.done / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate
        print(
            f"{self.done:,}/{self.total:,} {self.unit}, {rate:,.1f}/s, {clock(left)} left"
            + (f", {note()}" if note else ""),
            flush=True,
        )


def clock(seconds: float) -> str:
    """`seconds` as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it if the block ends well, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
