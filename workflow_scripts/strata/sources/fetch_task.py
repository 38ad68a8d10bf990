"""Bring a task into data/: from a hub, local files, or files inside a Python package."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from strata.data.task import Task
from strata.runtime.errors import StrataError
from strata.runtime.files import folder_written_whole
from strata.sources.archives import members
from strata.sources.hub import Commit, hub_errors
from strata.sources.local_files import local_hashes
from strata.sources.packages import pip_download, split_source
from strata.sources.prepare import prepare
from strata.sources.readers import read_file

PARQUET_BRANCH = "refs/convert/parquet"
DESCRIPTIONS = ("README.md", ".huggingface.yaml", "dataset_infos.json")


def fetch_task(name: str, description: Mapping[str, Any], folder: str | Path) -> Task:
    """Bring a task's splits into `folder`, in the form that ``prepare.prepare`` writes.

    Raises
    ------
    StrataError
        The source cannot be reached, or a row is not what the description says.
    """
    kind, place = split_source(description["source"])
    origin = {"source": description["source"]}
    with folder_written_whole(folder) as (partial, scratch):
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
    # Not in `scratch`: datasets would read brackets in a folder's path as a pattern.
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
    """Rows of a dataset, read by ``datasets`` from checked files that are linked into `folder`.

    It works out from the card and the file names which files make up a subset. So `folder` first
    holds the card and an empty file for each other file; then the files of the subset are fetched.
    """
    from datasets import load_dataset_builder

    for file in commit.hashes:
        path = folder / file
        if folder in Path(os.path.normpath(path)).parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if file in DESCRIPTIONS or path.suffix == ".zip":  # `datasets` looks inside these
                _link(path, commit.fetch(file))
    subset, splits = description.get("subset"), dict(description["splits"])
    if commit.revision == PARQUET_BRANCH:
        # The hub's own conversion of datasets that are scripts: one folder per subset.
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
    archive = pip_download(f"task '{name}'", requirement, description["sha256"], scratch)
    data = archive.read_bytes()
    for split, file in description["splits"].items():
        inside = str(PurePosixPath(description["inside"]) / file)
        files = list(members(archive.name, data, inside))
        if not files:
            raise StrataError(
                f"Task '{name}': {archive.name} has no file '{inside}'; correct 'inside' or "
                "'splits'."
            )
        local = scratch / split / PurePosixPath(file).name
        local.parent.mkdir()
        local.write_bytes(files[0][1])
        places[split] = f"{archive.name}:{inside}"
        rows[split] = read_file(name, local, description)
    return rows, places
