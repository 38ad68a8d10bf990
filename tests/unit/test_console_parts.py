"""The console's parts: frames of any size, what logs say, and the contract of a logger plugin."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import TestLogHandlerBase

from snakemake_logger_plugin_strata import LogHandler
from snakemake_logger_plugin_strata.handler import screen_for
from snakemake_logger_plugin_strata.job_logs import Failures, last_progress
from snakemake_logger_plugin_strata.live import frame
from snakemake_logger_plugin_strata.plain import Lines
from snakemake_logger_plugin_strata.run import Job, Run
from strata.runtime.progress import Progress, ProgressLine


class TestPlugin(TestLogHandlerBase):
    """Snakemake's own test of what a plugin has to be."""

    __test__ = True

    def get_log_handler_cls(self):
        return LogHandler

    def get_log_handler_settings(self):
        return None


def run_of(tmp_path, count: int) -> Run:
    """A run in which `count` jobs work, the first ones with progress in their logs."""
    run = Run()
    run.total, run.done = 84, 36
    for number in range(count):
        log = tmp_path / f"{number}.log"
        job = Job(f"Fine-tune minilm on polarity: full, seed {number}", [str(log)])
        if number < 8:
            log.write_text(
                f"reading\n{100 * number + 100:,}/3,000 steps, 9.9/s, 0:04:00 left, loss 0.1\n"
            )
        run.working[number] = job
    return run


def lines_of(run: Run, width: int, height: int) -> list[str]:
    return [line.plain for line in frame(run, width, height)]


def test_a_frame_says_what_is_done_and_how_far_each_job_is(tmp_path):
    lines = lines_of(run_of(tmp_path, 1), 80, 24)
    assert "36 of 84 jobs done" in lines[0]
    assert lines[1] == "0:00:00  Fine-tune minilm on polarity: full, seed 0"
    assert lines[2].endswith("100 of 3,000 steps, 0:04:00 left, loss 0.1") and len(lines) == 3


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [2, 3, 10, 24, 60])
@pytest.mark.parametrize("jobs", [0, 1, 9, 100])
def test_a_frame_fits_into_any_terminal(tmp_path, width, height, jobs):
    lines = lines_of(run_of(tmp_path, jobs), width, height)
    assert len(lines) <= height and all(len(line) <= width - 3 for line in lines)


def test_of_many_jobs_those_that_fit_are_shown_on_a_line_each(tmp_path):
    lines = lines_of(run_of(tmp_path, 30), 60, 12)
    assert len(lines) == 11 and lines[-1].strip() == "and 21 more"
    assert lines[2].endswith("7%, 0:04:00 left") and "Fine-tune minilm" in lines[2]


def test_jobs_that_have_not_begun_stand_below_and_say_so(tmp_path):
    run = run_of(tmp_path, 9)
    for job in run.working.values():
        job.start -= 100
    lines = lines_of(run, 80, 24)
    assert lines[-2].endswith("seed 8") and lines[-1].strip() == "waiting to start"


def test_the_log_of_an_earlier_try_is_not_read(tmp_path):
    (tmp_path / "log").write_text("1/2 steps, 1.0/s, 0:00:01 left\n")
    run = Run()
    run.total = 1
    run.working[1] = Job("Fetch", [str(tmp_path / "log")])
    assert len(lines_of(run, 80, 24)) == 2


def test_progress_lines_are_read_as_they_are_written(capsys):
    progress = Progress(3000, "steps of 4 heads, and more", every=0)
    progress.advance(1200, lambda: "loss 0.2130, 55.1 examples/s")
    line = ProgressLine.parse(capsys.readouterr().out)
    assert (line.done, line.total, line.unit) == (1200, 3000, "steps of 4 heads, and more")
    assert line.note == "loss 0.2130, 55.1 examples/s" and line.left == "0:00:00"
    assert ProgressLine.parse("1/2 of something") is None


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("", None),
        ("1/9 rows, 1.0/s, 0:00:08 left\n5/9 rows, 1.0/s, 0:00:04 left\nsaving\n", 5),
        ("9/9 rows, 1.0/s, 0:00:00 left\n", None),
        ("x" * 50_000 + "\n2/9 rows, 1.0/s, 0:00:07 left\r3/9 rows, 1.0/s, 0:00:06 left", 3),
        ("\x00\xff\n4/9 rows, 1.0/s, 0:00:05 left\n", 4),
    ],
)
def test_the_last_progress_of_a_log_counts_until_it_is_over(tmp_path, text, done):
    (tmp_path / "log").write_text(text, encoding="latin-1")
    found = last_progress(str(tmp_path / "log"))
    assert (found and found.done) == done


