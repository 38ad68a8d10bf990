"""Where models and tasks come from: a hub, a local path, a file inside a Python package.

The only module that touches a network. What it fetches is checked here, while it can still be
refused in one sentence.
"""

import io
import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Self

import pandas as pd

from strata.architectures import check_supported, layer_count, read_config
from strata.jobs import StrataError
from strata.tasks import Task, prepare

PARQUET_BRANCH = "refs/convert/parquet"
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
MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)
# What the readers of files raise when a file is something else.
UNREADABLE = (
    ArithmeticError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    pd.errors.ParserWarning,
)
# An archive may unpack to so many times its size, or to so many bytes, whichever is more: texts
# come to a tenth of their size and weights hardly shrink, a bomb comes to a thousandth.
MOST_TIMES = 100
LARGEST_MEMBERS = 2**27
READ_WHOLE = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# What the readers of archives raise on the way.
DAMAGED = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
WANTED = (*MODEL_FILES, *PICKLED)


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
    with _folder_written_whole(folder) as partial:
        origin = {"source": description["source"]}
        if kind == "hub":
            origin |= _fetch_hub_model(name, place, description.get("revision", "main"), partial)
        elif kind == "path":
            _copy_model(name, Path(place), partial)
        else:
            origin |= _fetch_packed_model(name, place, description, partial)
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
    with _hub_errors(f"model '{name}'", repo, revision):
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download

        info = HfApi().model_info(repo, revision=revision)
        files = [file.rfilename for file in info.siblings]
        # The config first: an architecture that is not supported costs no download of weights.
        config = hf_hub_download(repo, "config.json", revision=info.sha)
        check_supported(read_config(Path(config).parent), name)
        weights = any(file.endswith(".safetensors") and "/" not in file for file in files)
        patterns = MODEL_FILES if weights else (*MODEL_FILES, *PICKLED)
        cached = snapshot_download(repo, revision=info.sha, allow_patterns=list(patterns))
    _copy_model(name, Path(cached), folder)
    return {"revision": revision, "commit": info.sha}


