"""A study's results for notebooks: tables as data frames, activations by name.

    >>> study = read_study("results/demo")
    >>> study.tables                                # what is there, and what makes the rest
    >>> study.table("truncation", model="minilm")   # a data frame
    >>> study.activations("minilm", "polarity", "full-seed1")["raw"]

It reads what Snakemake has written, and nothing else: no config, no Snakemake, no torch.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import pandas as pd

from strata.analysis.activations import FIRST_DEPTH, Activations
from strata.analysis.frontier import NAMES
from strata.runtime.errors import StrataError, always_raises
from strata.study import paths
from strata.study.states import State

RESULTS = "<results>/"
# What wildcards of a path may be; names of models and tasks contain no '_', which separates them.
WILDCARDS = {"model": "[a-z0-9-]+", "task": "[a-z0-9-]+", "seed": "[0-9]+", "state": State.KEPT}
ANY = "[^/]+"
# Whole numbers that some rows lack: pandas would read them as 1.0, 2.0, ...
WHOLE = ("seed", "depth", "other_depth", "within_depth", "certified_depth")
LISTED = ("seeds",)  # several in one cell: "1 2"


@dataclass(frozen=True)
class Table:
    """A kind of table that a study may have.

    Attributes
    ----------
    path : str
        Its pattern: a file of the study, or one of each model and task (and more).
    target : str
        What Snakemake is asked for to make it.
    about : str
        What it says.
    texts : tuple of str
        Columns that are text, whatever they look like.
    """

    path: str
    target: str
    about: str
    texts: tuple[str, ...] = ()

    @property
    def wildcards(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


TABLES = {
    "summary": Table(
        f"{paths.SUMMARY}.csv",
        "truncation",
        "how far each model can be cut",
        (*LISTED, "failed_seeds", "certified_layers"),
    ),
    "verdicts": Table(paths.VERDICTS, "truncation", "the verdict on every depth", LISTED),
    "claims": Table(f"{paths.CLAIMS}.csv", "claims", "what holds of the papers' claims", LISTED),
    "claim-readings": Table(paths.READINGS, "claims", "what decides the claims", LISTED),
    "cka": Table(f"{paths.CKA}.csv", "cka", "CKA of every two depths of two states"),
    "blocks": Table(paths.BLOCKS, "cka", "blocks of similar depths"),
    "cka-models": Table(f"{paths.CKA_MODELS}.csv", "cka", "CKA of depths of two models"),
    "controls": Table(f"{paths.CONTROLS}.csv", "controls", "what similarity is made of"),
    "truncation": Table(f"{paths.TRUNCATION}.csv", "truncation", "scores at every depth"),
    "calibration": Table(
        f"{paths.CALIBRATION}.csv", "truncation", "likelihood, calibration, changed answers"
    ),
    "skipping": Table(f"{paths.SKIPPING}.csv", "skipping", "scores without every span of layers"),
    "exits": Table(f"{paths.EXITS}.csv", "exits", "early exit beside static cuts"),
    "frontier": Table(
        f"{paths.FRONTIER_OF_PAIR}.csv", "frontier", "which layers to keep", (*NAMES,)
    ),
    "frontier-answers": Table(
        f"{paths.FRONTIER}.csv", "frontier", "the smallest certified model of each run", (*NAMES,)
    ),
    "frontier-onnx": Table(
        f"{paths.FRONTIER_ONNX}.csv",
        "frontier",
        "the frontier's candidates as ONNX",
        (*NAMES, "measured_as"),
    ),
    "costs": Table(paths.COSTS, "frontier", "time and size of layer sets", (*NAMES, "measured_as")),
    "reinit": Table(paths.REINIT_PART, "reinit", "runs of partial reinitialisation", ("size",)),
    "permutation-correlations": Table(
        paths.PERMUTATION_CORRELATIONS, "reinit", "whether tasks agree on permuted layers"
    ),
    "nu": Table(paths.NU, "variability", "variability and its controls at every depth"),
    "nu-finding": Table(paths.NU_FINDING, "variability", "the depth that each measure selects"),
    "nu-cost": Table(paths.NU_COST, "variability", "seconds that variability takes"),
    "robustness": Table(f"{paths.ROBUSTNESS}.csv", "variability", "what is selected on subsamples"),
    "selection": Table(f"{paths.VARIABILITY}.csv", "variability", "training selected layers"),
    "selected-less-last": Table(
        paths.SELECTED_LESS_LAST, "variability", "selected layers less as many last ones", LISTED
    ),
    "agreement": Table(
        f"{paths.AGREEMENT_OF_PAIR}.csv", "agreement", "what every method says of each depth"
    ),
    "findings": Table(f"{paths.AGREEMENT}.csv", "agreement", "the methods' findings in words"),
    "method-correlations": Table(
        f"{paths.METHOD_CORRELATIONS}.csv", "agreement", "rank correlations between methods"
    ),
    "history": Table(paths.HISTORY, "all", "loss over the steps of each run"),
}
# Answers example by example; all but a run's own are of every depth, or of every span.
PREDICTIONS = {
    "run": (paths.PREDICTIONS, "all"),
    "untuned": (f"{paths.UNTUNED}.parquet", "truncation"),
    "tuned": (f"{paths.TUNED}.parquet", "truncation"),
    "tuned-orig": (f"{paths.TUNED_ORIG}.parquet", "truncation"),
    "skipping": (paths.SKIPPED, "skipping"),
}


def read_study(folder: str | Path) -> "Study":
    """A study by its folder: the `outdir` of its config.

    Raises
    ------
    StrataError
        There is no study in the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StrataError(
            f"There is no folder {folder}; read_study() wants the 'outdir' of a study's config "
            "(results/demo, say)."
        )
    study = Study(folder)
    if not study.pairs:
        inside = sorted(str(path.parent) for path in folder.glob("*/runs"))
        hint = f"; there is one in {', '.join(inside)}" if inside else ""
        raise StrataError(
            f"{folder} holds no results of a study{hint}; read_study() wants the 'outdir' of a "
            "study that has been run."
        )
    return study


