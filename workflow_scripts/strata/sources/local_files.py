"""Contents of local sources: a source that changed is fetched again, one only touched is not."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from strata.runtime.files import written_whole

TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
)
# Files that describe a tokenizer and are none.
ABOUT_TOKENS = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
WANTED = (*MODEL_FILES, *PICKLED)
CACHE = Path(".snakemake") / "strata-fingerprints.json"


def has_tokenizer(folder: Path) -> bool:
    """Whether a model folder holds a tokenizer, or the vocabulary of one."""
    files = {file.name for pattern in TOKENIZER_FILES for file in folder.glob(pattern)}
    return bool(files - ABOUT_TOKENS)


def local_hashes(
    description: Mapping[str, Any], cache: str | Path | None = None
) -> dict[str, str] | None:
    """SHA-256 of each file of a model or task with a ``path:`` source.

    Parameters
    ----------
    description : mapping of str to object
        The model's or task's entry in the registry (a task has ``splits``).
    cache : path-like, optional
        A JSON file of hashes, which are reused for files of the same size and time.

    Returns
    -------
    dict of str to str or None
        The hash of each file; None for sources that are not local, or if a file is missing.
    """
    kind, _, place = description["source"].partition(":")
    if kind != "path":
        return None
    files = _files(description, Path(place))
    if not files or not all(file.is_file() for file in files.values()):
        return None
    known = _read(cache)
    hashes = {}
    for name, file in files.items():
        facts, path = [file.stat().st_size, file.stat().st_mtime_ns], str(file.resolve())
        if known.get(path, [])[:2] != facts:
            with file.open("rb") as data:
                known[path] = [*facts, hashlib.file_digest(data, "sha256").hexdigest()]
        hashes[name] = known[path][2]
    if cache is not None and known != _read(cache):
        # Another process may be writing it as well; then the files are hashed again.
        with suppress(OSError), written_whole(cache) as partial:
            partial.write_text(json.dumps(known))
    return hashes


def hashes_or_recorded(
    description: Mapping[str, Any], cache: str | Path, about: str | Path, inside: Sequence[str]
) -> dict[str, str] | None:
    """The same; for a local source that is gone, the hashes recorded when it was fetched.

    Parameters
    ----------
    about : path-like
        The JSON file that records the source.
    inside : sequence of str
        The keys in `about` that lead to the hashes.
    """
    hashes = local_hashes(description, cache)
    if hashes is None and description["source"].startswith("path:") and Path(about).is_file():
        recorded = json.loads(Path(about).read_text(encoding="utf-8"))
        for key in inside:
            recorded = recorded.get(key) if recorded else None
        return recorded
    return hashes


def _files(description: Mapping[str, Any], place: Path) -> dict[str, Path]:
    if "splits" in description:
        return {file: place / file for file in description["splits"].values()}
    return {file.name: file for pattern in WANTED for file in sorted(place.glob(pattern))}


def _read(cache: str | Path | None) -> dict[str, list[Any]]:
    if cache is None or not Path(cache).is_file():
        return {}
    return json.loads(Path(cache).read_text())
