"""The order in which tests run, and which of them stay together where two run at a time."""

from pathlib import Path

import pytest

# The longest first, of which none needs what another one makes; those that read a finished study
# last, when it is there.
FIRST = (
    "test_soak",
    "test_study",
    "test_companions",
    "test_refusals",
    "test_slurm",
    "test_kills",
    "test_fetching",
)
LAST = ("test_commands", "test_reruns")


def place(item: pytest.Item) -> int:
    name = item.path.stem
    if name in FIRST:
        return FIRST.index(name)
    return len(FIRST) + (1 + LAST.index(name) if name in LAST else 0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)
    for item in items:
        # What a module's fixtures make is made once.
        if item.path.is_relative_to(Path(__file__).parent / "unit"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
