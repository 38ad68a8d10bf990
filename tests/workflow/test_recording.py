"""The code hash from below: everything that runs in a script is covered by its hash."""

from collections import defaultdict

import pytest

from helpers.recording import recorded
from strata.runtime.code_hash import REGISTRIES, SCRIPTS, CodeTree

# What runs in a script only for a line of progress or of its log.
SAID = {("strata.modeling.head_tuning", "_mean_loss")} | {
    ("strata.analysis.block_tables", name)
    for name in ("_kind_words", "_numbers", "_places", "block_words")
}


@pytest.fixture(scope="module")
def entered(study, companions, mine, today) -> dict[str, set[tuple[str, str]]]:
    """For each script, (module, name) of the functions, or of their classes, that ran in it."""
    found = defaultdict(set)
    studies = (study, companions, mine, today)
    for script, module, name in set().union(*(recorded(each.code) for each in studies)):
        found[script].add((module, name))
    return found


def test_every_script_ran(entered):
    assert set(entered) == {path.stem for path in SCRIPTS.glob("*.py")}


def test_what_runs_in_a_script_is_in_its_hash(entered):
    tree = CodeTree(SCRIPTS)
    rows = {
        (registry, key)
        for registry, (module, table) in REGISTRIES.items()
        for key in tree.module(module).rows(table)
    }
    missing = {}
    for script, ran in entered.items():
        covered = tree.reached(script)
        for registry, key in rows:
            if registry in tree.registries(script):
                covered |= tree.reached(script, **{registry: key})
        missing[script] = ran - covered - SAID
    assert not {script: names for script, names in missing.items() if names}
    assert sum(map(len, entered.values())) > 300
