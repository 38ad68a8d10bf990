"""The SLURM profile, rendered as Snakemake does: what it requests, and how a user fills it in."""

import re
from pathlib import Path

import pytest
import yaml
import yte

REPOSITORY = Path(__file__).parents[2]
PROFILE = (REPOSITORY / "profiles/slurm/config.yaml").read_text()
HEADER = re.compile(r"^(?:use )?(?:rule|checkpoint) (\w+)(?: as (\w+) with)?:$", re.MULTILINE)


def rendered(**filled: object) -> dict:
    """The profile with some of its first block's nulls and limits replaced."""
    text = PROFILE
    for name, value in filled.items():
        text, count = re.subn(rf"(?m)^  {name}: \w+", f"  {name}: {value}", text)
        assert count == 1
    return yte.process_yaml(text, require_use_yte=True)


@pytest.fixture(scope="module")
def rules() -> dict[str, str]:
    """Each rule's text, including that of the rule it is derived from."""
    found = {}
    for file in sorted((REPOSITORY / "rules").glob("*.smk")):
        _, *parts = HEADER.split(file.read_text())
        for parent, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            found[name or parent] = body + (found[parent] if name else "")
    return found


def test_every_rule_that_wants_a_gpu_or_threads_has_its_line(rules):
    variables = yaml.safe_load(PROFILE)["__variables__"]
    gpu = {name for name, text in rules.items() if re.search(r"\bgpu=1\b", text)}
    threaded = {name for name, text in rules.items() if re.search("threads: (4|lambda)", text)}
    assert len(gpu) == 18 and set(variables["gpu_rules"]) == gpu
    assert set(variables["cpu_rules"]) == threaded - gpu


def test_by_default_nothing_is_asked_for_that_a_cluster_may_not_have():
    profile = rendered()
    asked = set(profile["default-resources"]).union(*profile["set-resources"].values())
    assert asked == {"mem_mb", "runtime", "disk_mb"}


def test_names_of_the_cluster_go_to_the_jobs_they_are_for():
    profile = rendered(account="1234", partition="all", gpu_partition="gpu-long", gpu_model="a100")
    # Quoted: `all` and `1234` would otherwise be taken for Python.
    assert profile["default-resources"]["slurm_account"] == "'1234'"
    assert profile["default-resources"]["slurm_partition"] == "'all'"
    named = {"slurm_partition": "'gpu-long'", "gpu_model": "'a100'"}
    assert named.items() <= profile["set-resources"]["finetune"].items()
    assert not named.keys() & profile["set-resources"]["compare_states"].keys()


@pytest.mark.parametrize(
    ("attempt", "minutes", "mb"), [(1, 240, 16000), (2, 480, 32000), (9, 600, 40000)]
)
def test_time_and_memory_grow_with_each_attempt_up_to_the_limits(attempt, minutes, mb):
    needs = rendered(max_minutes=600, max_mb=40000)["set-resources"]["finetune"]
    assert eval(needs["runtime"], {"attempt": attempt}) == minutes
    assert eval(needs["mem_mb"], {"attempt": attempt}) == mb
