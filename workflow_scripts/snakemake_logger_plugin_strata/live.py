"""The console at a terminal: one display of what is done and what runs now, redrawn in place."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from snakemake_logger_plugin_strata.run import Job, Run
from snakemake_logger_plugin_strata.words import done_of_all
from strata.runtime.progress import ProgressLine, clock

BAR = 16  # columns
MARGIN = 3  # columns left free: a terminal writes ^C after the last line, which must not wrap
NARROW = 60  # columns in which a bar would leave no room for words
INDENT = " " * 9  # below the words of a job, which stand beside its time


class Display:
    """A live display on standard error; what is said meanwhile stays above it."""

    def __init__(self, run: Run, no_color: bool) -> None:
        self.run = run
        # `None` leaves it to NO_COLOR.
        self.console = Console(stderr=True, no_color=no_color or None, highlight=False)
        self._live: Live | None = None

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)

    def begin(self) -> None:
        if self._live is None:
            self._live = Live(
                get_renderable=self._frame,
                console=self.console,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start(refresh=True)

    def end(self) -> None:
        """Take the display away, and show the cursor again."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, job: Job) -> None:
        """Nothing where it is the first time: the next frame shows it."""
        if job.again:
            self.say(f"Start again: {job.words}", "yellow")

    def finished(self, job: Job) -> None:
        """Nothing: the next frame is without it."""

    def _frame(self) -> Group:
        return Group(*frame(self.run, self.console.width, self.console.height))


def frame(run: Run, width: int, height: int) -> list[Text]:
    """The display's lines: as much as fits into a terminal, none as wide as that."""
    now = time.monotonic()
    jobs = list(run.working.values())
    for job in jobs:
        job.look(now)
    jobs.sort(key=lambda job: (job.waits(now), job.start))
    room = max(height - 2, 1)
    lines = [line for job in jobs for line in _full(job, now)]
    if len(lines) > room or width < NARROW:
        lines = [_short(job, now, width) for job in jobs]
    if len(lines) > room:
        lines = [*lines[: room - 1], Text(f"{INDENT}and {len(lines) - room + 1:,} more", "dim")]
    lines = [_head(run, width), *lines]
    for line in lines:
        line.truncate(width - MARGIN, overflow="ellipsis")
    return lines


def _head(run: Run, width: int) -> Text:
    if not run.total:
        return Text.assemble((clock(run.seconds()), "bold"), "  looking at what is there ...")
    failed = f", {len(run.failures):,} failed" if run.failures else ""
    done = Text.assemble((clock(run.seconds()), "bold"), "  ", (done_of_all(run), "bold"))
    done.append(failed, "bold red")
    bar = Text("  ").append_text(_bar(run.done, run.total))
    return done.append_text(bar) if len(done) + len(bar) <= width - MARGIN else done


def _full(job: Job, now: float) -> list[Text]:
    lines = [_first(job, now)]
    if job.waits(now):
        lines.append(Text(f"{INDENT}waiting to start", "dim"))
    elif job.progress:
        lines.append(_progress(job.progress))
    return lines


def _short(job: Job, now: float, width: int) -> Text:
    """A job on one line, with its share done."""
    line, share = _first(job, now), ""
    if job.progress:
        share = f"  {job.progress.done / job.progress.total:.0%}, {job.progress.left} left"
    line.truncate(width - MARGIN - len(share), overflow="ellipsis")
    return line.append(share, "dim")


def _first(job: Job, now: float) -> Text:
    return Text.assemble((f"{clock(now - job.start):>7}", "dim"), "  ", job.words)


def _progress(progress: ProgressLine) -> Text:
    done = f"  {progress.done:,} of {progress.total:,} {progress.unit}, {progress.left} left"
    note = f", {progress.note}" if progress.note else ""
    return Text(INDENT).append_text(_bar(progress.done, progress.total)).append(done + note, "dim")


def _bar(done: int, total: int) -> Text:
    filled = min(done, total) * BAR // total
    return Text("━" * filled, "green").append("─" * (BAR - filled), "bright_black")
