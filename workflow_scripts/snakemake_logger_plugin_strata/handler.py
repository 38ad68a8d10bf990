"""Snakemake's records -> what the console says and shows."""

import os
import re
import sys
from collections.abc import Callable
from logging import INFO, WARNING, LogRecord
from typing import Protocol

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_strata import words
from snakemake_logger_plugin_strata.job_logs import INTERRUPTED, Failures, files_of
from snakemake_logger_plugin_strata.plain import Lines
from snakemake_logger_plugin_strata.run import Job, Run, near

# How Snakemake's messages begin that have no event of their own and matter to a reader.
COMPLETE_LOG = "Complete log(s): "
INTERRUPT = "Terminating processes on user request"
TOLD = (
    "Nothing to be done",
    "Creating conda environment",
    "Pulling singularity image",
    "Will exit after finishing",
    "Waiting at most",
)
SAID_OTHERWISE = ("Exiting because a job execution failed", "At least one job did not complete")
LACKS_OUTPUT = re.compile(r"\bJob (\d+) +completed successfully, but (.+)")


class Screen(Protocol):
    """Where the console appears."""

    def say(self, text: str, style: str = "") -> None:
        """Something that stays."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, job: Job) -> None: ...


class LogHandler(LogHandlerBase):
    """The console of one run of Snakemake."""

    def __post_init__(self) -> None:
        self.run = Run()
        self.failures = Failures()
        self._warned: set[str] = set()
        self.screen = screen_for(self.run, self.common_settings.nocolor)
        self._events: dict[LogEvent, Callable[[LogRecord], None]] = {
            LogEvent.WORKFLOW_STARTED: lambda _: self.screen.begin(),
            LogEvent.RUN_INFO: self._planned,
            LogEvent.JOB_INFO: self._started,
            LogEvent.JOB_FINISHED: self._finished,
            LogEvent.JOB_ERROR: self._failed,
            LogEvent.PROGRESS: self._counted,
            LogEvent.ERROR: self._error,
        }
        self.screen.say(words.PLANNING)

    def emit(self, record: LogRecord) -> None:
        try:
            if self.common_settings.dryrun:
                self.screen.say(self.format(record))
            elif (event := getattr(record, "event", None)) is None:
                self._message(record)
            elif event in self._events:
                self._events[event](record)
        except Exception:  # noqa: BLE001 (as every handler of the standard library does)
            self.handleError(record)

    def close(self) -> None:
        self.screen.end()
        super().close()

    def _planned(self, record: LogRecord) -> None:
        self.run.total = record.stats["total"]  # type: ignore[attr-defined]
        self.screen.say(f"{words.count(self.run.total)} to do")

    def _started(self, record: LogRecord) -> None:
        self.screen.begin()
        self.screen.started(self.run.started(record))

    def _finished(self, record: LogRecord) -> None:
        if job := self.run.finished(record.job_id):  # type: ignore[attr-defined]
            self.screen.finished(job)

    def _counted(self, record: LogRecord) -> None:
        self.run.done, self.run.total = record.done, record.total  # type: ignore[attr-defined]
        if self.run.done >= self.run.total:
            self.screen.end()  # the answers come next

    def _failed(self, record: LogRecord) -> None:
        reason, number = self.failures.reason(record), record.jobid  # type: ignore[attr-defined]
        failed = self.run.failed(number, reason, files_of(record))
        if reason != INTERRUPTED:  # all that run are, at once
            self.screen.say(words.failure(failed), "red")

    def _error(self, record: LogRecord) -> None:
        if self.failures.is_of_command(record) or _is_said_otherwise(record):
            return
        text = record.getMessage()
        if lacking := LACKS_OUTPUT.search(text):
            text = words.failure(self.run.failed(int(lacking[1]), f"It ended, but {lacking[2]}"))
        self.screen.say(text, "red")

    def _message(self, record: LogRecord) -> None:
        """What has no event."""
        text = record.getMessage()
        if text.startswith(COMPLETE_LOG):
            self._end(", ".join(map(near, text.removeprefix(COMPLETE_LOG).split(", "))))
        elif text.startswith(INTERRUPT):
            self.run.interrupted = True
            self.screen.say("Interrupted: ending the jobs that run ...", "yellow")
        elif record.levelno >= WARNING and not _is_said_otherwise(record):
            self._warn(text.strip(), "yellow" if record.levelno == WARNING else "red")
        elif record.levelno == INFO and text.startswith(TOLD):
            self.screen.say(text)

    def _warn(self, text: str, style: str) -> None:
        """Once: SLURM's plugin gives the same warnings for every job."""
        if text not in self._warned:
            self._warned.add(text)
            self.screen.say(text, style)

    def _end(self, snakemake_log: str) -> None:
        self.screen.end()
        self.screen.say("\n".join(["", *words.ending(self.run, snakemake_log)]))

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own, which knows of --quiet."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Snakemake's own, for dry runs."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False


def screen_for(run: Run, no_color: bool) -> Screen:
    """A live display at a terminal, lines elsewhere, or where rich is not installed."""
    if sees_terminal():
        try:
            from snakemake_logger_plugin_strata.live import Display
        except ImportError:
            return Lines(run)
        return Display(run, no_color)
    return Lines(run)


def sees_terminal() -> bool:
    if os.environ.get("TERM") == "dumb" or os.environ.get("STRATA_CONSOLE") == "plain":
        return False
    return sys.stderr.isatty() and sys.stdout.isatty()


def _is_said_otherwise(record: LogRecord) -> bool:
    return any(words in record.getMessage() for words in SAID_OTHERWISE)
