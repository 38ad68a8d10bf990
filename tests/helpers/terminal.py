"""A program at a pseudo-terminal, and what is on its screen."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

# A control sequence with its numbers and its letter, or one character.
TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|(.)", re.DOTALL)


def rows_of(written: str, columns: int) -> list[str]:
    """What is on a screen of endless height once all of `written` was written to it."""
    rows: list[dict[int, str]] = [{}]
    row = column = 0
    for numbers, letter, character in TOKEN.findall(written):
        if letter == "A":
            row = max(0, row - int(numbers or 1))
        elif letter == "K":
            assert numbers == "2", "only whole lines are erased"
            rows[row].clear()
        elif character == "\r":
            column = 0
        elif character == "\n" or (character and column == columns):
            row, column = row + 1, column if character == "\n" else 0
            rows += [{} for _ in range(row + 1 - len(rows))]
        if character and character not in "\r\n":
            rows[row][column] = character
            column += 1
    return ["".join(r.get(c, " ") for c in range(max(r, default=-1) + 1)).rstrip() for r in rows]


def _own_terminal() -> None:
    """Make standard input the terminal whose Ctrl-C this process gets."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program whose input and output are a terminal of its own, with Ctrl-C and a size."""

    def __init__(
        self, command: list[str], cwd: Path, columns: int = 80, rows: int = 24, **environment: str
    ):
        self.columns, self.written = columns, ""
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        # What the terminal of whoever runs the tests is like does not count.
        known = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=known | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509 (a test's process has one thread)
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        self.columns = columns
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def screen(self) -> str:
        return "\n".join(rows_of(self.written, self.columns))

    def wait_for(self, shown: str | Callable[[str], object], seconds: float = 60) -> str:
        """The screen once it shows something."""
        is_shown = shown if callable(shown) else lambda screen: shown in screen
        end = time.monotonic() + seconds
        while not is_shown(screen := self.screen()):
            assert self._read(end - time.monotonic()), f"never shown: {shown}\n{screen}"
        return screen

    def end(self, seconds: float = 60) -> str:
        """The screen once the program has ended."""
        end = time.monotonic() + seconds
        while self._read(end - time.monotonic()):
            pass
        os.close(self._master)
        self.process.wait(timeout=60)
        return self.screen()

    def _read(self, seconds: float) -> bool:
        """Whether more was written; not if nothing is within `seconds`, or the program ended."""
        ready = select.select([self._master], [], [], max(0, seconds))[0]
        try:
            read = os.read(self._master, 65_536) if ready else b""
        except OSError:  # Linux says so where the other end is closed
            read = b""
        self.written += read.decode(errors="replace")
        return bool(read)
