"""Write requirements.txt: the direct dependencies of pyproject.toml, and what they need, pinned.

`make lock` runs it. What is pinned already stays as it is, unless it is named
(`make lock UPGRADE="transformers datasets"`, or `UPGRADE=all`). pip decides, for the platform and
the Python that it runs on, and installs nothing.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ENVS = Path(__file__).parent
LOCK = ENVS / "requirements.txt"
# What CUDA builds of torch need of their own accord: left out, so that one file serves CPUs, too.
OF_CUDA = re.compile(r"(nvidia|cuda|triton)\b")
HEADER = """\
# Made by `make lock` (envs/lock.py) from the direct dependencies in pyproject.toml: do not edit.
# torch is named without the suffix of a build, and without what only its CUDA builds need: pip
# brings that along, so that this file serves CPUs and GPUs.
"""


def main(upgraded: list[str]) -> None:
    pins = {} if "all" in upgraded else read_pins(LOCK.read_text())
    for name in upgraded:
        pins.pop(canonical(name), None)
    lines = resolve(direct_dependencies(), list(pins.values()))
    LOCK.write_text(HEADER + "".join(f"{line}\n" for line in lines))


def direct_dependencies() -> list[str]:
    project = tomllib.loads((ENVS.parent / "pyproject.toml").read_text())
    return [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]


def read_pins(text: str) -> dict[str, str]:
    """Canonical name -> its line of a lock."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonical(line.partition("==")[0]): line for line in lines}


def resolve(wanted: list[str], pins: list[str]) -> list[str]:
    """Lines of a lock: what pip would install into an empty environment for `wanted`."""
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder) / "pins.txt", Path(folder) / "report.json"
        constraints.write_text("\n".join(pins))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        options = ["--ignore-installed", "--constraint", str(constraints), "--report", str(report)]
        subprocess.run([*pip, *options, *wanted], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    lines = [f"{item['name']}=={item['version'].partition('+')[0]}" for item in found]
    return sorted((line for line in lines if not OF_CUDA.match(line.lower())), key=str.lower)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


if __name__ == "__main__":
    main(sys.argv[1:])
