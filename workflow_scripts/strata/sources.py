"""Where models and tasks come from: a hub, a local path, a file inside a Python package.

With ``downloads``, the only module that touches a network. What it fetches is checked here, while
it can still be refused in one sentence.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from strata.architectures import check_supported, layer_count, read_config
from strata.archives import members
from strata.downloads import Commit, hub_errors
from strata.fingerprints import MODEL_FILES, TOKENIZER_FILES, WANTED, local_hashes
from strata.jobs import StrataError
from strata.readers import read_file
from strata.tasks import Task, prepare

PARQUET_BRANCH = "refs/convert/parquet"
DESCRIPTIONS = ("README.md", ".huggingface.yaml", "dataset_infos.json")


# ---------------------------------------------------------------- models


def fetch_model(name: str, description: Mapping[str, Any], folder: str | Path) -> None:
    """Bring a model into `folder`: config, safetensors weights, tokenizer, ``source.json``.

    Parameters
    ----------
    name : the model's name in the registry.
    description : its entry there (``source``, ``revision``, ``sha256``, ``inside``).
    folder : is replaced as a whole, or left alone if anything fails.

    Raises
    ------
    StrataError : the source cannot be reached or is not what it should be.
    """
    kind, place = _split_source(description["source"])
    with _folder_written_whole(folder) as (partial, scratch):
        origin = {"source": description["source"]}
        if kind == "hub":
            origin |= _fetch_hub_model(name, place, description.get("revision", "main"), partial)
        elif kind == "path":
            origin["files"] = local_hashes(description)
            _copy_model(name, Path(place), partial)
        else:
            origin |= _fetch_packed_model(name, place, description, partial, scratch)
        check_supported(read_config(partial), name)
        _ensure_safetensors(name, partial)
        found = {file.name for pattern in TOKENIZER_FILES for file in partial.glob(pattern)}
        if not found - {"tokenizer_config.json"}:
            raise StrataError(
                f"Model '{name}' ({description['source']}) has no tokenizer files beside its "
                "weights; add them (tokenizer.json, or the vocabulary)."
            )
        _check_fit(name, partial)
        (partial / "source.json").write_text(json.dumps(origin, indent=2) + "\n")


def _fetch_hub_model(name: str, repo: str, revision: str, folder: Path) -> dict[str, str]:
    what = f"model '{name}'"
    with hub_errors(what, repo, revision):
        commit = Commit.find(what, "model", repo, revision)
        # The config first: an architecture that is not supported costs no download of weights.
        shutil.copyfile(commit.fetch("config.json"), folder / "config.json")
        check_supported(read_config(folder), name)
        files = {file for file in commit.hashes if "/" not in file} - {"config.json"}
        weights = any(file.endswith(".safetensors") for file in files)
        patterns = MODEL_FILES if weights else WANTED
        for file in sorted(
            f for f in files if any(fnmatchcase(f, pattern) for pattern in patterns)
        ):
            shutil.copyfile(commit.fetch(file), folder / file)
    return {"revision": revision, "commit": commit.name}


def _copy_model(name: str, source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise StrataError(f"Model '{name}': there is no folder {source}; correct its 'source'.")
    check_supported(read_config(source), name)
    for pattern in WANTED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copy(file.resolve(), folder / file.name)


def _fetch_packed_model(
    name: str, requirement: str, description: Mapping[str, Any], folder: Path, scratch: Path
) -> dict[str, str]:
    archive = _pip_download(f"model '{name}'", requirement, description["sha256"], scratch)
    inside = description["inside"].rstrip("/") + "/"
    unpacked = scratch / "model"
    unpacked.mkdir()
    for path, data in members(archive.name, archive.read_bytes(), inside):
        relative = path.removeprefix(inside)
        if any(fnmatchcase(relative, p) for p in WANTED) and "/" not in relative:
            (unpacked / relative).write_bytes(data)
    if not any(unpacked.iterdir()):
        raise StrataError(
            f"Model '{name}': {archive.name} has no folder '{description['inside']}'; "
            "correct 'inside'."
        )
    _copy_model(name, unpacked, folder)
    return {"sha256": description["sha256"], "inside": description["inside"]}


def _ensure_safetensors(name: str, folder: Path) -> None:
    """Convert pickled weights, loaded with weights_only=True, and remove them."""
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if any(folder.glob("*.safetensors")):
        for file in [*pickled, *folder.glob("pytorch_model.bin.index.json")]:
            file.unlink()
        return
    if not pickled:
        raise StrataError(
            f"Model '{name}' has no weights: neither *.safetensors nor pytorch_model.bin."
        )
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for file in pickled:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
            # Tied weights share storage, which safetensors does not store: each gets its own copy.
            tensors |= {str(key): value.clone().contiguous() for key, value in loaded.items()}
        except Exception as error:  # whatever torch makes of a file that is something else
            raise StrataError(
                f"Model '{name}': {file.name} is refused, it is damaged or holds more than tensors "
                f"({type(error).__name__}); get its weights as safetensors."
            ) from error
        file.unlink()
    (folder / "pytorch_model.bin.index.json").unlink(missing_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _check_fit(name: str, folder: Path) -> None:
    from strata.models import check_folder  # torch and Transformers, which a task does without

    layer_count(read_config(folder))
    check_folder(folder, name)


# ---------------------------------------------------------------- tasks


def fetch_task(name: str, description: Mapping[str, Any], folder: str | Path) -> Task:
    """Bring a task's splits into `folder` in the one form (see ``tasks.prepare``).

    Raises
    ------
    StrataError : the source cannot be reached, or a row is not what the description says.
    """
    kind, place = _split_source(description["source"])
    origin = {"source": description["source"]}
    with _folder_written_whole(folder) as (partial, scratch):
        if kind == "hub":
            rows, commit = _read_hub_splits(name, place, description, scratch)
            places = {
                split: f"{place} {description.get('subset', '')} {hub_split}".replace("  ", " ")
                for split, hub_split in description["splits"].items()
            }
            origin |= commit
        elif kind == "path":
            files = {s: Path(place) / f for s, f in description["splits"].items()}
            places = {split: str(file) for split, file in files.items()}
            rows = {s: read_file(name, file, description) for s, file in files.items()}
            origin["files"] = local_hashes(description)
        else:
            rows, places = _read_packed_splits(name, place, description, scratch)
            origin |= {"sha256": description["sha256"]}
        return prepare(name, description, rows, places, origin, partial)


def _read_hub_splits(
    name: str, repo: str, description: Mapping[str, Any], scratch: Path
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    revision = description.get("revision", "main")
    what = f"task '{name}'"
    # Not in `scratch`: datasets takes brackets in a folder's path for a pattern.
    with hub_errors(what, repo, revision), tempfile.TemporaryDirectory() as folder:
        from datasets.exceptions import DatasetsError

        commit = Commit.find(what, "dataset", repo, revision)
        try:
            rows = _read_dataset(commit, description, Path(folder).resolve(), scratch)
        except (DatasetsError, FileNotFoundError) as error:
            raise ValueError(str(error).replace(folder, repo)) from error
    return rows, {"revision": revision, "commit": commit.name}


def _read_dataset(
    commit: Commit, description: Mapping[str, Any], folder: Path, scratch: Path
) -> dict[str, pd.DataFrame]:
    """Rows of a dataset, read by ``datasets`` from checked files, linked into `folder`.

    Which files make a subset, it finds out from the card and from their names, so `folder` first
    holds the card and an empty file for each of the others; then what the subset needs is fetched.
    """
    from datasets import load_dataset_builder

    for file in commit.hashes:
        path = folder / file
        if folder in Path(os.path.normpath(path)).parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if file in DESCRIPTIONS or path.suffix == ".zip":  # what is inside is looked at
                _link(path, commit.fetch(file))
    subset, splits = description.get("subset"), dict(description["splits"])
    if commit.revision == PARQUET_BRANCH:
        # The hub's own conversion of datasets that are scripts: a folder a subset.
        start = folder / (subset or "default")
        patterns = {split: str(start / inside / "*.parquet") for split, inside in splits.items()}
        builder = load_dataset_builder("parquet", data_files=patterns, cache_dir=str(scratch))
        splits = {split: split for split in splits}
    else:
        builder = load_dataset_builder(str(folder), subset, cache_dir=str(scratch))
    needed = {Path(file) for files in builder.config.data_files.values() for file in files}
    for path in sorted(path for path in needed if path.is_relative_to(folder)):
        _link(path, commit.fetch(path.relative_to(folder).as_posix()))
    builder.download_and_prepare()
    return {s: builder.as_dataset(split=splits[s]).to_pandas() for s in splits}


def _link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target.resolve())


def _read_packed_splits(
    name: str, requirement: str, description: Mapping[str, Any], scratch: Path
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    rows, places = {}, {}
    archive = _pip_download(f"task '{name}'", requirement, description["sha256"], scratch)
    data = archive.read_bytes()
    for split, file in description["splits"].items():
        inside = str(PurePosixPath(description["inside"]) / file)
        found = list(members(archive.name, data, inside))
        if not found:
            raise StrataError(
                f"Task '{name}': {archive.name} has no file '{inside}'; correct 'inside' or "
                "'splits'."
            )
        local = scratch / split / PurePosixPath(file).name
        local.parent.mkdir()
        local.write_bytes(found[0][1])
        places[split] = f"{archive.name}:{inside}"
        rows[split] = read_file(name, local, description)
    return rows, places


# ---------------------------------------------------------------- shared


def _split_source(source: str) -> tuple[str, str]:
    kind, _, place = source.partition(":")
    return kind, place


@contextmanager
def _folder_written_whole(folder: str | Path) -> Iterator[tuple[Path, Path]]:
    """A folder that takes the place of `folder` if the block ends well, and one to throw away.

    Both lie in a hidden folder beside it; one that a killed job left is removed.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(left)
    around = tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent)
    partial, scratch = Path(around) / "whole", Path(around) / "scratch"
    partial.mkdir()
    scratch.mkdir()
    try:
        yield partial, scratch
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _pip_download(what: str, requirement: str, sha256: str, scratch: Path) -> Path:
    """Download one file of a package, without what it depends on.

    Given the hash, pip picks the file that has it (wheel or source archive), and refuses any
    other before it looks inside.
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
