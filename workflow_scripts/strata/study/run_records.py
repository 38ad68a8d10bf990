"""What is written about a run, one type for its writer and its readers: run.json, metrics.json."""

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from strata.runtime.errors import StrataError
from strata.runtime.provenance import config_hash, git_commit, versions
from strata.study.settings import TrainingSettings


@dataclass(frozen=True)
class _Record:
    """A JSON file with a key for each field, in their order; one with a default may be missing."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file; keys that it has beyond the fields are passed over.

        Raises
        ------
        StrataError : it lacks a key.
        """
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        names = [each.name for each in fields(cls)]
        needed = [each.name for each in fields(cls) if each.default is MISSING]
        if missing := [name for name in needed if name not in values]:
            raise StrataError(
                f"{path} lacks {', '.join(missing)}, so another version of Strata wrote it; make "
                f"it again with 'snakemake {path} --force' (and the study's --configfile)."
            )
        return cls(**{name: values[name] for name in names if name in values})

    def write(self, path: str | Path) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        Path(path).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class RunMetrics(_Record):
    """metrics.json: the score of a run, and whether the run failed.

    Attributes
    ----------
    metric : its name; all scores are fractions.
    score, score_low, score_high : with the bootstrap interval over examples.
    baseline : the score of the best constant prediction under the metric and these labels.
    degenerate : the score is a correlation of constant predictions, set to 0.
    failed : the run does not beat the baseline, interval considered, or its predictions are
        constant.
    confidence, resamples : of the interval.
    """

    metric: str
    score: float
    score_low: float
    score_high: float
    baseline: float
    n_examples: int
    degenerate: bool
    failed: bool
    confidence: float
    resamples: int


@dataclass(frozen=True)
class RunName:
    """Which run of a study; `variant` as ``variants.Variant`` prints it."""

    model: str
    task: str
    variant: str
    seed: int


@dataclass(frozen=True)
class Trained:
    """How a fine-tuning went.

    Attributes
    ----------
    resumed_at : the step that the last attempt went on from, None if it began at the start.
    wall_seconds : of all attempts.
    seconds_per_step : the median of the logged intervals', so no start-up or evaluation counts.
    trainable_parameters : how many numbers were trained.
    layers : of the model that was trained, after a cut.
    peak_memory_mb : the most memory held while it was trained (``compute.PeakMemory``), in MB, by
        the last attempt; None where nothing tells.
    """

    device: str
    precision: str
    steps: int
    resumed_at: int | None
    wall_seconds: float
    seconds_per_step: float
    train_examples: int
    trainable_parameters: int
    layers: int
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Origin:
    """What a run was made from, and on how many CPU threads (the same weights need as many).

    Attributes
    ----------
    model_source, task_source : where they came from, with the commit of a hub revision.
    """

    threads: int
    model_source: dict[str, Any]
    task_source: dict[str, Any]


@dataclass(frozen=True)
class RunRecord(_Record):
    """run.json: the fields of ``RunName``, ``Trained`` and ``Origin``, and the circumstances.

    Attributes
    ----------
    training : the recipe, as in ``settings.TrainingSettings``; `config_hash` is its hash.
    git_commit : the workflow's; None outside of git.
    notes : what a reader must know of it.
    """

    model: str
    task: str
    variant: str
    seed: int
    device: str
    precision: str
    steps: int
    resumed_at: int | None
    wall_seconds: float
    seconds_per_step: float
    train_examples: int
    trainable_parameters: int
    layers: int
    # Runs of before it was recorded are read all the same.
    peak_memory_mb: float | None = field(default=None, kw_only=True)
    inference_examples_per_second: float
    threads: int
    training: dict[str, Any]
    config_hash: str
    model_source: dict[str, Any]
    task_source: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    notes: list[str] = field(default_factory=list, kw_only=True)

    @property
    def epoch_seconds(self) -> float:
        """What it takes to train on every train example once, by the time of a step."""
        return math.ceil(self.train_examples / self.training["batch_size"]) * self.seconds_per_step

    @classmethod
    def of(
        cls,
        name: RunName,
        trained: Trained,
        settings: TrainingSettings,
        origin: Origin,
        examples_per_second: float,
        notes: Sequence[str] = (),
    ) -> Self:
        """The record of a run that has just ended, with this machine's versions and commit.

        Parameters
        ----------
        examples_per_second : of the trained model's predictions.
        """
        training = asdict(settings)
        return cls(
            **asdict(name),
            **asdict(trained),
            **asdict(origin),
            inference_examples_per_second=round(examples_per_second, 2),
            training=training,
            config_hash=config_hash(training),
            versions=versions(),
            git_commit=git_commit(),
            notes=list(notes),
        )


@dataclass(frozen=True)
class AdoptedRecord(_Record):
    """run.json of a model that came fine-tuned.

    Attributes
    ----------
    given : true; records of runs that were trained here have no such key.
    max_length, cut_share : tokens that texts are cut to, and the share of eval rows that were.
    labels_by : what matched the checkpoint's labels with the task's (``LabelOrder``).
    notes : what a reader must know of it.
    """

    model: str
    task: str
    variant: str
    seed: int
    given: bool
    layers: int
    max_length: int
    cut_share: float
    labels_by: str | None
    inference_examples_per_second: float
    threads: int
    model_source: dict[str, Any]
    task_source: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    notes: list[str]

    @classmethod
    def of(cls, name: RunName, speed: float, **about: Any) -> Self:
        """The record of a run that was just adopted.

        Parameters
        ----------
        speed : examples a second of its predictions.
        about : the other fields.
        """
        return cls(
            **asdict(name),
            given=True,
            inference_examples_per_second=round(speed, 2),
            versions=versions(),
            git_commit=git_commit(),
            **about,
        )


def read_model_source(folder: str | Path) -> dict[str, Any]:
    """The source.json of a fetched model: ``source``, and ``commit`` or ``sha256``."""
    return json.loads((Path(folder) / "source.json").read_text(encoding="utf-8"))
