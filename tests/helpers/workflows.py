"""The workflow, copied and run in a folder of its own, and the studies that tests run with it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from helpers import tiny
from helpers.forks import HANDOVER, SOCKET, Forks

REPOSITORY = Path(__file__).parents[2]
PARTS = [
    "Snakefile",
    "config.yaml",
    "envs",
    "profiles",
    "report",
    "rules",
    "schemas",
    "studies",
    "workflow_scripts",
]
# Temporary files in a folder where another process plans.
PASSING = shutil.ignore_patterns("log", "locks", "scripts", "tmp*", "*.partial")
COSTLY = (
    "ablate",
    "choose_layers",
    "compare_models",
    "compare_states",
    "dump_eval",
    "dump_sets",
    "dump_train",
    "export_layers",
    "export_model",
    "export_onnx",
    "export_trained",
    "find_blocks",
    "finetune",
    "measure_controls",
    "measure_costs",
    "measure_onnx",
    "measure_variability",
    "score_sets",
    "skip_spans",
    "train_cut",
    "tune_fresh_heads",
    "tune_heads",
)
RECIPE = {
    "training": {
        "max_steps": 120,
        "batch_size": 16,
        "learning_rate": 0.003,
        "warmup_steps": 10,
        "max_length": 32,
        "precision": "float32",
    },
    "heads": {"steps": 60, "batch_size": 16, "learning_rate": 0.003, "warmup_steps": 5},
    "evaluation": {"max_train_examples": 96, "poolings": ["raw", "mean"]},
    "cka": {"estimator": "debiased"},
    "summary": {"resamples": 100},
}


@dataclass
class Workflow:
    """A copy of the workflow that may be edited, and a folder it runs in.

    With `planner` Snakemake runs in a fork of a process that has imported it; with `jobs` the
    scripts run in forks of one with their libraries. Otherwise each starts a new process, as for
    users.
    """

    code: Path
    folder: Path
    planner: Forks | None = None
    jobs: Forks | None = None
    said: str = ""  # printed by Snakemake when the study in the folder ran

    def command(self, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile")]
        # The targets first: options such as --configfile take all values that follow them.
        options = ["--directory", str(self.folder), "--workflow-profile"]
        return [*command, *arguments, *options, str(self.code / "profiles" / "default")]

    def start(self, *arguments: str) -> subprocess.Popen:
        """A run in the background, its output thrown away."""
        none = subprocess.DEVNULL
        return subprocess.Popen(self.command(*arguments), stdout=none, stderr=none, cwd=self.folder)

    def run(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Run Snakemake to its end; it may fail without `check`; `options` are the process's."""
        command, environment = self.command(*arguments), dict(os.environ)
        if self.jobs is not None:
            environment |= {SOCKET: str(self.jobs.path), "PYTHONPATH": str(HANDOVER)}
        if self.planner is not None and not options:
            done = self.planner.run(command[1:], self.folder, environment)
        else:
            options |= {"capture_output": True, "text": True, "cwd": self.folder}
            done = subprocess.run(command, env=environment, check=False, **options)
        if check and done.returncode:
            pytest.fail(f"{' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def configured(self, *arguments: str, check: bool = True, **changes: dict):
        """Run with this folder's study, `changes` merged into it."""
        study = merge(yaml.safe_load((self.folder / "study.yaml").read_text()), changes)
        # Not in the folder: others may plan there, or copy it, at the same time.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(study, file)
            file.flush()
            return self.run(*arguments, "--configfile", file.name, check=check)

    def planned(self, **changes: dict) -> list[tuple[str, str]]:
        """What would be made now: (rule, output file)."""
        done = self.configured("--summary", **changes)
        rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
        return [(row[2], row[0]) for row in rows if row[-1] == "update pending"]


def merge(base: dict, changes: dict) -> dict:
    out = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if both else value
    return out


def copy_workflow(to: Path, of: Path = REPOSITORY) -> Path:
    for part in PARTS:
        source = of / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to / part)
    return to


def impatient(code: Path) -> None:
    """Make a copy of the workflow give up a failing hub within seconds."""
    downloads = code / "workflow_scripts" / "strata" / "sources" / "hub.py"
    patient = downloads.read_text()
    changed = re.sub(r"^RETRY_SECONDS = [\d.]+", "RETRY_SECONDS = 3", patient, flags=re.MULTILINE)
    assert changed != patient
    downloads.write_text(changed)


