"""A server that has imported heavy libraries once and forks for every Python program it is given.

Importing torch takes most of a small job's time, and importing Snakemake much of a dry run's. A
program that runs in a fork has its own process, arguments, folder, environment and output, as
usual; it only finds its libraries already imported. Strata's own modules are never among them: each
program imports those of its own copy of the workflow.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from pathlib import Path

# Where jobs of a workflow find their server; see handover/sitecustomize.py.
SOCKET = "STRATA_TEST_FORKS"
HANDOVER = Path(__file__).parent / "handover"
SNAKEMAKE = (
    "snakemake.cli",
    "snakemake.report",
    "snakemake.executors.local",
    "snakemake.executors.dryrun",
    "snakemake_executor_plugin_slurm",
    "rich.live",
    "jsonschema",
    "numpy",
    "pandas",
    "psutil",
    "filelock",
)
JOBS = (
    "datasets",
    "h5py",
    "matplotlib.pyplot",
    "peft",
    "plotnine",
    "plotnine.composition",
    "pyarrow.parquet",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.metrics",
    "snakemake.script",
    "torch",
    "transformers",
    "transformers.trainer",
)


class Forks:
    """A server of some libraries, which ends with the process that started it."""

    def __init__(self, folder: Path, modules: tuple[str, ...]):
        # A socket's path may have about a hundred characters, fewer than many folders have.
        self.path = Path(tempfile.mkdtemp(prefix="forks-")) / "socket"
        self.log = folder / "forks.log"
        # Jobs set it before they import what reads it.
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(self.path), *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        if not self.process.stdout.readline():
            raise RuntimeError(self.log.read_text())

    def run(self, arguments: list[str], cwd: Path, environment: dict[str, str] | None = None):
        """`python` with `arguments` ("-m", module, ... or a script, ...), in a fork.

        Returns what `subprocess.run` with captured text does.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with open(os.devnull, "rb") as nothing:
                streams = [file.fileno() for file in (nothing, out, err)]
                status = hand_over(self.path, arguments, streams, cwd, environment or os.environ)
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, status, *said)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.path.parent)


def hand_over(path, arguments, streams, cwd, environment, signals=()) -> int:
    """Have the server at `path` run a program; its exit status, negative if a signal ended it.

    `signals` that arrive meanwhile are passed on.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        told = json.dumps([list(arguments), str(cwd), dict(environment)]).encode()
        socket.send_fds(connection, [len(told).to_bytes(8, "big")], streams)
        connection.sendall(told)
        for number in signals:
            signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
        answer = connection.recv(4)
    return int.from_bytes(answer, "big", signed=True) if answer else -signal.SIGKILL


# ---------------------------------------------------------------- in the server


def serve(path: str, modules: list[str]) -> None:
    """Answer on a socket until standard input ends, which happens when the parent ends."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # so that a fork's collector does not go through it and copy it
    # Finished forks need not be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Keyboard interrupts are for the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _answer(connection)


def _answer(connection: socket.socket) -> None:
    """Run one program in a fork of this one, which waits for it and reports how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as told:
        arguments, cwd, environment = json.loads(told.read(int.from_bytes(size, "big")))
    program = os.fork()
    if program == 0:
        connection.close()
        _become(arguments, streams, cwd, environment)
    for stream in streams:
        os.close(stream)
    ended, asked = os.pidfd_open(program), connection
    while ended not in (ready := select.select([ended, asked], [], [])[0]):
        # A byte is a signal to pass on; an empty read means that the client is gone.
        number = asked.recv(1) if asked in ready else b""
        with suppress(ProcessLookupError):
            os.kill(program, number[0] if number else signal.SIGKILL)
        if not number:
            break
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with suppress(OSError):
        connection.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


def _become(arguments: list[str], streams: list[int], cwd: str, environment: dict) -> None:
    """Become the program that Python would start with these arguments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams) - {0, 1, 2}:
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    status = 1
    try:
        _run(arguments)
        status = 0
    except SystemExit as end:
        status = _status(end.code)
    except BaseException:  # noqa: BLE001 (told as Python would)
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # waits for threads, as Python does at its end
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        sys.argv[:] = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = arguments
        sys.path[0] = os.path.dirname(arguments[0])
        runpy.run_path(arguments[0], run_name="__main__")


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 255
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, which no program needs
    sys.path.insert(0, "")
    serve(sys.argv[1], sys.argv[2:])
