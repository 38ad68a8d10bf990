"""What people see of a run: at a terminal, elsewhere, when it fails, and when they interrupt it.

The workflow's jobs take no time and say what long ones do; Snakemake and its terminal are real.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.terminal import Terminal
from helpers.workflows import REPOSITORY

SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "workflow_scripts")!r})
include: {str(REPOSITORY / "rules/internals.smk")!r}

rule all:
    input: "a", "b", "c"

rule train:
    output: "a"
    log: "logs/train.log"
    message: "Fine-tune minilm on polarity: full, seed 1"
    shell:
        "echo '1,200/3,000 steps, 10.0/s, 0:03:00 left, loss 0.2130, 355.3 examples/s' > {{log}}; "
        "while [ ! -e go-on ]; do sleep 0.1; done; touch {{output}}"

rule fetch:
    output: "{{name}}"
    wildcard_constraints: name="b|c"
    log: "logs/fetch_{{name}}.log"
    message: "Bring the task {{wildcards.name}}"
    script: "fetch.py"

onsuccess:
    print("the answer is 42")
"""
FETCH = """
import sys
from pathlib import Path

with open(snakemake.log[0], "w") as log:
    if Path(f"bad-{snakemake.wildcards.name}").exists():
        print("Reading rows", file=log)
        print("Error: tasks/pairs.jsonl, row 7, has no label: give it one.", file=log)
        sys.exit(1)
    print("done", file=log)
Path(snakemake.output[0]).touch()
"""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
INTERNALS = re.compile(
    r"CalledProcessError|Traceback|\.snakemake/scripts|returned non-zero|\btmp\w+"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "fetch.py").write_text(FETCH)
    return tmp_path


def command(*options: str) -> list[str]:
    known = ["--cores", "3", "--keep-going", "--show-failed-logs", "--workflow-profile", "none"]
    return [sys.executable, "-m", "snakemake", *known, *options]


@pytest.fixture
def piped(planner, folder):
    """Run Snakemake where its output is no terminal."""

    def run(*options: str, **environment: str) -> subprocess.CompletedProcess:
        return planner.run(command(*options)[1:], folder, os.environ | environment)

    return run


def log_of(folder: Path) -> str:
    (log,) = (folder / ".snakemake/log").iterdir()
    return log.read_text()


def test_at_a_terminal_one_display_says_what_is_done_and_what_runs(folder):
    terminal = Terminal(command(), folder)
    screen = terminal.wait_for("2 of 4 jobs done")
    assert "Strata: planning ..." in screen and "4 jobs to do" in screen
    terminal.wait_for("1,200 of 3,000 steps, 0:03:00 left, loss 0.2130")
    assert "Fine-tune minilm on polarity: full, seed 1" in terminal.screen()
    assert "Bring the task" not in terminal.screen()  # jobs that end leave no line
    (folder / "go-on").touch()
    screen = terminal.end()
    assert terminal.process.returncode == 0
    answer, end = screen.index("the answer is 42"), screen.index("Time: 0:0")
    assert answer < end and "Fine-tune" not in screen and "━" not in screen
    log = re.search(r"All that Snakemake said: (\S+)", screen.replace("\n", ""))[1]
    told = (folder / log).read_text()
    assert "4 of 4 steps (100%) done" in told and "Job stats" in told and "Reason: " in told


def test_a_narrow_and_low_terminal_shows_what_fits_and_may_change_its_size(folder):
    terminal = Terminal(command(), folder, columns=40, rows=4)
    terminal.wait_for("40%, 0:03:00 left")
    terminal.resize(120, 30)
    terminal.wait_for("1,200 of 3,000 steps, 0:03:00 left, loss 0.2130")
    terminal.resize(30, 3)
    terminal.wait_for(lambda _: "\n" in terminal.written[-200:])
    (folder / "go-on").touch()
    terminal.end()
    assert terminal.process.returncode == 0 and "\x1b[?25h" in terminal.written[-2000:]


def test_elsewhere_lines_say_what_starts_and_ends(folder, piped):
    (folder / "go-on").touch()
    done = piped()
    assert done.returncode == 0 and done.stdout == "the answer is 42\n"
    assert not CONTROL.search(done.stderr)
    lines = [re.sub(r"^\d:\d\d:\d\d  ", "", line) for line in done.stderr.splitlines()]
    assert lines[:2] == ["Strata: planning ...", "4 jobs to do"]
    about = [line for line in lines if "Fine-tune" in line]
    words = "Fine-tune minilm on polarity: full, seed 1"
    assert about[0] == f"Start: {words}" and re.fullmatch(rf"Done [123]/4: {words}", about[1])
    assert len(lines) <= 2 + 2 * 4 + 2
    assert f"All that Snakemake said: {log_path(folder)}" in lines[-1]


def log_path(folder: Path) -> str:
    (log,) = (folder / ".snakemake/log").iterdir()
    return str(log.relative_to(folder))


def test_where_only_answers_go_into_a_pipe_no_display_is_drawn(folder):
    """As with `| tee`, which shows them at the same terminal."""
    (folder / "go-on").touch()
    shell = ["sh", "-c", f"{' '.join(command())} | tee answers.txt"]
    terminal = Terminal(shell, folder)
    terminal.end()
    assert "Done 4/4: all" in terminal.screen() and not CONTROL.search(
        terminal.written.replace("\r\n", "\n")
    )
    assert (folder / "answers.txt").read_text() == "the answer is 42\n"


def test_no_color_is_respected(folder):
    (folder / "go-on").touch()
    (folder / "bad-b").touch()
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3|9)\d")
    for environment, expected in (({"NO_COLOR": "1"}, False), ({}, True)):
        terminal = Terminal(command(), folder, **environment)
        terminal.end()
        assert bool(colour.search(terminal.written)) == expected


