"""Measure Strata and its peers, in one session.

    make bench                                   # everything, about 20 minutes on two cores
    python benchmarks/run.py --only cka-12x2000x768 untuned --rounds 3

Writes results.csv, table.md, ratios.png, growth and memory (.csv and .png), and dag.csv into --out
(benchmarks/ by default; with --only, it only prints unless --out is given).
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Last: a script there has the name of a peer, cka.
sys.path.append(str(HERE.parent / "workflow_scripts"))

import dag
import growth
import pandas as pd
import report
from contest import Rate, compare, use_one_gpu
from works import every


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*every(), "growth", "dag"], metavar="WORK")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each (5)")
    parser.add_argument("--out", type=Path, help="folder for results")
    return parser.parse_args()


def install_peers(folder: Path) -> None:
    """Install into a separate folder, without dependencies; see peers.txt."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, folder, "-r", HERE / "peers.txt"],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def machine(rate: Rate) -> str:
    """The processor, its cores, and the speed of a matrix product."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    name = names[0] if names else platform.processor()
    return f"{name}, {cores} cores, {rate.median:,.0f} GFLOP/s in a float32 matrix product"


def main() -> None:
    given = arguments()
    wanted = given.only or [*every(), "growth", "dag"]
    out = given.out or (None if given.only else HERE)
    use_one_gpu()
    began, tables = time.monotonic(), []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as scratch:
        scratch = Path(scratch)
        install_peers(scratch / "peers")
        environment = os.environ | {"PYTHONPATH": str(scratch / "peers"), "HF_HUB_OFFLINE": "1"}
        rate = Rate.measure()
        print(machine(rate), flush=True)
        for key in [key for key in every() if key in wanted]:
            started = time.monotonic()
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                work = every()[key]
                tables.append(compare(key, work, Path(folder), environment, given.rounds, rate))
            print(report.as_text(tables[-1]))
            print(f"({time.monotonic() - started:.0f} s)", flush=True)
            if out is not None:  # keep what is measured, whatever happens to the rest
                report.write(out, machine(rate), pd.concat(tables, ignore_index=True))
    results = pd.concat(tables, ignore_index=True) if tables else None
    grown = spent = None
    if "growth" in wanted:
        grown = growth.seconds(), growth.memory()
        print(*(own.to_string(index=False) for own in grown), sep="\n\n", flush=True)
        if out is not None:
            report.write(out, machine(rate), results, grown)
    if "dag" in wanted:
        spent = dag.measure()
    if spent is not None:
        print(spent.to_string(index=False))
    if out is not None:
        report.write(out, machine(rate), results, grown, spent)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
