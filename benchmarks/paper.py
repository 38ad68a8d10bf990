"""How fast the paper's fine-tuning is here, and how many hours all of it would take.

    .venv/bin/python benchmarks/paper.py --jobs 1 2 4 --out benchmarks/paper.csv

RoBERTa-base, ALBERT-large and ELECTRA-base with random weights, `config.yaml`'s recipe, and rows of
the largest length: real texts are shorter, so the hours are an upper bound. With several jobs, that
many processes fine-tune at the same time, on one GPU or on the same cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "workflow_scripts"))

import numpy as np
import pandas as pd
import yaml
from contest import use_one_gpu

CONFIG = yaml.safe_load((HERE.parent / "config.yaml").read_text())
BASE = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12}
LARGE = {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16}
MODELS = {  # as in their config.json, except for the padding of the tokenizer here
    "roberta": {
        **BASE,
        "vocab_size": 50_265,
        "intermediate_size": 3072,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    },
    "albert": {
        **LARGE,
        "vocab_size": 30_000,
        "embedding_size": 128,
        "intermediate_size": 4096,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
        "pad_token_id": 1,
    },
    "electra": {
        **BASE,
        "vocab_size": 30_522,
        "embedding_size": 768,
        "intermediate_size": 3072,
        "pad_token_id": 1,
    },
}
CHOICES = 4  # HellaSwag's and CosmosQA's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="of each job (1,000 on a GPU, 10 without)")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1], help="at a time (1)")
    parser.add_argument("--out", type=Path, help="CSV")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        model, kind, steps = given.worker
        work(model, kind, int(steps))
        return
    has_gpu = use_one_gpu()
    steps = given.steps or (1000 if has_gpu else 10)
    rows = []
    for model in CONFIG["study"]["models"]:
        for kind, runs in runs_of_a_model().items():
            for jobs in given.jobs:
                row = measure(model, kind, steps, jobs) | {"runs": runs}
                row["hours"] = (
                    runs * CONFIG["training"]["max_steps"] / row["steps_per_second"] / 3600
                )
                print(row, flush=True)
                rows.append(row)
                if given.out is not None:
                    pd.DataFrame(rows).to_csv(given.out, index=False)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    for jobs, own in table.groupby("jobs"):
        print(f"{jobs} at a time: {own['hours'].sum():,.0f} hours for {own['runs'].sum()} runs")


def runs_of_a_model() -> Counter:
    """For each kind of task, how many of its runs the paper's study has per model."""
    kinds = Counter(CONFIG["tasks"][task]["type"] for task in CONFIG["study"]["tasks"])
    both = Counter()
    for kind, tasks in kinds.items():
        # A regression differs from a classification only in its loss.
        both["multiple-choice" if kind == "multiple-choice" else "classification"] += tasks
    return Counter({kind: n * len(CONFIG["study"]["seeds"]) for kind, n in both.items()})


def measure(model: str, kind: str, steps: int, jobs: int) -> dict[str, Any]:
    """Steps per second of all jobs together, one process each; all start when the last is ready."""
    command = [sys.executable, __file__, "--worker", model, kind, str(steps)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryFile("w+") as log:
        workers = [subprocess.Popen(command, stderr=log, **pipes) for _ in range(jobs)]
        try:
            for worker in workers:
                _answer(worker, log)
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
            done = [_answer(worker, log) for worker in workers]
        except BaseException:
            for worker in workers:
                worker.kill()
            raise
        finally:
            for worker in workers:
                worker.communicate()
    return {
        "device": done[0]["device"],
        "precision": done[0]["precision"],
        "model": model,
        "task": kind,
        "jobs": jobs,
        "steps": steps,
        "steps_per_second": sum(1 / one["seconds_per_step"] for one in done),
        "gpu_memory_mb": done[0]["gpu_memory_mb"],
    }


def _answer(worker: subprocess.Popen, log: Any) -> dict[str, Any]:
    line = worker.stdout.readline()
    if not line:
        log.seek(0)
        raise SystemExit(f"A job failed: {log.read().strip()[-800:]}")
    return json.loads(line)


def work(model: str, kind: str, steps: int) -> None:
    """Get ready, report it, wait for a line, fine-tune, and write what `finetune` returns."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    import torch

    from strata.modeling.compute import device
    from strata.modeling.training import finetune
    from strata.study.settings import TrainingSettings

    task, rows, network = given(model, kind, 4 * CONFIG["training"]["batch_size"])
    settings = TrainingSettings(**CONFIG["training"] | {"max_steps": steps, "epochs": None})
    network.to(device())
    print("{}", file=answers, flush=True)
    if not sys.stdin.readline():
        return
    with tempfile.TemporaryDirectory() as out:
        made = finetune(
            network, rows, rows, task, settings, 1, Path(out) / "history.csv", Path(out) / "kept"
        )
    memory = {"gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20}
    print(json.dumps(asdict(made) | memory), file=answers, flush=True)


def given(model: str, kind: str, examples: int) -> tuple[Any, Any, Any]:
    """A task, rows that are all as long as the recipe allows, and a model with random weights."""
    import torch
    from transformers import AutoConfig
    from works.models import TASK, WORDS, tokenizer

    from strata.data.batches import Rows
    from strata.modeling.head_styles import auto_class

    length = CONFIG["training"]["max_length"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, length)) for _ in range(examples)]
    frame = pd.DataFrame({"text_a": texts, "label": rng.integers(2, size=examples)})
    if kind == "multiple-choice":
        frame["text_a"] = [text[: len(text) // 2] for text in texts]
        frame["choices"] = [list(rng.choice(texts, CHOICES)) for _ in texts]
    config = AutoConfig.for_model(model, **MODELS[model])
    torch.manual_seed(0)
    rows = Rows(tokenizer(), frame, max_length=length)
    task = replace(TASK, type=kind, choices=rows.choices)
    return task, rows, auto_class(task).from_config(config)


if __name__ == "__main__":
    main()
