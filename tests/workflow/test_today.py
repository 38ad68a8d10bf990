"""Today's models through the whole graph: alternating attention with a mean, and a decoder."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from helpers import model_types, tiny
from helpers.shared import once
from helpers.workflows import RECIPE, Workflow, copy_workflow, merge, write_tasks
from workflow.conftest import SAID, run_study

MODELS = {"modern": "modernbert:mean", "decoder": "llama"}
FEW = {"training": {"max_steps": 40, "warmup_steps": 4}, "heads": {"steps": 30}}
STUDY = {
    "outdir": "results/today",
    "study": {
        "models": [*MODELS],
        "tasks": ["entail"],
        "seeds": [1],
        "analyses": [
            "cka", "controls", "truncation", "skipping", "export", "reinit", "variability",
            "agreement", "claims",
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
    "variability": {
        "max_examples": 100,
        "kept_examples": 60,
        "top": [1],
        "resamples": 20,
        "robustness": {"sizes": [40], "ratios": [1], "repeats": 3},
    },
}  # fmt: skip


def save(folder, kind: str) -> None:
    """A pretrained model as it is found; the decoder's tokenizer pads nothing, and to the left."""
    model_types.model(kind, initializer_range=0.3).base_model.save_pretrained(folder)
    tokenizer = tiny.tokenizer()
    if kind == "llama":
        tokenizer.pad_token, tokenizer.padding_side = None, "left"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    if kind == "llama":
        config["pad_token_id"] = None
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def today(tmp_path_factory, planner, request) -> Workflow:
    def make(folder):
        for name, kind in MODELS.items():
            save(folder / "source" / name, kind)
        tasks = {"entail": write_tasks(folder / "source/tasks", "source/tasks")["entail"]}
        models = {name: {"source": f"path:source/{name}"} for name in MODELS}
        study = merge(merge(RECIPE, FEW), STUDY | {"models": models, "tasks": tasks})
        (folder / "study.yaml").write_text(yaml.safe_dump(study))
        copy_workflow(folder / "workflow")
        run_study(folder, request)

    folder = once(tmp_path_factory, "today", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


@pytest.fixture
def table(today):
    return lambda name: pd.read_csv(today.folder / "results/today" / name)


@pytest.mark.parametrize("model", MODELS)
def test_untuned_at_the_last_depth_is_the_full_model_row_by_row(today, model):
    results = today.folder / "results/today"
    run = pd.read_parquet(results / f"runs/{model}_entail/full/seed1/predictions.parquet")
    untuned = pd.read_parquet(results / f"truncation/{model}_entail/untuned-full-seed1.parquet")
    last = untuned[untuned["depth"] == untuned["depth"].max()]
    for answer in ("logit_0", "logit_1"):
        np.testing.assert_allclose(last[answer], run[answer], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_every_analysis_has_its_tables(table, model):
    cka = table(f"cka/{model}_entail.csv")
    assert set(cka["pooling"]) == {"raw", "mean"} and cka["cka"].notna().all()
    spans = table(f"skipping/{model}_entail.csv")
    assert len(spans) == 10 and spans["value"].between(0, 1).all()
    assert set(table("claims.csv")["model"].dropna()) >= {model}
    selection = table(f"variability/{model}_entail.csv")
    assert {"whole", "lora", "adapter", "selected", "last"} <= set(selection["comparison"])


def test_a_decoder_is_partly_given_new_weights_and_put_into_other_orders(table):
    for part in ("progressive", "localized", "permutation"):
        rows = table(f"reinit/decoder_entail/{part}.csv")
        assert len(rows) and rows["value"].between(0, 1).all()


@pytest.mark.parametrize("model", MODELS)
def test_the_smaller_model_is_a_plain_one_whose_lists_are_cut(today, model):
    folder = next((today.folder / f"results/today/export/{model}_entail").iterdir())
    small = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    layers = small.config.num_hidden_layers
    if model == "modern":
        assert len(small.config.layer_types) == layers
    batch = AutoTokenizer.from_pretrained(folder)(
        ["w1 w2", "same w3 w4 w5 w6"], padding=True, return_tensors="pt"
    )
    assert batch["input_ids"][0, -1] == small.config.pad_token_id  # on the right
    logits = small(**batch).logits
    alone = small(**AutoTokenizer.from_pretrained(folder)("w1 w2", return_tensors="pt")).logits
    np.testing.assert_allclose(logits[:1].detach(), alone.detach(), rtol=1e-4, atol=1e-5)


def test_a_padding_token_is_found_and_told(today):
    log = (today.folder / "results/today/logs/fetch_model/decoder.log").read_text()
    assert "The tokenizer has no padding token: <pad> is taken" in log
    folder = today.folder / "data/models/decoder"
    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == tiny.PAD
    assert AutoTokenizer.from_pretrained(folder).pad_token == "<pad>"
