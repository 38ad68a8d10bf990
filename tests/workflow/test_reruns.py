"""What a change reruns, read off dry runs of the finished study: the table of docs/reruns.md."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from helpers.workflows import Workflow, copy_workflow

DRAWING = {
    "explorer",
    "plot_cka",
    "plot_controls",
    "plot_truncation",
    "plot_skipping",
    "plot_calibration",
    "plot_exits",
    "plot_claims",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
}


# Outputs that contain every model's or task's results.
JOINING = DRAWING | {"tabulate_summary", "tabulate_cka_models", "judge_claims"}


@pytest.fixture
def edited(study, tmp_path):
    """The finished study, planned by another copy of the workflow that the test may edit."""
    code = copy_workflow(tmp_path / "workflow", study.code)
    return Workflow(code, study.folder, study.planner)


def edit(workflow: Workflow, file: str, old: str, new: str) -> None:
    path = workflow.code / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rules(planned) -> set[str]:
    return {rule for rule, _ in planned}


def test_a_finished_study_has_nothing_to_do(study):
    assert study.planned() == []


def test_a_comment_or_docstring_reruns_nothing(edited):
    library, script = "workflow_scripts/strata/modeling/loading.py", "workflow_scripts/finetune.py"
    edit(edited, library, "def load_model(", "# Why.\ndef load_model(")
    edit(edited, script, '"""Fine-tune one run', '"""Train one run')
    assert edited.planned() == []


def test_a_message_reruns_nothing(edited):
    batches = "workflow_scripts/strata/data/batches.py"
    edit(edited, batches, "The GPU's memory does not hold", "The GPU cannot hold")
    edit(edited, "workflow_scripts/strata/sources/rows.py", "is not a number", "is no number")
    edit(edited, "workflow_scripts/strata/runtime/progress.py", "{clock(left)} left", "{left} s")
    assert edited.planned() == []


def test_a_row_that_is_added_to_a_registry_reruns_nothing(edited):
    study = "workflow_scripts/strata/study"
    edit(
        edited,
        f"{study}/architectures.py",
        '    "bert": Arch',
        '    "new": Architecture("encoder.layer"),\n    "bert": Arch',
    )
    edit(
        edited,
        f"{study}/metrics.py",
        '    "f1": Metric(',
        '    "new": Metric(CLASSES, f1, counted_f1),\n    "f1": Metric(',
    )
    edit(
        edited, f"{study}/task_types.py", "TASK_TYPES = {", 'TASK_TYPES = {\n    "new": TaskType(),'
    )
    assert edited.planned() == []


def test_a_row_that_is_edited_reruns_its_jobs(edited):
    """A model's architecture entry does not affect its download or other models."""
    edit(
        edited,
        "workflow_scripts/strata/study/architectures.py",
        '"electra": Architecture("encoder.layer")',
        '"electra": Architecture("encoder.layer", shares_layers=False)',
    )
    planned = edited.planned()
    assert {"finetune", "dump_eval", "tune_heads"} <= rules(planned)
    assert not rules(planned) & {"fetch_model", "fetch_task", "tokenize_task"}
    for rule, output in planned:
        assert "electra" in output or rule in JOINING | {"compare_models"}, output


def test_a_metrics_formula_scores_again_and_trains_nothing(edited):
    metrics = "workflow_scripts/strata/study/metrics.py"
    edit(edited, metrics, "(labels == predictions).mean()", "1 - (labels != predictions).mean()")
    planned = edited.planned()
    assert {"score_run", "score_untuned", "skip_spans", "summarise"} <= rules(planned)
    assert not rules(planned) & {"finetune", "dump_eval", "compare_states"}
    for rule, output in planned:  # the regression's metric is another
        assert "goodness" not in output, (rule, output)


def test_a_changed_formula_reruns_what_it_feeds(edited):
    edit(edited, "workflow_scripts/strata/analysis/cka.py", "n / (n - 2)", "n / (n - 2.0)")
    planned = rules(edited.planned())
    assert {"compare_states", "compare_models", "tabulate_cka", "figure2"} <= planned
    assert not planned & {"finetune", "dump_eval", "tune_heads", "tabulate_summary"}


