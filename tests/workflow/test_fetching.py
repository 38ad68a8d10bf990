"""The real fetch rules with a failing hub on this machine; then a study without it."""

import json
import shutil

import pytest
import yaml

from helpers import given, hub, tiny
from helpers.workflows import RECIPE, Workflow, copy_workflow, impatient

WAIT = {"headers": {"Retry-After": "1"}}
FIGURE = "results/net/cka/bert_entail.png"


def write_rows(folder, split, count, seed):
    rows = tiny.pair_rows(count, seed)
    rows.to_json(folder / f"{split}.jsonl", orient="records", lines=True)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub with one model and one task, which the jobs of a workflow use."""
    with hub.serving() as running:
        data = tmp_path / "served" / "entail"
        data.mkdir(parents=True)
        write_rows(data, "train", 160, 1)
        write_rows(data, "validation", 64, 2)
        running.add("models", "me/bert", tiny.save_model(tmp_path / "served" / "bert", "bert", 2))
        running.add("datasets", "me/entail", data)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "2")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture
def workflow(tmp_path, planner) -> Workflow:
    study = {
        "outdir": "results/net",
        "study": {
            "models": ["bert"],
            "tasks": ["entail"],
            "seeds": [1],
            "analyses": ["cka"],
            "skipping": [],
            "figure1": {"model": "bert", "task": "entail"},
        },
        "models": {"bert": {"source": "hub:me/bert", "revision": "main", "architecture": "bert"}},
        "tasks": {
            "entail": {
                "source": "hub:me/entail",
                "revision": "main",
                "type": "classification",
                "texts": ["premise", "hypothesis"],
                "label": "label",
                "labels": ["yes", "no"],
                "splits": {"train": "train", "eval": "validation"},
                "metric": "accuracy",
            }
        },
        **RECIPE,
    }
    study["training"] = RECIPE["training"] | {"max_steps": 4, "warmup_steps": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return Workflow(copy_workflow(tmp_path / "workflow"), tmp_path, planner)


FETCH = ("--until", "fetch_model", "fetch_task", "--cores", "2")


def test_study_runs_without_the_hub_that_failed_while_it_was_fetched_from(
    served, workflow, monkeypatch
):
    for repository in ("models/me/bert", "datasets/me/entail"):
        served.fail(f"{repository}/revision/main", "status", **WAIT)
    served.fail("/config.json", "status", status=429, **WAIT)
    served.fail("/model.safetensors", "cut")
    served.fail("/model.safetensors", "stall")
    served.fail("/model.safetensors", "flip")
    served.fail("/train.jsonl", "short")
    served.fail("/validation.jsonl", "status", status=500)
    workflow.configured(*FETCH)
    assert not [fault for fault in served.faults if fault.times], "a fault met no request"
    logs = "".join(log.read_text() for log in workflow.folder.glob("results/net/logs/fetch_*/*"))
    assert logs.count("The hub request failed (503 Service Unavailable); next attempt in 1 s") == 2
    assert "model.safetensors arrived damaged" in logs and "train.jsonl arrived damaged" in logs

    served.stop()
    with hub.serving() as empty:  # in its place, to see whether it is needed
        monkeypatch.setenv("HF_ENDPOINT", empty.url)
        workflow.configured(FIGURE, "--cores", "2")
        assert empty.requests == []
    assert (workflow.folder / FIGURE).stat().st_size


def test_study_whose_hub_stays_broken_ends_in_a_sentence(served, workflow):
    impatient(workflow.code)
    served.fail("/model.safetensors", "status", times=hub.ALWAYS)
    served.fail("/train.jsonl", "flip", times=hub.ALWAYS)
    done = workflow.configured(*FETCH, "--keep-going", check=False)
    text = done.stdout + done.stderr
    assert done.returncode and "Traceback" not in text
    assert "The model 'bert': the hub cannot be reached for me/bert (503 Service" in text
    assert "The task 'entail': train.jsonl of me/entail arrived damaged twice" in text
    assert not [path for path in (workflow.folder / "data").rglob("*") if path.is_file()]

    # Complete files are in the cache, and the same study continues when the hub is back.
    served.faults.clear()
    before = len(served.asked_for("/config.json"))
    workflow.configured(*FETCH)
    assert len(served.asked_for("/config.json")) == before
    assert (workflow.folder / "data/models/bert/model.safetensors").is_file()


def test_a_fine_tuned_model_comes_from_the_hub_with_its_head(served, workflow):
    """Half precision, the tokenizer from the encoder that it was made from."""
    folder = workflow.folder / "served" / "fine-tuned"
    model = given.fine_tuned(folder, [*given.LABELS], steps=20).half()
    model.save_pretrained(folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    served.add("models", "me/fine-tuned", folder)
    served.add("models", "me/encoder", tiny.save_model(workflow.folder / "served/encoder", "bert"))
    changes = {
        "study": {"models": ["mine"], "tasks": ["opinions"], "analyses": ["truncation"]},
        "models": {
            "mine": {
                "checkpoints": [{"source": "hub:me/fine-tuned", "revision": "main"}],
                "pretrained": "hub:me/encoder",
                "architecture": "bert",
            }
        },
        "tasks": {"opinions": given.task(workflow.folder / "opinions")},
    }
    run = workflow.folder / "results/net/runs/mine_opinions/full/seed1"
    workflow.configured(str(run / "predictions.parquet").removeprefix(f"{workflow.folder}/"),
                        "--cores", "2", **changes)  # fmt: skip
    about = json.loads((workflow.folder / "data/given/mine/1/source.json").read_text())
    assert about["revision"] == "main" and len(about["commit"]) == 40
    assert about["head"] == ["classifier.bias", "classifier.weight"]
    record = json.loads((run / "run.json").read_text())
    assert record["model_source"] == about and record["given"] is True
    log = next((workflow.folder / "results/net/logs/adopt").iterdir()).read_text()
    assert "has no tokenizer: using that of data/models/mine" in log
