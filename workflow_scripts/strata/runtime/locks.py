"""The locks of a Snakemake that was killed are forgotten; those of one that runs stand."""

import fcntl
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


def forget_dead_locks(state: str | Path = ".snakemake") -> IO:
    """Remove Snakemake's locks on the working folder if no Snakemake of ours is alive in it.

    Snakemake's own locks are files, which a SIGKILL leaves behind: every later call would ask for
    ``--unlock``. A lock of the operating system ends with its process, so it tells who is alive.

    Parameters
    ----------
    state : Snakemake's folder of the working directory.

    Returns
    -------
    A file to be kept open as long as this process runs.
    """
    Path(state).mkdir(exist_ok=True)
    alive = (Path(state) / "strata.lock").open("a")
    # An OSError: somebody is alive, or the file system has no such locks and nobody can tell.
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left = list((Path(state) / "locks").glob("*.lock"))
        for lock in left:
            lock.unlink()
        if left:
            print("Removed the locks of a Snakemake that was killed here.", file=sys.stderr)
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_SH)
    return alive
