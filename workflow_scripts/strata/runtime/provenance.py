"""What a result was made with: settings, versions and commit."""

import hashlib
import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "h5py", "numpy", "pandas")


def config_hash(settings: Any) -> str:
    """Short, stable hash of nested settings."""
    return _digest(json.dumps(settings, sort_keys=True, default=str))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect numbers, without importing them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The workflow's commit, with ``+changes`` if the tree differs from it; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(SCRIPTS), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
