"""A real SLURM on this machine alone: one node, two pretend GPUs, no accounting."""

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ASKED = "STRATA_TEST_SLURM"
CLUSTER = "strata-test"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
# Jobs find it only here: they are started without SLURM_CONF.
SETTINGS = Path("/etc/slurm")
MUNGE = Path("/run/munge")
# The node is declared larger than the machine, so that jobs may request what the profile says. By
# default a restarted job would wait two minutes: as long as credentials are valid.
CONF = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
MinJobAge=600
KillWait=10
GresTypes=gpu
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 Boards=1 SocketsPerBoard=1 CoresPerSocket=16 \
ThreadsPerCore=1 RealMemory=256000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
GRES = "NodeName={host} Name=gpu File={folder}/gpu[0-1]\n"


class NoCluster(Exception):
    """No SLURM can be started here; one sentence says why."""


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """SLURM, installed if needed, runs during the block; its state and logs are in `folder`.

    Raises
    ------
    NoCluster
        It may not be installed, or is already there.
    """
    _check()
    _install()
    with _munge(), _settings(folder):
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        for name in ("gpu0", "gpu1"):
            os.mknod(folder / name, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        try:
            _run("slurmctld")
            _wait(lambda: _answers("scontrol", "ping"), "slurmctld answers")
            _run("slurmd")
            _wait(lambda: _answers("sinfo", "-h", "-t", "idle", "-o", "%n"), "the node is idle")
            yield
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"== {log}\n{log.read_text()[-3000:]}")
            raise
        finally:
            _answers("scancel", "--user", "root")
            _wait(lambda: not _answers("squeue", "-h"), "no job is left", patient=False)
            for name in ("slurmd", "slurmctld"):
                _stop(folder / f"{name}.pid")
            _end_what_is_left()


def _end_what_is_left() -> None:
    """Processes of jobs that SLURM lost track of, which can happen without cgroups."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURM_CLUSTER_NAME") == CLUSTER:
                process.kill()


def _check() -> None:
    if os.geteuid() != 0:
        raise NoCluster("SLURM cannot be installed or started here: that takes root.")
    if shutil.which("apt-get") is None:
        raise NoCluster("SLURM cannot be installed here: there is no apt-get.")
    running = {"slurmctld", "slurmd"} & {
        path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm")
    }
    if running:
        raise NoCluster(f"This machine has a SLURM of its own ({', '.join(sorted(running))} runs).")
    if (SETTINGS / "slurm.conf").exists():
        raise NoCluster(f"This machine has a SLURM of its own ({SETTINGS}/slurm.conf is there).")


def _install() -> None:
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
        done = subprocess.run(
            ["apt-get", "-o", "Acquire::Retries=3", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise NoCluster(f"SLURM cannot be installed here, apt-get says: {' '.join(said)}")


@contextmanager
def _munge() -> Iterator[None]:
    """SLURM's daemons authenticate each other with it; one that already runs is used and left
    alone.
    """
    if _answers("munge", "-n"):
        yield
        return
    MUNGE.mkdir(exist_ok=True)
    for path in (MUNGE, Path("/var/log/munge"), Path("/var/lib/munge")):
        shutil.chown(path, "munge", "munge")
    _run("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged")
    try:
        _wait(lambda: _answers("munge", "-n"), "munged answers")
        yield
    finally:
        _stop(MUNGE / "munged.pid")


@contextmanager
def _settings(folder: Path) -> Iterator[None]:
    host = socket.gethostname().split(".")[0]
    written = {SETTINGS / "slurm.conf": CONF, SETTINGS / "gres.conf": GRES}
    try:
        for path, text in written.items():
            path.write_text(text.format(cluster=CLUSTER, host=host, folder=folder))
        yield
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _answers(*command: str) -> bool:
    """Whether the command succeeds and prints something."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and bool(done.stdout.strip())


def _wait(holds, what: str, patient: bool = True, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            if patient:
                raise TimeoutError(f"After {seconds:.0f} s it still is not so that {what}.")
            return
        time.sleep(0.2)


def _stop(pid_file: Path) -> None:
    """End a daemon by its own pid file, and wait until it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
        _wait(lambda: not Path(f"/proc/{pid}").exists(), "a daemon ended", patient=False)
