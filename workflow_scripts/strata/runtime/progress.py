"""Progress lines with a rate and the time left, written by jobs and read by the console."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

LINE = re.compile(
    r"(?P<done>[\d,]+)/(?P<total>[\d,]+) (?P<unit>.+?), [\d,.]+/s, (?P<left>\d+:\d\d:\d\d) left"
    r"(?:, (?P<note>.+))?"
)


class Progress:
    """Lines with rate and time left, at most one every `every` seconds (and one at the end)."""

    def __init__(self, total: int, unit: str, every: float = 5.0):
        self.total, self.unit, self.every = total, unit, every
        self.done = 0
        self.start = self.last = time.monotonic()

    def advance(self, count: int = 1, note: Callable[[], str] | None = None) -> None:
        """Count further; `note` is called only when a line is due (reading a loss from a GPU is
        slow).
        """
        self.done += count
        now = time.monotonic()
        if now - self.last < self.every and self.done < self.total:
            return
        self.last = now
        rate = self.done / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate
        print(
            f"{self.done:,}/{self.total:,} {self.unit}, {rate:,.1f}/s, {clock(left)} left"
            + (f", {note()}" if note else ""),
            flush=True,
        )


@dataclass(frozen=True)
class ProgressLine:
    """What a line of ``Progress`` says."""

    done: int
    total: int
    unit: str
    left: str
    note: str | None

    @classmethod
    def parse(cls, line: str) -> "ProgressLine | None":
        """None of any other line."""
        if found := LINE.fullmatch(line.strip()):
            done, total = (int(found[name].replace(",", "")) for name in ("done", "total"))
            return cls(done, total, found["unit"], found["left"], found["note"])
        return None


def clock(seconds: float) -> str:
    """`seconds` as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
