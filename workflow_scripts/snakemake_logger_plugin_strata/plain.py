"""The console where nobody sits at a terminal: a line where a job starts, one where it ends."""

import sys

from snakemake_logger_plugin_strata.run import Job, Run
from strata.runtime.progress import clock


class Lines:
    """Lines on standard error, without control characters."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def say(self, text: str, style: str = "") -> None:
        print(text, file=sys.stderr, flush=True)

    def begin(self) -> None:
        """Nothing: a line is there once it is written."""

    def end(self) -> None:
        """Nothing, likewise."""

    def started(self, job: Job) -> None:
        start = "Start again" if job.again else "Start"
        self.say(f"{clock(self.run.seconds())}  {start}: {job.words}")

    def finished(self, job: Job) -> None:
        self.say(
            f"{clock(self.run.seconds())}  Done {self.run.done:,}/{self.run.total:,}: {job.words}"
        )
