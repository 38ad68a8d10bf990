"""What the console says in sentences, whatever its form."""

from collections.abc import Iterator
from logging import Formatter, LogRecord

from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_strata.job_logs import INTERRUPTED, Failures, files_of
from snakemake_logger_plugin_strata.run import Failure, Run
from strata.runtime.progress import clock

PLANNING = "Strata: planning ..."
GO_ON = "What is done is kept: the same command goes on from there."


def count(number: int, what: str = "job") -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def done_of_all(run: Run) -> str:
    return f"{run.done:,} of {count(run.total)} done"


def failure(failed: Failure) -> str:
    """A job that failed: its name, why, and where it says more."""
    return "\n".join([f"Failed: {failed.words}", f"  {failed.reason}", *_logs(failed)])


def _logs(failed: Failure) -> list[str]:
    return [f"  Log: {', '.join(failed.logs)}"] if failed.logs else []


def ending(run: Run, snakemake_log: str) -> Iterator[str]:
    """The last words, below the study's answers if there are any."""
    failures = [f for f in run.failures.values() if f.reason != INTERRUPTED or not run.interrupted]
    if failures:
        yield f"{count(len(failures))} failed:"
        yield from (_again(failed) for failed in failures)
    if run.interrupted:
        yield f"Interrupted with {done_of_all(run)}. {GO_ON}"
    elif failures:
        yield f"{done_of_all(run)}. {GO_ON}"
    yield f"Time: {clock(run.seconds())}. All that Snakemake said: {snakemake_log}"


def _again(failed: Failure) -> str:
    return "\n".join([f"- {failed.words}: {failed.reason}", *_logs(failed)])


class OneSentence(Formatter):
    """Snakemake's messages but for failed jobs, which are told as the console tells them."""

    def __init__(self, usual: Formatter, failures: Failures) -> None:
        super().__init__()
        self.usual, self.failures = usual, failures

    def format(self, record: LogRecord) -> str:
        if getattr(record, "event", None) != LogEvent.JOB_ERROR:
            return self.usual.format(record)
        name: str = record.rule_name  # type: ignore[attr-defined]
        return failure(Failure(name, self.failures.reason(record), files_of(record)))
