"""What a change reruns, read off dry runs of the finished study."""

import shutil

import pytest
from conftest import Workflow, copy_workflow

DRAWING = {
    "plot_cka",
    "plot_truncation",
    "plot_skipping",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
}


@pytest.fixture
def edited(study, tmp_path):
    """The finished study, planned by another copy of the workflow, that the test may edit."""
    code = copy_workflow(tmp_path / "workflow")
    return Workflow(code, study.folder)


def edit(workflow: Workflow, file: str, old: str, new: str) -> None:
    path = workflow.code / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rules(planned) -> set[str]:
    return {rule for rule, _ in planned} - {"all"}


def test_a_finished_study_has_nothing_to_do(study):
    assert study.planned() == []


def test_a_comment_or_docstring_reruns_nothing(edited):
    edit(edited, "workflow_scripts/strata/models.py", "def load_model(", "# Why.\ndef load_model(")
    edit(edited, "workflow_scripts/finetune.py", '"""Fine-tune one run', '"""Train one run')
    assert edited.planned() == []


def test_a_changed_formula_reruns_what_it_feeds(edited):
    edit(edited, "workflow_scripts/strata/similarity.py", "n / (n - 2)", "n / (n - 2.0)")
    planned = rules(edited.planned())
    assert {"compare_states", "compare_models", "cka", "figure2"} <= planned
    assert not planned & {"finetune", "dump_eval", "tune_heads", "summary"}


def test_restyling_a_figure_only_draws(edited):
    edit(edited, "workflow_scripts/strata/figures.py", "FONT_SIZE = 7", "FONT_SIZE = 8")
    planned = rules(edited.planned())
    assert planned == DRAWING


def test_another_estimator_only_draws(study):
    planned = rules(study.planned(cka={"estimator": "biased"}))
    assert planned and planned <= DRAWING


def test_a_title_only_draws(study):
    planned = rules(study.planned(tasks={"entail": {"title": "Entailment"}}))
    assert planned and planned <= DRAWING | {"export"}


def test_a_tasks_parameter_reruns_that_tasks_jobs_alone(study):
    planned = study.planned(tasks={"entail": {"training": {"learning_rate": 0.001}}})
    tasks = {wildcards["task"] for _, wildcards in planned if "task" in wildcards}
    assert tasks == {"entail"}
    assert "finetune" in rules(planned) and "fetch_task" not in rules(planned)


def test_head_settings_retrain_no_encoder(study):
    planned = rules(study.planned(heads={"steps": 61}))
    assert {"tune_heads", "tune_fresh_heads", "dump_train"} <= planned
    assert not planned & {"finetune", "dump_eval", "score_untuned", "compare_states"}


def test_a_new_task_runs_only_its_own_jobs(study):
    entry = dict(study_config(study)["tasks"]["entail"], title="New")
    everything = [*study_config(study)["study"]["tasks"], "new"]
    planned = study.planned(tasks={"new": entry}, study={"tasks": everything})
    tasks = {wildcards["task"] for _, wildcards in planned if "task" in wildcards}
    assert tasks == {"new"}
    assert rules([p for p in planned if "task" not in p[1]]) <= DRAWING | {"summary"}


def test_a_third_seed_reruns_nothing_of_the_first_two(study):
    planned = study.planned(study={"seeds": [1, 2, 3]})
    costly = {"finetune", "dump_eval", "dump_train", "tune_heads", "skip_spans", "compare_states"}
    for rule, wildcards in planned:
        if rule in costly:
            of_the_new_one = "3" in str(wildcards)
            assert of_the_new_one or wildcards.get("state") == "pretrained", (rule, wildcards)
    assert costly <= rules(planned)


def test_an_unknown_key_is_refused_while_planning(study):
    done = study.configured("--dry-run", check=False, training={"max_step": 3})
    assert done.returncode and "training: there is no key 'max_step'" in done.stdout + done.stderr


def study_config(study) -> dict:
    import yaml

    return yaml.safe_load((study.folder / "study.yaml").read_text())


def test_a_deleted_table_is_rebuilt_from_what_is_there(study, results, tmp_path):
    path = results / "cka" / "roberta_entail.csv"
    shutil.move(path, tmp_path / "kept.csv")
    try:
        assert "cka" in rules(study.planned())
        assert not rules(study.planned()) & {"finetune", "dump_eval", "compare_states"}
    finally:
        shutil.move(tmp_path / "kept.csv", path)
