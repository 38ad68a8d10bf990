"""Remove the locks of a Snakemake that was killed, but not of one that is running."""

import fcntl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO


def forget_dead_locks(is_dry_run: Callable[[], bool], state: str | Path = ".snakemake") -> IO[str]:
    """Remove Snakemake's locks on the working folder if no run of Strata is alive in it.

    Snakemake's own locks are files, which a SIGKILL leaves behind: every later call would ask for
    ``--unlock``. A lock of the operating system ends with its process, so it shows who is alive.

    Parameters
    ----------
    is_dry_run : callable
        Called if there are locks to remove; a dry run removes none.
    state : path-like, default '.snakemake'
        Snakemake's folder in the working directory.

    Returns
    -------
    IO
        A file to keep open as long as this process runs.
    """
    Path(state).mkdir(exist_ok=True)
    alive = (Path(state) / "strata.lock").open("a")
    # OSError: somebody is alive, or the file system has no such locks and we cannot tell.
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left = list((Path(state) / "locks").glob("*.lock"))
        if left and not is_dry_run():
            for lock in left:
                lock.unlink()
            print("Removed the locks of a Snakemake that was killed here.", file=sys.stderr)
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_SH)
    return alive
