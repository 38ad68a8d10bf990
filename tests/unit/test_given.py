"""Entries of models that are already fine-tuned, and what their studies leave out."""

import pytest

from helpers import tiny
from helpers.configs import PAPER, STUDIES, merged, problems
from helpers.folders import with_config
from strata.study.config import check_config
from strata.study.given import analyses_of, left_out, seeds_of, shared_seeds
from strata.study.recipes import (
    architecture_of,
    encoder_facts,
    head_style,
    training_settings,
)

ENTRY = {
    "checkpoints": ["hub:me/a", {"source": "hub:me/b", "revision": "v2"}],
    "pretrained": "hub:FacebookAI/roberta-base",
    "architecture": "roberta",
}
FIGURE = {"model": "roberta", "task": "tickets"}
TICKETS = {
    "source": "path:data",
    "type": "classification",
    "texts": ["text"],
    "label": "queue",
    "labels": ["billing", "other"],
    "splits": {"train": "train.csv", "eval": "dev.csv"},
    "metric": "accuracy",
}


def study(entry: dict | None = None, task: dict | None = None, **changes) -> dict:
    """The paper's config with a study of one given model on one task."""
    base = {
        "study": {"models": ["support"], "tasks": ["tickets"], "analyses": ["cka", "truncation"]},
        "models": {"support": ENTRY if entry is None else entry},
        "tasks": {"tickets": TICKETS if task is None else task},
    }
    return merged(merged(PAPER, base), changes)


def without(entry: dict, *keys: str) -> dict:
    return {key: value for key, value in entry.items() if key not in keys}


def test_a_studys_keys_for_other_models_are_not_read():
    """They are config.yaml's, into which the study's own file is merged."""
    config = check_config(study())
    assert config["study"]["skipping"] == ["support"]
    assert config["study"]["figure1"] == {"model": "support", "task": "tickets"}
    assert seeds_of(config, "support") == [1, 2]
    assert check_config(config) == config


def test_text_and_mappings_say_where_a_checkpoint_is():
    entry = check_config(study())["models"]["support"]
    assert entry["checkpoints"] == [{"source": "hub:me/a"}, ENTRY["checkpoints"][1]]
    assert entry["pretrained"] == {"source": "hub:FacebookAI/roberta-base"}


def test_max_length_is_that_of_the_model_unless_its_entry_says_another():
    config = check_config(study())
    assert training_settings(config, "support", "tickets")["max_length"] == "auto"
    assert training_settings(config, "roberta", "rte")["max_length"] == 256
    own = check_config(study({**ENTRY, "training": {"max_length": 100}}))
    assert training_settings(own, "support", "tickets")["max_length"] == 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"models": {"support": {"source": "hub:a/b"}}},
            "models.support: give either 'source' (an encoder to fine-tune) or 'checkpoints' "
            + "(models that are already fine-tuned).",
        ),
        (
            {"models": {"support": {"revision": "main"}}},
            "models.support.revision: give this key for each checkpoint (checkpoints: "
            + "[{source: ..., revision: ...}]).",
        ),
        (
            {"models": {"roberta": {"label_map": {"a": "b", "c": "d"}}}},
            "models.roberta.label_map: only models with 'checkpoints' have this key, and this one "
            + "has none.",
        ),
        (
            {"study": {"models": ["support", "roberta"]}},
            "study.models: 'support' is already fine-tuned and 'roberta' is not; a study has "
            + "models of one kind.",
        ),
        (
            {"study": {"tasks": ["tickets", "rte"]}},
            "study.tasks: 'support' is already fine-tuned for one task: name only that task.",
        ),
        (
            {"models": {"support": {"checkpoints": ["ftp://x"]}}},
            "models.support.checkpoints.0: 'ftp://x' is not allowed; allowed is text that matches "
            + "^(hub:[^/]+/[^/]+|path:.+|pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.]+)\\Z.",
        ),
        (
            {"models": {"support": {"checkpoints": []}}},
            "models.support.checkpoints: [] is not allowed; allowed is 1 or more entries.",
        ),
    ],
)
def test_what_such_an_entry_may_not_be_is_said(changes, sentence):
    assert problems(study(**changes)) == [sentence]


@pytest.mark.parametrize("place", ["pypi:a==1", {"source": "pypi:a==1"}])
def test_a_packages_checkpoint_is_pinned(place):
    (sentence,) = problems(study({**ENTRY, "checkpoints": [place]}))
    assert sentence == "models.support.checkpoints.0: sha256, inside are missing."


def test_labels_are_mapped_where_they_have_names():
    task = {**TICKETS, "type": "regression", "metric": "pearson"}
    del task["labels"]
    entry = {**ENTRY, "label_map": {"a": "b", "c": "d"}}
    (sentence,) = problems(without_labels(study(entry, task)))
    assert sentence == "models.support.label_map: the labels of task 'tickets' have no names."


def without_labels(config: dict) -> dict:
    config["tasks"]["tickets"].pop("labels", None)
    return config


