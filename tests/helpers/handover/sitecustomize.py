"""On the path of a workflow's processes: Python reads it as it starts.

A script of the workflow is handed over to the server that has its libraries; see helpers/forks.py.
"""

import os
import re
import signal
import sys

SCRIPT = re.compile(r".*/[.]snakemake/scripts/[^/]+[.]py")

if len(sys.orig_argv) == 2 and SCRIPT.fullmatch(sys.orig_argv[1]):
    sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
    from forks import SOCKET, hand_over

    status = hand_over(
        os.environ[SOCKET],
        sys.orig_argv[1:],
        (0, 1, 2),
        os.getcwd(),
        os.environ,
        (signal.SIGTERM, signal.SIGINT),
    )
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    os._exit(status)
