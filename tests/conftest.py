"""Which tests are slow, in which order they run, and which stay together where several run."""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

MARKERS = {"workflow": "workflow", "slurm": "slurm", "soak": "nightly"}  # by folder
# By module: tests that mostly wait, and tests of hundreds of inputs or every model type.
SLOW = ("test_networks", "test_fuzz", "test_model_types")
# The longest first; those in one row need the same finished studies, which the first one runs.
FIRST = (
    ("test_soak",),
    (
        "test_study",
        "test_companions",
        "test_adopted_models",
        "test_recording",
        "test_refusals",
        "test_explorer_browser",
    ),
    ("test_every_model_type",),
    ("test_slurm",),
    ("test_kills",),
    ("test_fetching",),
)
# Tests that read a finished study, or share nothing, come last, on any free process.
LAST = ("test_commands", "test_reruns")


def place(module: str) -> int:
    first = [name for together in FIRST for name in together]
    if module in first:
        return first.index(module)
    return len(first) + (1 + LAST.index(module) if module in LAST else 0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(item.path.stem))
    for item in items:
        if marker := MARKERS.get(item.path.parent.name):
            item.add_marker(marker)
        if item.path.stem in SLOW:
            item.add_marker("slow")


class Scheduling(LoadScopeScheduling):
    """In that order; a module's tests in one process, so that its fixtures are made once."""

    def __init__(self, config, log):
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.split("::")[0]).stem
        if module in LAST:
            return nodeid
        return next((together[0] for together in FIRST if module in together), module)


def pytest_xdist_make_scheduler(config, log) -> Scheduling:
    return Scheduling(config, log)
