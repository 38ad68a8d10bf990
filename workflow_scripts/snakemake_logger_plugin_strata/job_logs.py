"""What the log files of jobs say: how far a job is, and why it failed."""

import os
import re
import signal
from collections.abc import Iterable
from logging import LogRecord

from snakemake_interface_logger_plugins.common import LogEvent

from strata.runtime.progress import ProgressLine

TAIL = 16_384  # bytes of a log that are read
EXIT_STATUS = re.compile(r"returned non-zero exit status (\d+)")
DIED = re.compile(r"died with <Signals\.(\w+)")
INTERRUPTED = "SIGINT"


def last_progress(path: str) -> ProgressLine | None:
    """How far a job is in what it counts now; None if it counts nothing."""
    found = (ProgressLine.parse(line) for line in reversed(_last_lines(path)))
    last = next((progress for progress in found if progress), None)
    return None if last is None or last.done >= last.total else last


class Failures:
    """Why jobs fail. Snakemake tells twice: of a command that failed, then of its job."""

    def __init__(self) -> None:
        self._endings: dict[int | None, str] = {}  # by thread: the signal that ended the command

    def is_of_command(self, record: LogRecord) -> bool:
        """Whether a record is about a failed command, with its traceback and temporary script.

        How the command ended is remembered for the record about its job, which the same thread
        sends next.
        """
        if getattr(record, "event", None) != LogEvent.ERROR:
            return False
        text = record.getMessage()
        if "CalledProcessError" not in text:
            return False
        self._endings[record.thread] = _signal_of(text)
        return True

    def reason(self, record: LogRecord) -> str:
        """Why the job of a JOB_ERROR failed: one sentence; ``INTERRUPTED`` if it was by Ctrl-C."""
        ended_by = self._endings.pop(record.thread, "")
        if ended_by == INTERRUPTED:
            return INTERRUPTED
        logs = [[line for line in _last_lines(path) if line] for path in files_of(record)]
        errors = (_error(lines) for lines in logs)
        told = next(filter(None, errors), "") or _first_line(getattr(record, "rule_msg", None))
        if told:
            return told
        if ended_by:
            return f"It was ended by {ended_by}{_often(ended_by)}"
        last = (line for lines in logs for line in reversed(lines) if not ProgressLine.parse(line))
        return next(last, "It says nothing of why.")


def files_of(record: LogRecord) -> list[str]:
    return list(getattr(record, "log", None) or [])


def _error(lines: list[str]) -> str:
    """The sentence with which a job ended (see ``strata.runtime.job``), or ""."""
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    return " ".join(lines[starts[-1] :]).removeprefix("Error: ") if starts else ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _signal_of(text: str) -> str:
    """The signal that ended a command, or "" if none did. A shell adds 128 to its number."""
    if died := DIED.search(text):
        return died[1]
    status = int(found[1]) if (found := EXIT_STATUS.search(text)) else 0
    return next((s.name for s in signal.Signals if s.value == status - 128), "")


def _often(ended_by: str) -> str:
    """What most often is behind a signal."""
    memory = ", as happens where memory runs out: give it more, or run fewer jobs side by side."
    return memory if ended_by == "SIGKILL" else "."


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.replace("\r", "\n").split("\n")]


def stamps(paths: Iterable[str]) -> list[tuple[int, int] | None]:
    """What changes once a file is written again."""
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            about = os.stat(path)
            found.append((about.st_ino, about.st_mtime_ns))
        except OSError:
            found.append(None)
    return found
