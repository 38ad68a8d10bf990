"""The parts of a release agree: dependencies, lock, version, citation."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
DIRECT = PROJECT["project"]["dependencies"]
DEVELOPING = PROJECT["dependency-groups"]["dev"]
LOCK = (REPOSITORY / "envs" / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", LOCK, re.MULTILINE))
FOLDERS = ("workflow_scripts", "tests", "rules")
IMPORT = re.compile(r"^ *(?:from|import) ([a-z]\w*)", re.MULTILINE)


@pytest.mark.parametrize("text", [*DIRECT, *DEVELOPING])
def test_every_direct_dependency_is_pinned_as_it_allows(text):
    wanted, pins = Requirement(text), {canonicalize_name(n): v for n, v in PINS.items()}
    assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)])


def test_the_lock_serves_cpus_and_gpus():
    """One line per package, without build suffixes, hashes, or anything that only CUDA needs."""
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert len(PINS) == len(lines) and lines == sorted(lines, key=str.lower)
    assert "+" not in "".join(lines) and not re.search(r"^(nvidia|cuda|triton)", LOCK, re.MULTILINE)
    assert "torch==2.13.0" in lines and "torch==2.13.0" in DIRECT
    assert LOCK.startswith("# Made by `make lock`")


def test_what_is_imported_is_declared():
    """Not left to the dependencies of others."""
    distributions = {"yaml": "pyyaml", "sklearn": "scikit-learn"}
    declared = {canonicalize_name(Requirement(text).name) for text in [*DIRECT, *DEVELOPING]}
    pinned = {canonicalize_name(name) for name in PINS}
    files = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    found = set(IMPORT.findall("\n".join(path.read_text() for path in files)))
    used = {canonicalize_name(distributions.get(name, name)) for name in found} & pinned
    assert {"torch", "h5py", "pyyaml", "hypothesis"} <= used <= declared


def test_the_newest_release_has_the_projects_version():
    headings = re.findall(r"^## \[(.+)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" and headings[1] == PROJECT["project"]["version"]


def test_the_citation_is_of_strata_and_the_three_studies():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert (
        citation["cff-version"] == "1.2.0" and citation["license"] == PROJECT["project"]["license"]
    )
    assert citation["message"] and citation["title"].startswith("Strata")
    assert citation["authors"] and "version" not in citation
    assert [reference["year"] for reference in citation["references"]] == [2021, 2020, 2022]
    readme = re.sub(r"[\s>]+", " ", (REPOSITORY / "README.md").read_text())
    for reference in citation["references"]:
        assert reference["type"] in ("article", "conference-paper")  # two of CFF's types
        assert reference["title"] in readme
        for author in reference["authors"]:
            assert f"{author['given-names']} {author['family-names']}" in readme
        (identifier,) = reference["identifiers"]
        assert reference["url"] == f"https://arxiv.org/abs/{identifier['value'][6:]}"


def test_the_guides_name_files_that_there_are():
    """Paths that CONTRIBUTING.md tells people to edit; those of something new have a NAME."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    places = [REPOSITORY, REPOSITORY / "rules", REPOSITORY / "workflow_scripts" / "strata"]
    paths = set(re.findall(r"`([\w./-]+\.(?:py|smk|yaml|yml|toml|md|txt|cff))`", text))
    assert len(paths) > 15
    for path in paths:
        assert "NAME" in path or any((place / path).exists() for place in places), path


def test_a_forge_runs_make_and_needs_no_secrets():
    text = (REPOSITORY / ".github" / "workflows" / "checks.yml").read_text()
    forge = yaml.safe_load(text)
    assert forge["permissions"] == {"contents": "read"} and "secrets." not in text
    steps = [step for job in forge["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w/-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    ran = {step["run"] for step in steps if "run" in step}
    assert ran == {"make check", "make test-all", "make errors"}
    targets = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1]
    assert {command.removeprefix("make ") for command in ran} <= set(targets.split())
    versions = forge["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["project"]["requires-python"]


def test_the_whole_demo_has_every_analysis():
    schema = yaml.safe_load((REPOSITORY / "schemas" / "config.schema.yaml").read_text())
    every = schema["properties"]["study"]["properties"]["analyses"]["items"]["enum"]
    (asked,) = re.findall(
        r"^ANALYSES := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    assert set(asked.split(",")) == set(every)
