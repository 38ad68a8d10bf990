"""Bad input, through the workflow: one sentence in the output, and nothing left behind."""

import re

import pytest
import yaml

from helpers import tiny
from helpers.workflows import RECIPE, Workflow, copy_workflow, impatient, write_tasks


@pytest.fixture(scope="module")
def workflow(tmp_path_factory, planner, jobs) -> Workflow:
    """One model and one task, with nothing run yet."""
    folder = tmp_path_factory.mktemp("refusals")
    study = {
        "outdir": "results/bad",
        "study": {"models": ["bert"], "tasks": ["entail"], "seeds": [1], "skipping": []},
        "models": {"bert": {"source": f"path:{tiny.save_model(folder / 'bert', 'bert')}"}},
        "tasks": write_tasks(folder / "tasks"),
        **RECIPE,
    }
    study["study"]["figure1"] = {"model": "bert", "task": "entail"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    workflow = Workflow(copy_workflow(folder / "workflow"), folder, planner, jobs)
    impatient(workflow.code)
    return workflow


def refused(workflow, target, **changes) -> str:
    done = workflow.configured(target, "--cores", "1", check=False, **changes)
    assert done.returncode
    hidden = {path.name for path in (workflow.folder / "data").rglob(".*")}
    assert hidden <= {".snakemake_timestamp"}, "something half-written is left"
    return done.stdout + done.stderr


def test_an_unknown_label_names_file_row_and_column(workflow):
    changes = {"tasks": {"entail": {"labels": ["yes", "maybe"]}}}
    text = refused(workflow, "data/tasks/entail/task.json", **changes)
    log = r"\n  Log: results/bad/logs/fetch_task/entail.log\n"
    told = rf"Failed: Fetch task entail\n  .*pairs.jsonl, row \d+, .*unknown label 'no'.*{log}"
    assert re.search(told, text)
    assert not re.search(r"Traceback|CalledProcessError|\.snakemake/scripts", text)
    assert not (workflow.folder / "data/tasks/entail/task.json").exists()


def test_a_missing_column_names_those_there_are(workflow):
    text = refused(
        workflow, "data/tasks/entail/task.json", tasks={"entail": {"texts": ["premise", "hyp"]}}
    )
    assert "has no column 'hyp'; it has premise, hypothesis, label" in text


def test_an_eval_split_too_small_to_compare_representations_on_is_refused(workflow):
    """Before any training; and a useless task is not left behind."""
    (workflow.folder / "tasks" / "few.jsonl").write_text(
        '{"premise": "w1", "hypothesis": "w2", "label": "yes"}\n'
        '{"premise": "w3", "hypothesis": "w4", "label": "no"}\n'
    )
    splits = {"splits": {"eval": "few.jsonl"}}
    text = refused(workflow, "data/tasks/entail/task.json", tasks={"entail": splits})
    assert "Task 'entail' has 2 eval examples, and needs 4 or more" in text
    assert not (workflow.folder / "data/tasks/entail/task.json").exists()


def test_an_unreachable_hub_says_what_to_do(workflow, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(workflow, "jobs", None)  # it is read as a library is imported
    source = {"source": "hub:nobody/nothing", "revision": "main"}
    text = refused(workflow, "data/models/far", models={"far": source})
    assert "the hub cannot be reached for nobody/nothing" in text
    assert not (workflow.folder / "data/models/far").exists()


def test_an_unsupported_local_model_is_refused_while_planning(workflow):
    folder = workflow.folder / "gpt"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "t5"}')
    done = workflow.configured(
        "--dry-run", check=False, models={"bert": {"source": f"path:{folder}"}}
    )
    assert done.returncode
    assert "Model 'bert' is of type 't5'; supported are albert, arcee" in done.stdout + done.stderr


def test_a_head_that_no_plain_class_holds_is_refused_where_its_export_is_planned(workflow):
    """Requested by the config or as a target."""
    wanted = {"heads": {"style": "jiant-pooler"}}
    sentence = (
        "bert on entail: a head of style 'jiant-pooler' on bert cannot be exported: no class "
        "of Transformers has both that and a pooler before it; set heads.style to transformers"
    )
    done = workflow.configured("--dry-run", check=False, study={"analyses": ["export"]}, **wanted)
    assert done.returncode
    assert f"study.analyses: export of {sentence}" in done.stdout + done.stderr
    for target in ("export", "results/bad/export/bert_entail/depth2"):
        text = refused(workflow, target, study={"analyses": []}, **wanted)
        assert sentence in " ".join(text.split())


def test_a_model_too_short_for_max_length_is_refused(workflow):
    target = "results/bad/runs/bert_entail/full/seed1/metrics.json"
    text = refused(workflow, target, training={"max_length": 65})
    assert "max_length is 65, but the model (bert) has 64 positions" in text
    assert not (workflow.folder / "results/bad/runs/bert_entail/full/seed1/checkpoint").exists()
