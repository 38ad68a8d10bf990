"""What each script's imports cost, here and in another checkout, in turn.

    python benchmarks/start_up.py PATH --rounds 5 --out benchmarks/start_up.csv

PATH is a checkout of the commit to compare with; both run in the Python that runs this. Scripts of
one name are compared. Seconds are CPU time, which other work on the machine hardly changes, of a
whole process that imports what the script does, wherever in it that stands.
"""

import argparse
import ast
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent
# As strata's jobs do.
BEGIN = "import atexit, gc\ngc.set_threshold(10_000)\natexit.register(gc.freeze)"


def main(other: Path, rounds: int, out: Path | None) -> None:
    folders = {"before": other / "workflow_scripts", "now": ROOT / "workflow_scripts"}
    shared = set.intersection(*({p.name for p in f.glob("*.py")} for f in folders.values()))
    records = [
        {"script": name.removesuffix(".py"), "commit": commit, "seconds": seconds(folder / name)}
        for _ in range(rounds)
        for name in sorted(shared)
        for commit, folder in folders.items()
    ]
    each = pd.DataFrame(records).groupby(["script", "commit"])["seconds"].median()
    table = each.unstack()[list(folders)].sort_values("before", ascending=False).round(2)
    print(table.to_string())
    if out:
        table.to_csv(out)


def seconds(script: Path) -> float:
    """CPU seconds of a process that does a script's imports and ends."""
    kinds = ast.Import | ast.ImportFrom
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, kinds)]
    code = "\n".join([BEGIN, *map(ast.unparse, found)])
    began = _spent()
    subprocess.run([sys.executable, "-c", code], cwd=script.parent, check=True)
    return _spent() - began


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="a CSV file")
    given = parser.parse_args()
    main(given.other, given.rounds, given.out)
