"""Fine-tuning that continues where a kill, a time limit or a full disk ended it.

While a run trains, its last checkpoint (weights, optimiser, schedule, random states) is in
``.resume/{key}`` next to the run's outputs. Snakemake does not know that folder, so it survives a
failed job. The key is a hash of everything that shapes the run, so a changed run never continues
from stale weights.
"""

import json
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from strata.runtime.provenance import config_hash


def file_facts(paths: Iterable[str | Path]) -> list[list[Any]]:
    """Name, size and time of every file at or below `paths`: cheap, and never out of date."""
    files = []
    for path in map(Path, paths):
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in files if file.is_file()]
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in facts]


@contextmanager
def resumable(run: str | Path, *shaped_by: Any) -> Iterator[Path]:
    """The folder of a run's checkpoints; removed if the block ends well.

    Parameters
    ----------
    run : path-like
        The run's folder.
    *shaped_by : object
        Everything that decides what the run computes; checkpoints with other keys are removed.
    """
    kept = Path(run) / ".resume"
    folder = kept / config_hash(shaped_by)
    for stale in kept.glob("*"):
        if stale != folder:
            shutil.rmtree(stale)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        last_checkpoint(folder)  # what a failed write left behind takes disk space
    shutil.rmtree(kept)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`; incomplete ones are removed."""
    complete = {}
    for checkpoint in folder.glob("checkpoint-*"):
        step = _step(checkpoint)
        if step is None:
            shutil.rmtree(checkpoint)
        else:
            complete[step] = checkpoint
    return complete[max(complete)] if complete else None


def _step(checkpoint: Path) -> int | None:
    # Trainer writes its state last, and only then removes the previous checkpoint.
    try:
        return json.loads((checkpoint / "trainer_state.json").read_text())["global_step"]
    except (OSError, ValueError):
        return None


class CheckpointCallback(TrainerCallback):
    """Has the Trainer save a checkpoint every few minutes, and before a signal ends it.

    SIGTERM (a time limit, preemption, `scancel`) and SIGINT end the training after its current
    step; the next attempt continues there. Timed checkpoints are written when the loss is logged,
    so that an interrupted run has the same history as one that was not. If every such step also
    evaluates, Trainer saves only new bests, and timed checkpoints are written half a period later.
    """

    def __init__(self, minutes: float):
        self.minutes = minutes
        self.signal: int | None = None

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Within the block, SIGTERM and SIGINT end training with a checkpoint, status 128 + n."""
        before = {n: signal.signal(n, self._note) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def _note(self, number: int, _: object) -> None:
        print(f"{signal.Signals(number).name}: saving a checkpoint, then ending", flush=True)
        self.signal = number

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self.saved = time.monotonic()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if self._due(1) and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self.saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if self.signal is not None:
            control.should_save = control.should_training_stop = True
        elif self._due(1.5) and state.global_step < state.max_steps:
            control.should_save = True

    def _due(self, periods: float) -> bool:
        return time.monotonic() - self.saved >= 60 * self.minutes * periods