def write_tasks(folder: Path, named: str | None = None) -> dict[str, dict]:
    """Local files of three tasks and their descriptions: pairs, regression, multiple choice.

    In the descriptions the folder is `named`.
    """
    folder.mkdir(parents=True)
    tiny.pair_rows(320, 1).to_json(folder / "pairs.jsonl", orient="records", lines=True)
    tiny.pair_rows(96, 2).to_json(folder / "pairs-dev.jsonl", orient="records", lines=True)
    tiny.regression_rows(400, 3).to_csv(folder / "scores.csv", index=False)
    tiny.choice_rows(240, 4).to_parquet(folder / "choices.parquet")
    tiny.choice_rows(64, 5).to_parquet(folder / "choices-dev.parquet")
    source = f"path:{named or folder}"
    return {
        "entail": {
            "title": "Entail",
            "source": source,
            "type": "classification",
            "texts": ["premise", "hypothesis"],
            "label": "label",
            "labels": ["yes", "no"],
            "splits": {"train": "pairs.jsonl", "eval": "pairs-dev.jsonl"},
            "metric": "accuracy",
        },
        "goodness": {
            "source": source,
            "type": "regression",
            "texts": ["text"],
            "label": "score",
            "splits": {"train": "scores.csv"},
            "holdout": {"fraction": 0.25, "seed": 1},
            "metric": "pearson-spearman",
        },
        "endings": {
            "source": source,
            "type": "multiple-choice",
            "texts": ["{context}"],
            "choices": "{endings}",
            "label": "answer",
            "splits": {"train": "choices.parquet", "eval": "choices-dev.parquet"},
            "metric": "accuracy",
        },
    }


def write_study(folder: Path) -> dict:
    """study.yaml of three tiny encoders on three tasks, two seeds; the folder may be copied."""
    layers = {"roberta": 4, "albert": 5, "electra": 4}
    for name, count in layers.items():
        tiny.save_model(folder / "source" / name, name, count)
    models = {name: {"source": f"path:source/{name}"} for name in layers}
    models["roberta"]["title"] = "RoBERTa"
    study = {
        "outdir": "results/tiny",
        "study": {
            "models": list(layers),
            "tasks": ["entail", "goodness", "endings"],
            "seeds": [1, 2],
            "analyses": ["cka", "controls", "truncation", "skipping", "exits", "export", "claims"],
            "skipping": ["roberta", "albert"],
            "export": "within",
            "figure1": {"model": "albert", "task": "entail"},
        },
        "models": models,
        "tasks": write_tasks(folder / "source" / "tasks", "source/tasks"),
        **RECIPE,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return study


COMPANIONS = {
    "outdir": "results/companions",
    "study": {
        "models": ["roberta", "albert"],
        "tasks": ["entail", "endings"],
        "seeds": [1],
        "analyses": ["reinit", "variability", "agreement", "export", "claims"],
        "skipping": [],
        "figure1": {"model": "roberta", "task": "entail"},
    },
    "variants": {
        "*_n*": {"max_steps": 60},
        "probe*": {"epochs": 5},
        "lora*": {"max_steps": 60},
        "adapter*": {"max_steps": 60},
    },
    "reinit": {
        "models": None,
        "scheme": "fresh",
        "progressive": {"sizes": [64, 160], "seeds": [1, 2], "step": 2},
        "kept_norms": {"sizes": [64], "seeds": [1], "step": 4},
        "faster_layers": {"factor": 5, "sizes": [64], "seeds": [1], "step": 4},
        "localized": {"block": 2, "stride": 2, "size": 160, "seeds": [1]},
        "permutation": {"count": 3, "size": 160, "seeds": [1]},
        "probing": {"sizes": [160], "seeds": [1], "step": 2},
    },
    "variability": {
        "max_examples": 100,
        "kept_examples": 60,
        "bins": 2,
        "top": [1, 4],
        "resamples": 20,
        "robustness": {"sizes": [40], "ratios": [1, 49], "repeats": 3},
    },
    "evaluation": {"max_train_examples": 96, "poolings": ["raw"]},
    # One of the tasks with jiant's heads, with everything that is done to a run.
    "tasks": {"endings": {"heads": {"style": "jiant"}}},
}

RUNS = "results/tiny/runs/roberta_entail/full"
# The study's own runs of RoBERTa, as given models.
MINE = {
    "outdir": "results/mine",
    "study": {
        "models": ["mine"],
        "tasks": ["entail"],
        "analyses": ["cka", "controls", "truncation", "skipping", "frontier", "export", "claims"],
    },
    "models": {
        "mine": {
            "title": "RoBERTa",
            "checkpoints": ["path:source/mine/1", "path:source/mine/2"],
            "pretrained": "path:source/roberta",
        }
    },
    "frontier": {
        "training": {
            "sizes": [2],
            "sets": ["top"],
            "ways": {"heal": [], "distil": [12], "cut-tune": [12], "cut-distil": []},
            "keep_checkpoints": True,
        }
    },
    "export": {"onnx": ["fp32", "int8"], "sizes": 1},
}