# ---------------------------------------------------------------- what fails

REASON = "tasks/pairs.jsonl, row 7, has no label: give it one."


def test_a_job_that_fails_leaves_its_sentence_and_its_log_above_the_display(folder):
    (folder / "bad-b").touch()
    terminal = Terminal(command(), folder)
    screen = terminal.wait_for(lambda s: "1 failed" in s and "Fine-tune minilm" in s)
    failure = f"Failed: Bring the task b\n  {REASON}\n  Log: logs/fetch_b.log\n"
    assert failure in screen and screen.index(failure) < screen.index("Fine-tune minilm")
    (folder / "go-on").touch()
    screen = terminal.end()
    assert terminal.process.returncode == 1 and not INTERNALS.search(screen)
    end = screen[screen.index("\n1 job failed:\n") :]
    assert f"- Bring the task b: {REASON}\n  Log: logs/fetch_b.log\n" in end
    assert "2 of 4 jobs done. What is done is kept: the same command goes on from there." in end
    assert "All that Snakemake said: .snakemake/log/" in end.replace("\n", "")


def test_all_failures_are_listed_at_the_end(folder, piped):
    for name in ("go-on", "bad-b", "bad-c"):
        (folder / name).touch()
    done = piped()
    assert done.returncode == 1 and not INTERNALS.search(done.stderr + done.stdout)
    said, end = done.stderr.split("\n2 jobs failed:\n")
    for name in "bc":
        assert f"Failed: Bring the task {name}\n  {REASON}\n  Log: logs/fetch_{name}.log\n" in said
        assert f"- Bring the task {name}: {REASON}\n  Log: logs/fetch_{name}.log\n" in end
    assert "1 of 4 jobs done. What is done is kept" in end and "Reading rows" not in done.stderr
    log = log_of(folder)
    assert "CalledProcessError" in log and "Reading rows" in log and "Job stats" in log


@pytest.mark.parametrize(
    ("options", "environment"),
    [([], {"STRATA_CONSOLE": "snakemake"}), (["--quiet", "progress"], {})],
)
def test_snakemakes_own_messages_say_of_a_failure_no_more(folder, piped, options, environment):
    (folder / "go-on").touch()
    (folder / "bad-b").touch()
    done = piped(*options, **environment)
    assert done.returncode == 1 and not INTERNALS.search(done.stderr + done.stdout)
    assert f"Failed: fetch\n  {REASON}\n  Log: logs/fetch_b.log\n" in done.stderr
    assert "Fine-tune minilm" in done.stderr and "Strata" not in done.stderr
    assert "CalledProcessError" in log_of(folder)


def test_a_job_that_is_killed_says_by_what(folder, piped):
    (folder / "go-on").touch()
    (folder / "fetch.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    done = piped("b")
    assert "  It was ended by SIGKILL, as happens where memory runs out" in done.stderr


def test_outputs_that_a_job_did_not_make_are_told(folder, piped):
    (folder / "fetch.py").write_text("")
    done = piped("b", "--latency-wait", "1")
    assert "Failed: Bring the task b\n  It ended, but some output files are missing" in done.stderr
    assert "0 of 1 job done. What is done is kept" in done.stderr


# ---------------------------------------------------------------- interrupted


def test_ctrl_c_ends_the_display_and_says_how_to_go_on(folder, piped):
    terminal = Terminal(command(), folder)
    # And more than fits, so that the terminal's own ^C comes at its right edge.
    full = "1,200 of 3,000 steps, 0:03:00 left, loss 0.2130"
    terminal.wait_for(lambda screen: "2 of 4 jobs done" in screen and full in screen)
    terminal.press("\x03")
    screen = terminal.end()
    assert terminal.process.returncode == 1 and not INTERNALS.search(screen)
    assert "Failed" not in screen and "failed" not in screen and "Fine-tune" not in screen
    assert screen.count("jobs done") == 1, "a line of the display is left"
    assert "Interrupted with 2 of 4 jobs done. What is done is kept: the same command" in screen
    shown, hidden = (terminal.written.rindex(f"\x1b[?25{letter}") for letter in "hl")
    assert shown > hidden, "the cursor is still hidden"
    (folder / "go-on").touch()
    assert "2 jobs to do" in piped().stderr


def test_ctrl_c_while_jobs_are_planned_shows_no_traceback(folder):
    with (folder / "Snakefile").open("a") as file:
        file.write("\nprint('slow', flush=True)\nimport time\ntime.sleep(60)\n")
    terminal = Terminal(command(), folder)
    terminal.wait_for("slow")
    terminal.press("\x03")
    screen = terminal.end()
    assert terminal.process.returncode and "Interrupted. What is done is kept" in screen
    assert not INTERNALS.search(screen)


# ---------------------------------------------------------------- other commands


def test_what_only_lists_or_plans_is_snakemakes(folder, piped):
    (folder / "go-on").touch()
    done = piped("--dry-run")
    assert "Job stats:" in done.stdout and "Strata" not in done.stdout + done.stderr
    done = piped("--summary")
    assert done.stdout.startswith("output_file\t") and len(done.stdout.splitlines()) == 4
    assert piped().returncode == 0
    assert "Nothing to be done" in piped().stderr


def test_it_is_a_plugin_that_may_be_asked_for_by_name(folder):
    """Where it is on Python's path; then the workflow puts no second one beside it."""
    (folder / "go-on").touch()
    done = subprocess.run(
        command("--logger", "strata"),
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow_scripts")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Strata: planning") == 1 and done.stderr.count("Done 4/4: all") == 1