class StudyActivations(Activations):
    """An open activation file, its arrays by name; each is read when it is sliced.

    ``head``, ``raw`` (and ``mean``) : [depths, rows, hidden], what the head reads, and poolings of
        token vectors; ``depths(name)`` says which depth each slice is.
    ``cosine``, ``angle`` : [layers, rows], how far each layer turns the tokens' vectors.
    ``label``, ``example_id`` (and ``choice``) : [rows].
    """

    @property
    def names(self) -> list[str]:
        return [name for name in self.file if not name.startswith("depth_")]

    def __getitem__(self, name: str) -> h5py.Dataset:
        if name not in self.names:
            raise StrataError(f"{self.path} has no '{name}'; it has {', '.join(self.names)}.")
        return self.file[name]

    def at(self, depth: int, pooling: str = "head") -> np.ndarray:
        """[rows, hidden] at a depth, which starts at 1 (at 0 for ``mean``)."""
        depths = self.depths(pooling) if pooling in FIRST_DEPTH and pooling in self.file else []
        if depth not in depths:
            known = f"depths {depths[0]} to {depths[-1]}" if depths else "no such pooling"
            raise StrataError(f"{self.path} has no depth {depth} of '{pooling}' ({known}).")
        return self.file[pooling][depths.index(depth)]

    def __repr__(self) -> str:
        if not self.file:
            return f"Activations in {self.path} (closed)"
        arrays = [(name, self.file[name]) for name in self.names]
        lines = (f"  {name}: {list(array.shape)} {array.dtype}" for name, array in arrays)
        return "\n".join([f"Activations in {self.path}", *lines])


