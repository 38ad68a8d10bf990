"""Contestants of a work run in turn, A B C A B C ..., each in a separate process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from works import Work

WORKER = Path(__file__).parent / "worker.py"


def use_one_gpu() -> bool:
    """Let this process and its children see only the first GPU: training refuses more.

    Returns
    -------
    bool
        Whether there is one.
    """
    from strata.runtime.gpu_lease import visible_gpus

    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return bool(gpus)


class Contestant:
    """A worker process; see ``worker.py``."""

    def __init__(self, key: str, name: str, folder: Path, environment: Mapping[str, str]):
        self.name, self.times, self.extra_mb = name, [], 0.0
        self.log = folder / f"{name}.log"
        self.process = subprocess.Popen(
            [sys.executable, WORKER, key, name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=environment,
        )

    def wait_until_ready(self) -> None:
        self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} failed: {self.log.read_text().strip()[-800:]}")
        return json.loads(line)

    def ask(self, what: str) -> dict[str, Any]:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._answer()

    def run(self, counted: bool) -> None:
        answer = self.ask("run")
        if counted:
            self.times.append(answer["seconds"])
        self.extra_mb = max(self.extra_mb, answer["extra_mb"])

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@dataclass(frozen=True)
class Rate:
    """The speed of a square float32 matrix product here, in GFLOP/s."""

    median: float

    @classmethod
    def measure(cls, size: int = 4096, rounds: int = 5) -> "Rate":
        left, right = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
        seconds = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            left @ right
            seconds.append(time.perf_counter() - began)
        return cls(2 * size**3 / np.median(seconds[1:]) / 1e9)


def compare(
    key: str, work: Work, folder: Path, environment: Mapping[str, str], rounds: int, rate: Rate
) -> pd.DataFrame:
    """Measure a work: a warm-up for each contestant if `work.warm_up`, then `rounds` rounds.

    Returns
    -------
    DataFrame
        One row per contestant: work, size, contestant, median_s, low_s, high_s, runs, ratio (its
        time over Strata's, median over rounds), ratio_low, ratio_high, goal, extra_mb (peak memory
        beyond what it held before), error, gflops, share (of the machine's matrix product), note.
    """
    work.prepare(folder)
    contestants = [Contestant(key, name, folder, environment) for name in work.contestants]
    try:
        for contestant in contestants:
            contestant.wait_until_ready()
        for counted in [False] * work.warm_up + [True] * rounds:
            for contestant in contestants:
                contestant.run(counted)
        errors = {}
        if work.reference is not None:
            errors = {c.name: c.ask("error")["error"] for c in contestants}
    finally:
        for contestant in contestants:
            contestant.close()
    own = np.array(contestants[0].times)
    return pd.DataFrame([_row(work, c, own, errors.get(c.name), rate) for c in contestants])


def _row(
    work: Work, contestant: Contestant, own: np.ndarray, error: float | None, rate: Rate
) -> dict[str, Any]:
    name = contestant.name
    times = np.array(contestant.times) * work.scale.get(name, 1.0)
    ratios = times / own
    gflops = None if work.gflop is None else work.gflop / np.median(times)
    return {
        "work": work.name,
        "size": work.size,
        "contestant": name,
        "median_s": np.median(times),
        "low_s": times.min(),
        "high_s": times.max(),
        "runs": len(times),
        "ratio": np.median(ratios),
        "ratio_low": ratios.min(),
        "ratio_high": ratios.max(),
        "goal": work.goals.get(name),
        "extra_mb": contestant.extra_mb,
        "error": error,
        "gflops": gflops,
        "share": None if gflops is None else gflops / rate.median,
        "note": work.notes.get(name, ""),
    }
