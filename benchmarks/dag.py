"""What the graph costs besides the work in it: start-up, waiting, planning.

The demo's timeline is read from Snakemake's records (run `make demo` first). A job's start-up is
the time of a job that does only its script's imports.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "results" / "demo"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/demo"]


def measure(rounds: int = 2) -> pd.DataFrame | None:
    """Columns what, seconds, share (of the demo's wall time), goal; None without a finished demo.

    Rows: the demo's wall time, its jobs' work, their start-up, the rest (waiting for inputs and
    scheduling); a run that finds nothing to do; the dry run of `studies/tamkin.yaml`.
    """
    if not (DEMO / "summary.csv").exists():
        print("What the graph costs is left out: run `make demo` first.", flush=True)
        return None
    idle = min(_timed([]) for _ in range(rounds))
    dry = _timed(["-n", "-q", "--configfile", "studies/tamkin.yaml"])
    jobs = timeline()
    cores = yaml.safe_load((ROOT / "profiles/demo/config.yaml").read_text())["cores"]
    wall = jobs["end"].max() - jobs["start"].min()
    # Jobs of one thread: two of them at a time are half a second of wall time each second.
    spent = (jobs["end"] - jobs["start"]).sum() / cores
    scripts = jobs["script"].dropna().unique()
    with ThreadPoolExecutor(cores) as pool:  # as many at the same time as in the demo
        each = dict(zip(scripts, pool.map(imports, scripts), strict=True))
    start_up = jobs["script"].map(each).sum() / cores
    rows = [
        (f"the demo's {len(jobs)} jobs, wall time", wall, ""),
        ("their work", spent - start_up, ""),
        ("their start-up (imports)", start_up, ""),
        ("waiting and scheduling", wall - spent, "with start-up, under 25 %"),
        ("nothing to do", idle, "10 s"),
        ("dry run of studies/tamkin.yaml", dry, "30 s"),
    ]
    table = pd.DataFrame(rows, columns=["what", "seconds", "goal"])
    table.insert(2, "share", table["seconds"].head(4) / wall)
    return table


def timeline() -> pd.DataFrame:
    """The demo's jobs: rule, script (or None), start, end (seconds since the epoch)."""
    jobs = {}
    for path in (ROOT / ".snakemake" / "metadata").iterdir():
        kept = json.loads(path.read_text())
        if str(DEMO.relative_to(ROOT)) not in str(kept["log"]):
            continue
        found = re.fullmatch(r'\s*"(\.\./workflow_scripts/\w+\.py)"\s*', kept["code"])
        # A rule without a script has a line of shell.
        script = (ROOT / "rules" / found[1]).resolve() if found else None
        jobs[tuple(kept["log"])] = (kept["rule"], script, kept["starttime"], kept["endtime"])
    return pd.DataFrame(list(jobs.values()), columns=["rule", "script", "start", "end"])


def imports(script: Path) -> float:
    """Seconds of a job that does all imports of a script and ends."""
    kinds = ast.Import | ast.ImportFrom
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, kinds)]
    begin = ast.parse(
        "from types import SimpleNamespace\nfrom strata.runtime.job import job\n"
        f"about = dict(log=[{os.devnull!r}], threads=1, scriptdir={str(script.parent)!r})\n"
        "with job(SimpleNamespace(**about)):\n    pass"
    )
    begin.body[-1].body = found
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ast.unparse(begin)], cwd=script.parent, check=True)
    return time.perf_counter() - began


def _snakemake(options: list[str]) -> None:
    subprocess.run([*SNAKEMAKE, *options], cwd=ROOT, check=True, capture_output=True)


def _timed(options: list[str]) -> float:
    began = time.perf_counter()
    _snakemake(options)
    return time.perf_counter() - began
