"""The repository's studies as configs, changed as a test needs them, and their problems."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from strata.runtime.errors import StrataError
from strata.study.config import check_config

REPOSITORY = Path(__file__).parents[2]
PAPER = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
RTE = PAPER["tasks"]["rte"]
STUDIES = {
    path.stem: yaml.safe_load(path.read_text()) for path in (REPOSITORY / "studies").glob("*.yaml")
}
DEMO = STUDIES["demo"]


def merged(base: dict, changes: dict) -> dict:
    """Key by key, as Snakemake merges config files: lists and numbers replace."""
    out = deepcopy(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else deepcopy(value)
    return out


def without(config: dict, path: str) -> dict:
    out = deepcopy(config)
    *outer, last = path.split(".")
    part = out
    for key in outer:
        part = part[key]
    del part[last]
    return out


def changed(path: str, value: object) -> dict:
    """The paper's config with one key, "a.b.c", set to `value`."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return merged(PAPER, value)


def problems(config: dict) -> list[str]:
    with pytest.raises(StrataError) as caught:
        check_config(config)
    first, *lines = str(caught.value).splitlines()
    assert first == "the config is not valid:"
    return [line.removeprefix("  - ") for line in lines]
