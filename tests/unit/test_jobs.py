"""What a job leaves behind when it fails, is killed, or has no room to write."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strata.runtime import job as jobs
from strata.runtime.files import written_whole
from strata.runtime.locks import forget_dead_locks

SCRIPTS = Path(jobs.__file__).parents[2]


START = f"""
from types import SimpleNamespace
from strata.runtime.job import job
snakemake = SimpleNamespace(log=["job.log"], threads=1, scriptdir={str(SCRIPTS)!r})
"""


def run(code, folder, **options):
    command = [sys.executable, "-c", f"{START}\n{code}"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen(command, cwd=folder, env=environment, **options)


def fails(code, folder, **options):
    """The log of a job that ends with exit status 1."""
    assert run(code, folder, **options).wait(120) == 1
    return (folder / "job.log").read_text()


def little_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


WRITERS = {
    "text": "open('big', 'w').write('x' * 10**6)",
    "hdf5": "import h5py, numpy\nwith h5py.File('big', 'w') as f: f['x'] = numpy.ones(10**6)",
    "parquet": "import numpy, pandas\n"
    "pandas.DataFrame({'x': numpy.random.rand(10**6)}).to_parquet('big')",
    "safetensors": "import torch\nfrom safetensors.torch import save_file\n"
    "save_file({'x': torch.rand(10**6)}, 'big')",
    "torch": "import torch\ntorch.save(torch.rand(10**6), 'big')",
    "caused": "try: open('big', 'w').write('x' * 10**6)\n"
    "except OSError as e: raise RuntimeError('writer failed') from e",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_in_one_sentence(writer, tmp_path):
    body = "\n".join("    " + line for line in WRITERS[writer].splitlines())
    text = fails(f"with job(snakemake):\n{body}", tmp_path, preexec_fn=little_room)
    assert "left no room to write" in text and "finished results are kept" in text
    assert "Traceback" not in text


def test_a_library_from_elsewhere_is_refused(tmp_path):
    """An installed package of the same name would otherwise do the work, outside the code hash."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(SCRIPTS / "strata", elsewhere / "strata")
    code = f"snakemake.scriptdir = {str(SCRIPTS)!r}\nwith job(snakemake):\n    print('worked')"
    environment = os.environ | {"PYTHONPATH": str(elsewhere)}
    command = [sys.executable, "-c", f"{START}\n{code}"]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 1
    text = (tmp_path / "job.log").read_text()
    assert f"imported the package 'strata' from {elsewhere}, not the one" in text
    assert "worked" not in text and "Traceback" not in text


def test_any_other_error_keeps_its_traceback(tmp_path):
    text = fails("with job(snakemake):\n    raise OSError(5, 'Input/output error')", tmp_path)
    assert "Traceback" in text and "room" not in text


def test_what_imports_make_is_no_work_for_the_collector(tmp_path):
    """Few collections while 70,000 lists come, and nothing left to go through at the end."""
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('left', gc.get_count()[0] - gc.get_freeze_count()))\n"
        "before = gc.get_stats()[0]['collections']\n"
        "with job(snakemake):\n"
        "    kept = [[] for _ in range(70_000)]\n"
        "    print('collections', gc.get_stats()[0]['collections'] - before)"
    )
    assert run(code, tmp_path).wait(60) == 0
    told = dict(line.split() for line in (tmp_path / "job.log").read_text().splitlines())
    assert int(told["collections"]) < 20
    assert int(told["left"]) < -70_000  # those frozen are more than those that came


def test_an_interrupted_job_says_just_that(tmp_path):
    # The parent of the tests may ignore the signal, as a shell does for background jobs.
    heed = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code = heed + "with job(snakemake):\n    print('on', flush=True)\n    time.sleep(60)"
    started, log = run(code, tmp_path), tmp_path / "job.log"
    wait_for(lambda: log.is_file() and log.read_text())
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    assert log.read_text() == "on\ninterrupted\n"


def test_a_job_ends_with_the_workflow_that_started_it(tmp_path):
    """The workflow is a process named snakemake; between it and the job is a shell, as usual."""
    workflow = tmp_path / "snakemake"
    job = f"import time{START}with job(snakemake): time.sleep(60)"
    shell = ["sh", "-c", f'{sys.executable} -c "$0"; true', job]
    workflow.write_text(f"import subprocess\nsubprocess.Popen({shell!r}).wait()\n")
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    started = subprocess.Popen([sys.executable, workflow], cwd=tmp_path, env=environment)
    log = tmp_path / "job.log"
    wait_for(log.is_file)
    time.sleep(1)
    assert "ending" not in log.read_text()
    started.send_signal(signal.SIGKILL)
    started.wait()
    wait_for(lambda: "the workflow is gone: ending" in log.read_text())


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)


def test_what_a_killed_job_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".table[1].csv.123.partial").write_text("half")
    (tmp_path / ".other.csv.123.partial").write_text("not ours")
    with written_whole(tmp_path / "table[1].csv") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "table[1].csv").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"table[1].csv", ".other.csv.123.partial"}


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(OSError), written_whole(path) as partial:
        partial.write_text("half")
        raise OSError
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"] and path.read_text() == "before"


def test_locks_are_forgotten_only_where_no_workflow_is_alive(tmp_path, capsys):
    lock = tmp_path / "locks" / "0.output.lock"
    lock.parent.mkdir()
    lock.write_text("results/summary.csv\n")
    code = (
        "import sys\nfrom strata.runtime.locks import forget_dead_locks\n"
        "alive = forget_dead_locks(lambda: False, '.')"
    )
    holder = run(f"{code}\nprint('held', flush=True)\nsys.stdin.read()", tmp_path,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdout.readline() == "held\n" and not lock.exists()
    lock.write_text("results/summary.csv\n")  # its own, as Snakemake writes after planning
    with forget_dead_locks(lambda: False, tmp_path):
        assert lock.exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with forget_dead_locks(lambda: False, tmp_path):
        assert not lock.exists()
    assert "Removed the locks of a Snakemake that was killed" in capsys.readouterr().err
