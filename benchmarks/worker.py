"""A process that holds one contestant of one work, and runs it on request.

    python worker.py WORK CONTESTANT FOLDER

Each line on standard input is "run" or "error"; each answer is one line of JSON. A process of its
own a contestant, so that nobody's memory or threads are in another's way.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Last: a script there has the name of a peer, cka.
sys.path.append(str(HERE.parent / "workflow_scripts"))

from works import Work, every


def forget_peak() -> None:
    """Make Linux count this process's peak memory from here on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """This process's peak memory since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1])


def wait_for_gpu() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(work: Work, result: Any, folder: Path) -> float:
    kept = folder / "reference.npy"
    if not kept.exists():
        np.save(kept, work.reference(folder))
    return work.error(result, np.load(kept))


def main(name: str, contestant: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries is not an answer
    work = every()[name]
    run = work.contestants[contestant](Path(folder))
    answers.write(json.dumps({"ready": True}) + "\n")
    result = None
    for line in sys.stdin:
        if line.strip() == "run":
            before = psutil.Process().memory_info().rss
            forget_peak()
            wait_for_gpu()
            began = time.perf_counter()
            result = run()
            wait_for_gpu()
            seconds = time.perf_counter() - began
            answer = {"seconds": seconds, "extra_mb": (peak() - before) / 2**20}
        else:
            answer = {"error": None if result is None else compare(work, result, Path(folder))}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