class Study:
    """What a study has written; made by ``read_study``.

    Attributes
    ----------
    folder : Path
        The study's `outdir`.
    pairs : list of tuple
        Model and task of which there is anything.
    models, tasks : list of str
        Their names.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        patterns = [paths.PREDICTIONS, paths.EVAL_ACTIVATIONS]
        patterns += [
            each.path for each in TABLES.values() if {"model", "task"} <= {*each.wildcards}
        ]
        found = (names for pattern in patterns for _, names in self._files(pattern))
        return sorted({(names["model"], names["task"]) for names in found})

    @property
    def models(self) -> list[str]:
        return sorted({model for model, _ in self.pairs})

    @property
    def tasks(self) -> list[str]:
        return sorted({task for _, task in self.pairs})

    @property
    def tables(self) -> pd.DataFrame:
        """The tables that a study may have, by name.

        Returns
        -------
        DataFrame
            `made` of how many (`of`): of each model and task, of each task, or one of the study;
            where some are missing, the command that makes them (an analysis may be for some models
            alone).
        """
        rows = {name: self._state_of(each) for name, each in TABLES.items()}
        return pd.DataFrame.from_dict(rows, "index", columns=["made", "of", "about", "command"])

    def _state_of(self, table: Table) -> tuple[int, int, str, str]:
        # A table of a task compares models.
        wanted = {"model": len(self.pairs), "task": len(self.tasks) * (len(self.models) > 1)}
        kind = next((name for name in wanted if name in table.wildcards), None)
        found = {(names.get("model"), names.get("task")) for _, names in self._files(table.path)}
        of = wanted[kind] if kind else 1
        missing = len(found) < of
        return len(found), of, table.about, f"snakemake {table.target}" if missing else ""

    @property
    def summary(self) -> pd.DataFrame:
        """How far each model can be cut: a row a model, task and configuration."""
        return self.table("summary")

    def table(self, name: str, model: str | None = None, task: str | None = None) -> pd.DataFrame:
        """A table as one data frame, of all models and tasks or of those that are named.

        Returns
        -------
        DataFrame
            The columns of the files, `model` and `task` first. Layer sets ("1-8", "3") and lists of
            seeds are text. What is not made yet of some model or task is missing: ``tables``
            counts.

        Raises
        ------
        StrataError
            There is no such table, model or task, or it is not made yet.
        """
        if name not in TABLES:
            raise StrataError(f"There is no table '{name}'; there are {', '.join(TABLES)}.")
        self._check_names(model, task)
        kind = TABLES[name]
        asked = {"model": model, "task": task}
        chosen = {key: value for key, value in asked.items() if value is not None}
        parts = [
            _read(path, names, kind.texts)
            for path, names in self._files(kind.path)
            if all(names.get(key, value) == value for key, value in chosen.items())
        ]
        if not parts:
            about = " and ".join(chosen.values())
            self._fail_unmade(f"no table '{name}'{f' of {about}' if about else ''}", kind.target)
        table = _in_order(pd.concat(parts, ignore_index=True))
        for key, value in chosen.items():  # of a study's one table, rows
            if key not in table:
                raise StrataError(
                    f"The table '{name}' has no column '{key}' to choose by; it has "
                    f"{', '.join(map(str, table))}."
                )
            table = table[table[key] == value]
        return table.reset_index(drop=True)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run: its run.json and metrics.json, nested keys joined by a dot."""
        records = []
        for path, _ in self._files(paths.RECORD):
            files = (path, path.with_name(Path(paths.METRICS).name))
            parts = [json.loads(file.read_text("utf-8")) for file in files if file.is_file()]
            records.append({key: value for part in parts for key, value in part.items()})
        return pd.json_normalize(records)

    def states(self, model: str, task: str) -> list[str]:
        """The states of a model on a task whose activations are there."""
        return list(self._states(paths.EVAL_ACTIVATIONS, model, task))

    def activations(self, model: str, task: str, state: str) -> StudyActivations:
        """Representations of the eval examples at every depth, open until closed (or ``with``).

        Parameters
        ----------
        model, task : str
            Names that the study has.
        state : str
            "pretrained", or a run such as "full-seed1" (see ``states``).

        Raises
        ------
        StrataError
            There is no such model, task or state, or it is not made yet.
        """
        what = f"activations of {model} on {task}"
        return StudyActivations(
            self._of_state(paths.EVAL_ACTIVATIONS, "cka", what, model, task, state)
        )

    def predictions(
        self, model: str, task: str, state: str = "full-seed1", of: str = "run"
    ) -> pd.DataFrame:
        """Answers example by example.

        Parameters
        ----------
        model, task : str
            Names that the study has.
        state : str
            Which run ("full-seed1"), or "pretrained".
        of : str
            "run": what the whole model answers; "untuned", "tuned", "tuned-orig": at every depth;
            "skipping": without every span of layers.

        Returns
        -------
        DataFrame
            Columns example_id, label, prediction and, where there are some, logit_0, ...; before
            them configuration and depth, or first and last.

        Raises
        ------
        StrataError
            There are no such predictions, or they are not made yet.
        """
        if of not in PREDICTIONS:
            kinds = ", ".join(PREDICTIONS)
            raise StrataError(f"There are no predictions of '{of}'; there are {kinds}.")
        pattern, target = PREDICTIONS[of]
        what = f"predictions ('{of}') of {model} on {task}"
        return pd.read_parquet(self._of_state(pattern, target, what, model, task, state))

    def __repr__(self) -> str:
        made = [str(name) for name, count in self.tables["made"].items() if count]
        return (
            f"Study in {self.folder}\n  models: {', '.join(self.models)}\n"
            f"  tasks: {', '.join(self.tasks)}\n  tables: {', '.join(made)}"
        )

    def _states(self, pattern: str, model: str, task: str) -> dict[str, Path]:
        """The states of a pair that have a file of a pattern, with the file."""
        self._check_names(model, task)
        return {
            names.get("state") or f"{names.get('variant', 'full')}-seed{names['seed']}": path
            for path, names in self._files(pattern)
            if (names["model"], names["task"]) == (model, task)
        }

    def _of_state(
        self, pattern: str, target: str, what: str, model: str, task: str, state: str
    ) -> Path:
        there = self._states(pattern, model, task)
        if not there:
            self._fail_unmade(f"no {what}", target)
        if state not in there:
            raise StrataError(
                f"{self.folder} has no {what} in the state '{state}'; it has {', '.join(there)}."
            )
        return there[state]

    def _files(self, pattern: str) -> Iterator[tuple[Path, dict[str, str]]]:
        """The files of a path pattern, with what its wildcards are there."""
        pattern = pattern.removeprefix(RESULTS)
        texts = re.split(r"{(\w+)}", pattern)
        expression = "".join(
            f"(?P<{text}>{WILDCARDS.get(text, ANY)})" if place % 2 else re.escape(text)
            for place, text in enumerate(texts)
        )
        for path in sorted(self.folder.glob(re.sub(r"{\w+}", "*", pattern))):
            if match := re.fullmatch(expression, path.relative_to(self.folder).as_posix()):
                yield path, match.groupdict()

    def _check_names(self, model: str | None, task: str | None) -> None:
        for kind, name, known in (("model", model, self.models), ("task", task, self.tasks)):
            if name is not None and name not in known:
                names = ", ".join(known)
                raise StrataError(f"{self.folder} has no {kind} '{name}'; it has {names}.")

    @always_raises
    def _fail_unmade(self, what: str, target: str) -> NoReturn:
        raise StrataError(
            f"{self.folder} has {what}; 'snakemake {target}' (with the study's --configfile or "
            "profile) makes what the study's config asks for."
        )


def _read(path: Path, names: Mapping[str, str], texts: tuple[str, ...]) -> pd.DataFrame:
    """A file, with the wildcards of its path that it has no column of."""
    # An empty cell alone says that there is nothing: "none" may be a label.
    types = dict.fromkeys(texts, str)
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    for place, (key, value) in enumerate(names.items()):
        if key not in table:
            table.insert(place, key, int(value) if key == "seed" else value)
    return table


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """`model` and `task` first, whole numbers as such."""
    first = [name for name in ("model", "task") if name in table]
    table = table[[*first, *(name for name in table if name not in first)]]
    whole = [name for name in WHOLE if name in table and table[name].dtype.kind == "f"]
    return table.astype(dict.fromkeys(whole, "Int64"))