def test_restyling_a_figure_only_draws(edited):
    edit(edited, "workflow_scripts/strata/figures/style.py", "FONT_SIZE = 7", "FONT_SIZE = 8")
    planned = rules(edited.planned())
    assert planned == DRAWING - {"explorer"}  # whose letters are a browser's


def test_another_estimator_only_draws(study):
    planned = rules(study.planned(cka={"estimator": "biased"}))
    assert planned and planned <= DRAWING


def test_the_mean_of_the_seeds_only_draws(study):
    planned = rules(study.planned(cka={"seeds": "mean"}))
    assert planned and planned <= DRAWING


def test_more_half_samples_compare_again_and_run_no_model(study):
    planned = rules(study.planned(cka={"resamples": 50}))
    assert {"compare_states", "compare_models", "tabulate_cka", "figure2"} <= planned
    assert not planned & {"finetune", "dump_eval", "tune_heads", "tabulate_truncation"}


def test_a_title_only_draws(study):
    planned = rules(study.planned(tasks={"entail": {"title": "Entailment"}}))
    assert planned and planned <= DRAWING | {"export_model"}


def test_a_tasks_parameter_reruns_that_tasks_jobs_alone(study):
    planned = study.planned(tasks={"entail": {"training": {"learning_rate": 0.001}}})
    assert {"finetune", "compare_models", "export_model"} <= rules(planned)
    assert "fetch_task" not in rules(planned)
    for rule, output in planned:
        assert "entail" in output or rule in JOINING, output


def test_head_settings_retrain_no_encoder(study):
    planned = rules(study.planned(heads={"steps": 61}))
    assert {"tune_heads", "tune_fresh_heads", "dump_train"} <= planned
    assert not planned & {"finetune", "dump_eval", "score_untuned", "compare_states"}


def test_another_style_of_heads_fine_tunes_again_and_what_has_no_head_stays(study):
    planned = study.planned(tasks={"endings": {"heads": {"style": "jiant"}}})
    costly = {"finetune", "score_untuned", "tune_heads", "tune_fresh_heads", "skip_spans"}
    assert costly | {"compare_states", "export_model"} <= rules(planned)
    assert not rules(planned) & {"fetch_model", "fetch_task", "tokenize_task"}
    for rule, output in planned:
        assert "endings" in output or rule in JOINING, output
        if rule == "dump_eval":
            assert "pretrained" not in output, output


def test_a_new_task_runs_only_its_own_jobs(study):
    config = yaml.safe_load((study.folder / "study.yaml").read_text())
    everything = [*config["study"]["tasks"], "new"]
    planned = study.planned(tasks={"new": config["tasks"]["entail"]}, study={"tasks": everything})
    assert {"fetch_task", "finetune"} <= rules(planned)
    for rule, output in planned:
        assert "new" in output or rule in JOINING, output


def test_a_third_seed_reruns_nothing_of_the_first_two(study):
    planned = study.planned(study={"seeds": [1, 2, 3]})
    costly = {
        "finetune",
        "dump_eval",
        "tune_heads",
        "skip_spans",
        "compare_states",
        "measure_controls",
    }
    assert costly <= rules(planned)
    for rule, output in planned:
        if rule in costly | {"score_untuned", "compare_models"}:
            assert "seed3" in output, output
        elif rule == "dump_train":
            # Fresh heads need the pretrained encoder's (temporary) train activations again, and
            # those of the first seeds are then tuned again along with the third's.
            assert "seed3" in output or "pretrained" in output, output


def test_an_unknown_key_is_refused_while_planning(study):
    done = study.configured("--dry-run", check=False, training={"max_step": 3})
    assert done.returncode and "training: there is no key 'max_step'" in done.stdout + done.stderr


def test_a_deleted_figure_is_drawn_again_from_what_is_there(own_study, tmp_path):
    results = own_study.folder / "results/tiny"
    kept = [results / "cka" / f"roberta_entail.{kind}" for kind in ("csv", "png")]
    for path in kept:
        shutil.move(path, tmp_path / path.name)
    try:
        read_by = {"tabulate_cka", "measure_claims", "judge_claims"}
        assert {"tabulate_cka", "plot_cka"} <= rules(own_study.planned()) <= read_by | DRAWING
    finally:
        for path in kept:
            shutil.move(tmp_path / path.name, path)


