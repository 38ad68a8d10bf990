"""What is written about a run (run.json, metrics.json): one type for writer and readers."""

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
    """A JSON file with a key for each field, in order; keys of fields with a default may be
    missing.
    """

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file; keys that are not fields are ignored.

        Raises
        ------
        StrataError
            A key is missing.
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
    metric : str
        The metric's name; all scores are fractions.
    score, score_low, score_high : float
        The run's score with its bootstrap interval over examples.
    baseline : float
        The score of the best constant prediction under the metric and these labels.
    degenerate : bool
        Whether the score is a correlation of constant predictions, set to 0.
    failed : bool
        Whether the run failed: it does not beat the baseline, interval considered, or its
        predictions are constant.
    confidence : float
        Confidence of the interval.
    resamples : int
        Number of bootstrap samples of the interval.
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
    """Identifies a run of a study; `variant` is written as ``variants.Variant`` prints it."""

    model: str
    task: str
    variant: str
    seed: int


@dataclass(frozen=True)
class Trained:
    """How a fine-tuning run went.

    Attributes
    ----------
    resumed_at : int or None
        The step from which the last attempt continued; None if it started from the beginning.
    wall_seconds : float
        Wall-clock time of all attempts together.
    seconds_per_step : float
        The median over the logged intervals, so that start-up and evaluation do not count.
    trainable_parameters : int
        The number of trained parameters.
    layers : int
        Layers of the trained model, after any cut.
    peak_memory_mb : float or None
        Peak memory of the last attempt while training (``compute.PeakMemory``), in MB; None if it
        cannot be measured.
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
    """What a run was made from, and with how many CPU threads (the same weights need as many).

    Attributes
    ----------
    model_source, task_source : dict of str to object
        Where model and task came from, with the commit that a hub revision stood for.
    """

    threads: int
    model_source: dict[str, Any]
    task_source: dict[str, Any]


@dataclass(frozen=True)
class RunRecord(_Record):
    """run.json: the fields of ``RunName``, ``Trained`` and ``Origin``, and the circumstances.

    Attributes
    ----------
    training : dict of str to object
        The recipe, as in ``settings.TrainingSettings``; `config_hash` is a hash of it.
    git_commit : str or None
        The workflow's commit; None outside git.
    notes : list of str
        What a reader must know about the run.
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
    # Records from before this field existed can still be read.
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
        """Seconds to train once on every train example, from the time per step."""
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
        examples_per_second : float
            Speed of the trained model's predictions.
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
    given : bool
        Always true; records of runs that were trained here do not have this key.
    max_length : int
        The number of tokens that texts are cut to.
    cut_share : float
        The share of eval rows that were cut.
    labels_by : str or None
        How the checkpoint's labels were matched with the task's (``LabelOrder``).
    notes : list of str
        What a reader must know about the run.
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
        speed : float
            Examples per second of its predictions.
        **about : object
            The other fields.
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
