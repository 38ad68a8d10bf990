"""What is known of a run: its jobs, which of them work, are done or failed, and since when."""

import os
import time
from dataclasses import dataclass, field
from logging import LogRecord

from snakemake_logger_plugin_strata.job_logs import files_of, last_progress, stamps
from strata.runtime.progress import ProgressLine

READ_EVERY = 1.0  # seconds between two looks at a job's log
WAITING = 30.0  # seconds after which a job without a log waits for its machine


@dataclass
class Job:
    """A job that was started or, on a cluster, submitted."""

    words: str
    logs: list[str]
    again: bool = False  # after it failed
    start: float = field(default_factory=time.monotonic)
    progress: ProgressLine | None = None
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._before = stamps(self.logs)  # of an earlier try
        self._begun = not self.logs

    def look(self, now: float) -> None:
        """Read in its log how far it is."""
        if self.logs and now - self._looked >= READ_EVERY:
            self._looked = now
            self._begun = self._begun or stamps(self.logs) != self._before
            self.progress = last_progress(self.logs[0]) if self._begun else None

    def waits(self, now: float) -> bool:
        return not self._begun and now - self.start > WAITING


@dataclass
class Failure:
    words: str
    reason: str
    logs: list[str]


class Run:
    """Of all jobs by their numbers; `working` are those that were started and did not end."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.total = self.done = 0
        self.working: dict[int, Job] = {}
        self.failures: dict[int, Failure] = {}
        self.interrupted = False

    def started(self, record: LogRecord) -> Job:
        number: int = record.jobid  # type: ignore[attr-defined]
        words = getattr(record, "rule_msg", None) or record.rule_name  # type: ignore[attr-defined]
        again = self.failures.pop(number, None) is not None
        self.working[number] = Job(words, files_of(record), again)
        return self.working[number]

    def finished(self, number: int) -> Job | None:
        self.done += 1
        return self.working.pop(number, None)

    def failed(self, number: int, reason: str, logs: list[str] | None = None) -> Failure:
        job = self.working.pop(number, None) or Job(f"job {number}", [])
        self.failures[number] = Failure(job.words, reason, job.logs if logs is None else logs)
        return self.failures[number]

    def seconds(self) -> float:
        return time.monotonic() - self.start


def near(path: str) -> str:
    """A path as one would type it: from here, if it is below."""
    there = os.path.relpath(path)
    return path if there.startswith(os.pardir) else there