def test_more_train_examples_retune_the_heads(study):
    planned = rules(study.planned(evaluation={"max_train_examples": 97}))
    assert {"dump_train", "tune_heads", "tune_fresh_heads"} <= planned
    assert not planned & {"finetune", "dump_eval", "score_untuned", "compare_states"}


def test_a_training_parameter_of_all_retrains_all_and_fetches_nothing(study):
    planned = rules(study.planned(training={"learning_rate": 0.001}))
    assert {"finetune", "dump_eval", "compare_states", "tune_heads", "export_model"} <= planned
    assert not planned & {"fetch_model", "fetch_task", "tokenize_task"}


def test_another_column_of_a_task_reruns_all_of_that_task_alone(study):
    planned = study.planned(tasks={"entail": {"texts": ["hypothesis", "premise"]}})
    assert {"fetch_task", "tokenize_task", "finetune"} <= rules(planned)
    for rule, output in planned:
        assert "entail" in output or rule in JOINING, output


def test_a_new_model_runs_only_its_own_jobs(study):
    config = yaml.safe_load((study.folder / "study.yaml").read_text())
    everything = [*config["study"]["models"], "new"]
    planned = study.planned(
        models={"new": config["models"]["roberta"]}, study={"models": everything}
    )
    assert {"fetch_model", "finetune", "compare_models"} <= rules(planned)
    for rule, output in planned:
        assert "new" in output or rule in JOINING, output


def test_another_confidence_scores_again_and_runs_no_model(study):
    planned = rules(study.planned(summary={"confidence": 0.9}))
    assert {"score_run", "summarise"} <= planned
    assert not planned & {"finetune", "dump_eval", "tune_heads", "skip_spans", "compare_states"}


def test_other_eval_examples_retrain_nothing(study):
    planned = rules(study.planned(evaluation={"max_eval_examples": 50}))
    assert {"dump_eval", "score_run", "compare_states", "skip_spans"} <= planned
    assert not planned & {"finetune", "tokenize_task", "fetch_task"}


def test_how_often_checkpoints_are_saved_reruns_nothing(study):
    assert study.planned(resume={"save_minutes": 1}) == []


def test_an_upgraded_library_reruns_nothing(edited):
    lock = edited.code / "envs" / "requirements.txt"
    lock.write_text(lock.read_text().replace("transformers==", "transformers==99."))
    assert edited.planned() == []


@pytest.fixture
def restored():
    """Files that a test may touch or edit; afterwards they are restored."""
    kept = {}

    def keep(path: Path) -> Path:
        stat = path.stat()
        kept[path] = path.read_bytes(), (stat.st_atime_ns, stat.st_mtime_ns)
        return path

    yield keep
    for path, (content, times) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=times)


@pytest.mark.parametrize(
    "file",
    (
        "source/tasks/pairs.jsonl",
        "source/roberta/model.safetensors",
        "data/tasks/entail/train.parquet",
        "data/models/roberta/config.json",
        "results/tiny/tokens/roberta_entail/train.arrow",
        "results/tiny/activations/roberta_entail/eval/full-seed1.h5",
    ),
)
def test_a_file_that_was_only_touched_reruns_nothing(file, own_study, restored):
    os.utime(restored(own_study.folder / file))
    assert own_study.planned() == []


def test_an_edited_source_file_reruns_its_task_alone(own_study, restored):
    path = restored(own_study.folder / "source" / "tasks" / "pairs.jsonl")
    path.write_text(path.read_text().replace("w1 ", "w2 "))
    planned = own_study.planned()
    assert {"fetch_task", "tokenize_task", "finetune"} <= rules(planned)
    for rule, output in planned:
        assert "entail" in output or rule in JOINING, output


def test_an_edited_source_model_reruns_that_model(own_study, restored):
    path = restored(own_study.folder / "source" / "electra" / "tokenizer_config.json")
    path.write_text(path.read_text() + "\n")
    planned = own_study.planned()
    assert {"fetch_model", "finetune"} <= rules(planned)
    for rule, output in planned:
        assert "electra" in output or rule in JOINING | {"compare_models"}, output


def test_sources_that_are_gone_rerun_nothing(own_study):
    source, away = own_study.folder / "source", own_study.folder / "away"
    source.rename(away)
    try:
        assert own_study.planned() == []
    finally:
        away.rename(source)