def record(event: LogEvent, text: str = "", **facts) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", logging.ERROR, "x.py", 1, text, (), None)
    made.__dict__.update(event=event, **facts)
    return made


COMMAND = "RuleException:\nCalledProcessError in file x, line 1:\nCommand 'python tmp1.py' "
NAMED = "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'."


@pytest.mark.parametrize(
    ("log", "how", "of_cluster", "reason"),
    [
        ("a\nError: row 7 has\nno label.\n", "status 1.", None, "row 7 has no label."),
        ("Error: old\nstart\nError: new\n", "status 1.", None, "new"),
        ("Traceback ...\nValueError: x\n", "status 1.", None, "ValueError: x"),
        ("1/9 rows, 1.0/s, 0:00:08 left\n", "status 137.", None, "It was ended by SIGKILL, as"),
        ("5\n", "died", None, "It was ended by SIGKILL, as"),
        ("", "status 1.", None, "It says nothing of why."),
        ("SIGTERM: saving\n", None, NAMED, NAMED),
        ("interrupted\n", "status 130.", None, "SIGINT"),
    ],
)
def test_a_failure_has_one_sentence(tmp_path, log, how, of_cluster, reason):
    (tmp_path / "log").write_text(log)
    failures = Failures()
    if how:
        ending = (
            "died with <Signals.SIGKILL: 9>." if how == "died" else f"returned non-zero exit {how}"
        )
        assert failures.is_of_command(record(LogEvent.ERROR, COMMAND + ending))
    failed = record(LogEvent.JOB_ERROR, log=[str(tmp_path / "log")], rule_msg=of_cluster)
    assert failures.reason(failed).startswith(reason)


def test_other_errors_are_not_held_back():
    assert not Failures().is_of_command(record(LogEvent.ERROR, "WorkflowError:\nno such model"))


def test_a_job_that_is_tried_again_has_not_failed(capsys):
    run = Run()
    for _ in range(2):
        run.started(SimpleNamespace(jobid=1, rule_msg="Fetch", rule_name="fetch", log=[]))
        run.failed(1, "no network")
    assert list(run.failures) == [1]
    run.started(SimpleNamespace(jobid=1, rule_msg="Fetch", rule_name="fetch", log=[]))
    assert not run.failures
    Lines(run).started(run.working[1])
    assert capsys.readouterr().err.endswith("  Start again: Fetch\n")


def test_a_warning_is_given_once(capsys):
    handler = TestPlugin()._create_handler()
    for _ in range(3):
        warning = logging.LogRecord("snakemake", logging.WARNING, "x", 1, "No account.", (), None)
        handler.handle(warning)
    assert capsys.readouterr().err.count("No account.") == 1


def test_without_rich_there_are_lines_at_a_terminal_too(monkeypatch):
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert not isinstance(screen_for(Run(), False), Lines)
    monkeypatch.setitem(sys.modules, "snakemake_logger_plugin_strata.live", None)
    assert isinstance(screen_for(Run(), False), Lines)


def test_frames_can_be_drawn_without_colours(tmp_path):
    console = Console(file=io.StringIO(), no_color=True, force_terminal=True, width=80)
    for line in frame(run_of(tmp_path, 2), 80, 24):
        console.print(line)
    drawn = console.file.getvalue()
    assert "\x1b[3" not in drawn and "━" in drawn and "─" in drawn