def _copy_model(name: str, source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise StrataError(f"Model '{name}': there is no folder {source}; correct its 'source'.")
    check_supported(read_config(source), name)
    for pattern in WANTED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copy(file.resolve(), folder / file.name)


def _fetch_packed_model(
    name: str, requirement: str, description: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        archive = _pip_download(f"model '{name}'", requirement, description["sha256"], scratch)
        inside = description["inside"].rstrip("/") + "/"
        unpacked = Path(scratch) / "model"
        unpacked.mkdir()
        for path, data in _members(archive.name, archive.read_bytes(), inside):
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
    if kind == "hub":
        rows, commit = _read_hub_splits(name, place, description)
        places = {
            split: f"{place} {description.get('subset', '')} {hub_split}".replace("  ", " ")
            for split, hub_split in description["splits"].items()
        }
        origin |= commit
    elif kind == "path":
        files = {s: Path(place) / f for s, f in description["splits"].items()}
        places = {split: str(file) for split, file in files.items()}
        rows = {s: _read_file(name, file, description) for s, file in files.items()}
    else:
        rows, places = _read_packed_splits(name, place, description)
        origin |= {"sha256": description["sha256"]}
    with _folder_written_whole(folder) as partial:
        return prepare(name, description, rows, places, origin, partial)


def _read_hub_splits(
    name: str, repo: str, description: Mapping[str, Any]
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    revision = description.get("revision", "main")
    subset = description.get("subset")
    with _hub_errors(f"task '{name}'", repo, revision):
        from datasets import load_dataset
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(repo, revision=revision).sha
        rows = {}
        for split, hub_split in description["splits"].items():
            if revision == PARQUET_BRANCH:
                # The hub's own conversion of datasets that are scripts: a folder a subset.
                files = f"hf://datasets/{repo}@{commit}/{subset or 'default'}/{hub_split}/*.parquet"
                data = load_dataset("parquet", data_files={"rows": files}, split="rows")
            else:
                data = load_dataset(repo, subset, revision=commit, split=hub_split)
            rows[split] = data.to_pandas()
    return rows, {"revision": revision, "commit": commit}


def _read_packed_splits(
    name: str, requirement: str, description: Mapping[str, Any]
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    rows, places = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        archive = _pip_download(f"task '{name}'", requirement, description["sha256"], scratch)
        data = archive.read_bytes()
        for split, file in description["splits"].items():
            inside = str(PurePosixPath(description["inside"]) / file)
            found = list(_members(archive.name, data, inside))
            if not found:
                raise StrataError(
                    f"Task '{name}': {archive.name} has no file '{inside}'; correct 'inside' or "
                    "'splits'."
                )
            local = Path(scratch) / split / PurePosixPath(file).name
            local.parent.mkdir()
            local.write_bytes(found[0][1])
            places[split] = f"{archive.name}:{inside}"
            rows[split] = _read_file(name, local, description)
    return rows, places


def _read_file(name: str, file: Path, description: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of a CSV, TSV, JSONL, JSON or Parquet file."""
    if not file.is_file():
        raise StrataError(f"Task '{name}': there is no file {file}; correct 'source' or 'splits'.")
    form = description.get("format") or file.suffix.removeprefix(".").lower()
    # With or without the mark at its beginning that some editors leave.
    encoding = description.get("encoding", "utf-8-sig")
    try:
        if form in ("csv", "tsv"):
            # Tab-separated files do not quote: a quotation mark in them is text.
            with warnings.catch_warnings():
                # Rows with more fields than columns: a warning, after which fields are lost.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    file,
                    sep="," if form == "csv" else "\t",
                    quoting=0 if form == "csv" else 3,
                    names=description.get("columns"),
                    index_col=False,
                    dtype=str,  # a text may be made of digits; labels are read as numbers later
                    encoding=encoding,
                    keep_default_na=False,
                )
        if form in ("jsonl", "json"):
            text = file.read_text(encoding=encoding)
            records = _json_lines(text) if form == "jsonl" else json.loads(text)
            return _table(records)
        if form == "parquet":
            return pd.read_parquet(file)
    except UnicodeDecodeError as error:
        raise StrataError(
            f"Task '{name}': {file}, line {_undecoded_line(file, encoding)}, is not "
            f"{error.encoding} text (byte {error.object[error.start]:#04x}); save the file as "
            "UTF-8, or give its 'encoding'."
        ) from error
    except UNREADABLE as error:
        problem = str(error).strip().rstrip(".").replace("\n", " ")
        raise StrataError(
            f"Task '{name}': {file} cannot be read as {form}: {problem}; correct the file, or its "
            "'format', 'columns' or 'encoding'."
        ) from error
    raise StrataError(
        f"Task '{name}': {file} is of no known format; say 'format': csv, tsv, jsonl, json or "
        "parquet."
    )


def _undecoded_line(file: Path, encoding: str) -> int:
    data = file.read_bytes()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    return data.count(b"\n") + 1  # cut off in the middle of its last character


def _table(records: Any) -> pd.DataFrame:
    if not isinstance(records, list):
        raise TypeError(f"it holds one {type(records).__name__}, not a list of rows")
    for row, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TypeError(f"row {row} is a {type(record).__name__}, not an object with columns")
    # As they are: of a column that mixes numbers with null or text, pandas would change some.
    return pd.DataFrame(records, dtype=object)


def _json_lines(text: str) -> list[dict[str, Any]]:
    records = []
    # Not splitlines(): JSON strings may hold U+2028 and its like, which it would cut at.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error
    return records


# ---------------------------------------------------------------- shared


def _split_source(source: str) -> tuple[str, str]:
    kind, _, place = source.partition(":")
    return kind, place


@contextmanager
def _folder_written_whole(folder: str | Path) -> Iterator[Path]:
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _hub_errors(what: str, repo: str, revision: str) -> Iterator[None]:
    """The hub's many exceptions as one sentence on what to do."""
    os.environ["HF_HUB_OFFLINE"] = "0"
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise StrataError(
            f"The {what} ({repo}) is gated: ask for access on its page, then log in with "
            "'hf auth login'."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise StrataError(
            f"The {what}: {repo} has no revision '{revision}'; correct 'revision' (a branch, tag "
            "or commit)."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise StrataError(
            f"The {what}: the hub has no repository {repo}, or it is private: correct 'source', "
            "or log in with 'hf auth login'."
        ) from error
    except errors.EntryNotFoundError as error:
        raise StrataError(f"The {what}: {repo} at {revision} lacks a file: {error}.") from error
    except (
        httpx2.HTTPError,
        errors.HfHubHTTPError,
        ConnectionError,
        TimeoutError,
        OSError,
    ) as error:
        raise StrataError(
            f"The {what}: the hub cannot be reached for {repo} ({type(error).__name__}); check "
            "the network or HF_ENDPOINT, or download it elsewhere and give its folder as "
            "'source: path:...'."
        ) from error
    except ValueError as error:
        raise StrataError(
            f"The {what}: {repo} at {revision} cannot be read: {str(error).rstrip('.')}; check "
            "'source', 'subset' and 'splits'."
        ) from error


def _pip_download(what: str, requirement: str, sha256: str, scratch: str) -> Path:
    """Download one file of a package, without what it depends on.

    Given the hash, pip picks the file that has it (wheel or source archive), and refuses any
    other before it looks inside.
    """
    wanted = Path(scratch) / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    target = Path(scratch) / "download"
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


def _members(archive: str, data: bytes, wanted: str) -> Iterator[tuple[str, bytes]]:
    """Files of an archive whose path is `wanted` or, if it ends in "/", lies under it.

    A path goes on inside nested archives: ``a.tar.gz/b.txt`` is b.txt in a.tar.gz. The version
    folder at the top of a source archive may be left out. Nothing is unpacked to disk by name,
    so no member can land outside its place; paths that climb, links and devices are passed over.
    """
    try:
        for path, read in _entries(archive, data):
            if path.startswith("/") or ".." in path.split("/"):
                continue  # not the version folder, which alone may be left out
            options = {path, path.partition("/")[2]}
            for option in filter(None, options):
                if option == wanted or (wanted.endswith("/") and option.startswith(wanted)):
                    yield wanted + option.removeprefix(wanted), read()
                    break
                if wanted.startswith(option + "/"):
                    yield from (
                        (f"{option}/{inner}", content)
                        for inner, content in _members(option, read(), wanted[len(option) + 1 :])
                    )
                    break
    except DAMAGED as error:
        raise StrataError(
            f"{archive} is damaged ({type(error).__name__}: {error}); get it anew."
        ) from error


def _entries(archive: str, data: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Paths of an archive's regular files, and how to read each."""
    room = max(LARGEST_MEMBERS, MOST_TIMES * len(data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as unzipped:
            _refuse_bomb(archive, sum(e.file_size for e in unzipped.infolist()), room)
            for entry in unzipped.infolist():
                if not (entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16)):
                    yield entry.filename, lambda entry=entry: _unzip(unzipped, entry)
        return
    try:
        tar = tarfile.open(fileobj=io.BytesIO(data), tarinfo=_Member)  # noqa: SIM115
    except tarfile.TarError as error:
        raise StrataError(f"{archive} is neither a zip (wheel) nor a tar archive.") from error
    with tar:
        for entry in tar:
            # Its place too: what lies before a member has to be decompressed on the way to it.
            _refuse_bomb(archive, entry.offset_data + entry.size, room)
            if entry.isfile():
                yield entry.name, lambda entry=entry: tar.extractfile(entry).read()


def _unzip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(entry.file_size)  # no more than it says: it may say less than there is


class _Member(tarfile.TarInfo):
    """A header of a tar archive; long names and the like, which tarfile reads whole, are short."""

    @classmethod
    def frombuf(cls, *arguments: Any) -> Self:
        member = super().frombuf(*arguments)
        if member.type in READ_WHOLE and member.size > 2**20:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


def _refuse_bomb(archive: str, size: int, room: int) -> None:
    if size > room:
        raise StrataError(
            f"{archive} is refused: it unpacks to {size:,} bytes or more, and archives of its size "
            f"may have {room:,}; unpack it yourself and give the folder as 'source: path:...'."
        )