def test_a_local_checkpoint_says_what_the_model_is(tmp_path):
    """Whatever else is on a hub: this is the README's example with its encoder."""
    tiny.save_model(tmp_path, "roberta")
    entry = {"checkpoints": [f"path:{tmp_path}"], "pretrained": "hub:FacebookAI/roberta-base"}
    config = check_config(study(entry))
    assert encoder_facts(config, "support") == (4, False)
    assert architecture_of(config, "support") == "roberta"


def test_a_local_checkpoint_of_adapters_is_refused_by_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (sentence,) = problems(study({"checkpoints": [f"path:{tmp_path}"]}))
    assert f"{tmp_path} holds adapters (adapter_config.json), not a whole model" in sentence


def test_heads_of_given_models_have_their_own_style(tmp_path):
    tiny.save_model(tmp_path, "distilbert")
    config = study({"checkpoints": [f"path:{tmp_path}"]}, heads={"style": "jiant"})
    config["study"]["analyses"] = ["export"]
    assert head_style(check_config(config), "tickets", "support") == "transformers"
    with_config(strata_head="jiant")(tmp_path)
    (sentence,) = problems(config)
    assert "a head of style 'jiant' on distilbert cannot be exported" in sentence


def test_a_local_checkpoint_is_looked_at_where_the_study_is_planned(tmp_path):
    entry = without({**ENTRY, "checkpoints": [f"path:{tmp_path}"]}, "architecture")
    (sentence,) = problems(study(entry))
    assert sentence.startswith(f"models.support.checkpoints.0: {tmp_path} has no config.json")


def test_train_examples_are_asked_for_where_something_is_trained():
    eval_alone = {**TICKETS, "splits": {"eval": "dev.csv"}}
    check_config(study(task=eval_alone))
    trained = {"models": ["roberta"], "skipping": [], "figure1": FIGURE}
    (sentence,) = problems(study(task=eval_alone, study=trained))
    assert sentence == "tasks.tickets.splits: train is missing, and roberta is trained on it."
    held = without({**TICKETS, "splits": {}, "holdout": {"fraction": 0.1}})
    assert len(problems(study(task=held))) == 1


def test_checkpoints_of_several_models_share_the_seeds_that_both_have():
    other = {**ENTRY, "checkpoints": ["hub:me/c"]}
    config = study(study={"models": ["support", "other"]}, models={"other": other})
    assert shared_seeds(check_config(config), "support", "other") == [1]


def test_the_study_to_be_copied_is_right_but_for_its_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = merged(PAPER, STUDIES["mine"])
    (sentence,) = problems(config)
    assert sentence == (
        "models.support.checkpoints.0: models/support-a has no config.json: a model folder in the "
        "Hugging Face layout has one next to its weights and tokenizer."
    )
    tiny.save_model(tmp_path / "models/support-a", "roberta")
    checked = check_config(config)
    assert len(left_out(checked)) == 2 and encoder_facts(checked, "support") == (4, False)


def test_nothing_is_left_out_of_a_study_that_has_everything():
    assert left_out(check_config(study())) == []
    assert left_out(check_config(PAPER)) == []


@pytest.mark.parametrize(
    ("entry", "task", "analyses", "words"),
    [
        (without(ENTRY, "pretrained"), TICKETS, ["cka"], ["support is registered without"]),
        (ENTRY, {**TICKETS, "splits": {"eval": "x.csv"}}, ["cka"], ["no TUNED, no TUNEDORIG"]),
        (ENTRY, TICKETS, ["reinit", "cka"], ["reinit: left out"]),
        (
            ENTRY,
            {**TICKETS, "splits": {"eval": "x.csv"}},
            ["exits"],
            ["no TUNED", "exits: left out"],
        ),
        (ENTRY, TICKETS, ["variability"], ["no models are trained to judge"]),
        (
            ENTRY,
            {**TICKETS, "splits": {"train": "x.csv"}, "holdout": {"fraction": 0.1}},
            ["cka"],
            ["Warning: the eval examples of tickets are held out of its train split"],
        ),
    ],
)
def test_what_a_study_goes_without_is_said_by_name(entry, task, analyses, words):
    config = study(entry, task)
    config["study"]["analyses"] = analyses
    config["tasks"]["tickets"] = task
    lines = left_out(check_config(config))
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line


def test_training_after_the_cut_without_train_examples_is_said_to_be_left_out():
    bare = study(task={**TICKETS, "splits": {"eval": "x.csv"}})
    trained = merged(bare, {"frontier": {"training": {"sizes": [2]}}})
    new = set(left_out(check_config(trained))) - set(left_out(check_config(bare)))
    assert new == {
        "frontier.training: left out, since training after the cut needs 'splits.train'."
    }


def test_claims_read_no_analysis_that_needs_runs_of_our_own():
    config = study()
    config["study"]["analyses"] = ["cka", "reinit", "variability", "claims"]
    assert analyses_of(check_config(config)) == ["cka", "claims"]
    assert analyses_of(check_config(PAPER)) == PAPER["study"]["analyses"]
