"""A study of two of today's models: alternating attention with a mean, and a decoder.

A tenth of the train examples is withheld for choosing layers.
"""

import json
from pathlib import Path

import yaml

from helpers import model_types, tiny
from helpers.workflows import RECIPE, merge, write_tasks

MODELS = {"modern": "modernbert:mean", "decoder": "llama"}
FEW = {
    "training": {"max_steps": 40, "warmup_steps": 4, "withhold": 0.1},
    "heads": {"steps": 30},
}
STUDY = {
    "outdir": "results/today",
    "study": {
        "models": [*MODELS],
        "tasks": ["entail"],
        "seeds": [1],
        "analyses": [
            "cka", "controls", "truncation", "skipping", "exits", "frontier", "export", "reinit",
            "variability", "agreement", "claims",
        ],
        "skipping": [*MODELS],
        "export": "within",
        "figure1": {"model": "modern", "task": "entail"},
    },
    "variants": {"*": {"max_steps": 20}, "full": {"max_steps": 100}},
    "reinit": {
        "models": ["decoder"],
        "scheme": "paper",
        "progressive": {"sizes": ["all"], "seeds": [1], "step": 2},
        "kept_norms": None,
        "faster_layers": None,
        "localized": {"block": 2, "stride": 2, "size": "all", "seeds": [1]},
        "permutation": {"count": 2, "size": "all", "seeds": [1]},
        "probing": None,
    },
    "frontier": {
        "training": {
            "sizes": [4, 2],
            "sets": ["best"],
            "ways": {"heal": [12], "distil": [], "cut-tune": [], "cut-distil": [12]},
        }
    },
    "variability": {
        "max_examples": 100,
        "kept_examples": 60,
        "top": [1],
        "resamples": 20,
        "robustness": {"sizes": [40], "ratios": [1], "repeats": 3},
    },
}  # fmt: skip


def _save(folder: Path, kind: str) -> None:
    """A pretrained model as published; the decoder's tokenizer has no padding and pads left."""
    model_types.model(kind, initializer_range=0.3).base_model.save_pretrained(folder)
    tokenizer = tiny.tokenizer()
    if kind == "llama":
        tokenizer.pad_token, tokenizer.padding_side = None, "left"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    if kind == "llama":
        config["pad_token_id"] = None
    (folder / "config.json").write_text(json.dumps(config))


def write_today(folder: Path) -> None:
    """study.yaml, with its models and its task."""
    for name, kind in MODELS.items():
        _save(folder / "source" / name, kind)
    tasks = {"entail": write_tasks(folder / "source/tasks", "source/tasks")["entail"]}
    models = {name: {"source": f"path:source/{name}"} for name in MODELS}
    study = merge(merge(RECIPE, FEW), STUDY | {"models": models, "tasks": tasks})
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
