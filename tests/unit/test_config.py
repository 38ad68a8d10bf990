"""The config: the studies pass, defaults are filled in, every refusal names key, value, choice."""

import json
from copy import deepcopy

import pytest
import yaml

from helpers.configs import (
    DEMO,
    PAPER,
    RTE,
    STUDIES,
    changed,
    merged,
    problems,
    without,
)
from strata.runtime.errors import StrataError
from strata.study.architectures import check_declared
from strata.study.config import SCHEMA, check_config
from strata.study.metrics import METRICS, metrics_for
from strata.study.plans import layer_blocks, reinit_runs
from strata.study.recipes import (
    ablation_settings,
    architecture_of,
    encoder_facts,
    exported_style,
    head_settings,
    head_style,
    reinit_models,
    reinit_settings,
    sampling,
    source_description,
    titles,
    training_settings,
)
from strata.study.task_types import TASK_TYPES
from strata.study.variants import Variant

EITHER = (
    "give either 'source' (an encoder to fine-tune) or 'checkpoints' (models that are already "
    "fine-tuned)."
)
# All except the one that is meant to be copied: its paths belong to somebody else.
WHOLE = {name: study for name, study in STUDIES.items() if name != "mine"}

# ---------------------------------------------------------------- what passes


@pytest.mark.parametrize("study", [{}, *WHOLE.values()], ids=["paper", *WHOLE])
def test_studies_pass_and_their_values_stand(study):
    config = merged(PAPER, study)
    before = deepcopy(config)
    checked = check_config(config)
    assert config == before
    assert merged(checked, config) == checked


@pytest.mark.parametrize(
    "path", ["evaluation", "cka", "cka.estimator", "variability.lora", "summary", "study.analyses"]
)
def test_what_config_yaml_holds_is_missed_where_it_is_not(path):
    """Every study is merged into config.yaml, the one home of these defaults."""
    section, _, key = path.rpartition(".")
    assert problems(without(PAPER, path)) == [f"{section or 'the config'}: {key} is missing."]


def test_figure_1_is_by_default_of_the_first_model_and_task():
    checked = check_config(without(PAPER, "study.figure1"))
    assert checked["study"]["figure1"] == {"model": "roberta", "task": "cola"}


def test_no_default_has_two_homes():
    schema = yaml.safe_load(SCHEMA.read_text())

    def homes(part, value, path):
        if "$ref" in part:
            part = part | schema["$defs"][part["$ref"].rpartition("/")[2]]
        for key, inner in part.get("properties", {}).items():
            here = value.get(key) if isinstance(value, dict) else None
            if "default" in inner and here is not None:
                yield ".".join((*path, key))
            yield from homes(inner, here, (*path, key))

    assert list(homes(schema, PAPER, ())) == []


def test_holdout_is_seeded_by_default():
    config = merged(PAPER, DEMO)
    del config["tasks"]["polarity"]["holdout"]["seed"]
    assert check_config(config)["tasks"]["polarity"]["holdout"] == {"fraction": 0.1, "seed": 0}


def test_filled_defaults_are_not_shared():
    config = merged(PAPER, DEMO)
    for task in ("polarity", "valence"):
        del config["tasks"][task]["holdout"]["seed"]
    one, two = check_config(config), check_config(config)
    one["tasks"]["polarity"]["holdout"]["seed"] = 5
    assert two["tasks"]["polarity"]["holdout"]["seed"] == 0


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("nope", 1, "the config: there is no key 'nope'; allowed are outdir, study, models, tasks"),
        ("study.nope", 1, "study: there is no key 'nope'; allowed are models, tasks, seeds,"),
        ("training.steps", 1, "training: there is no key 'steps'; allowed are max_steps,"),
        ("heads.converged.rate", 1, "heads.converged: there is no key 'rate'; allowed are learn"),
        ("models.roberta.depth", 1, "models.roberta: there is no key 'depth'; allowed are tit"),
        ("variants.Probe", {}, "variants: 'Probe' is not a name"),
        ("variants.probe*", {"lr": 1}, "variants.probe*: there is no key 'lr'; allowed are max"),
        ("reinit.scheme", "new", "reinit.scheme: 'new' is not allowed; allowed is one of paper,"),
        ("reinit.localized.block", 0, "reinit.localized.block: 0 is not allowed; allowed is at"),
        ("reinit.progressive.sizes", ["most"], "reinit.progressive.sizes.0: 'most' is not allow"),
        ("variability.top", [0], "variability.top.0: 0 is not allowed; allowed is at least 1."),
        ("training.eval_steps", "never", "training.eval_steps: 'never' is not allowed"),
        ("tasks.rte.text", 1, "tasks.rte: there is no key 'text'; allowed are label, title,"),
        ("tasks.rte.splits.dev", "x", "tasks.rte.splits: there is no key 'dev'; allowed are tr"),
        ("tasks.rte.training.lr", 1, "tasks.rte.training: there is no key 'lr'; allowed are max"),
        ("models.Ro_BERTa.source", "hub:a/b", "models: 'Ro_BERTa' is not a name: use lower-case"),
        ("tasks.my task", RTE, "tasks: 'my task' is not a name: use lower-case letters, digits"),
        ("training.max_steps", 0, "training.max_steps: 0 is not allowed; allowed is at least 1."),
        ("training.learning_rate", 0, "learning_rate: 0 is not allowed; allowed is above 0."),
        ("training.learning_rate", 2, "learning_rate: 2 is not allowed; allowed is at most 1."),
        ("training.learning_rate", "1e-5", "'1e-5' is not allowed; allowed is number."),
        ("training.max_steps", True, "max_steps: True is not allowed; allowed is integer."),
        ("training.max_steps", 2.5, "max_steps: 2.5 is not allowed; allowed is integer."),
        ("training.checkpoint", "first", "'first' is not allowed; allowed is one of last, best."),
        ("study.seeds", [1, -1], "study.seeds.1: -1 is not allowed; allowed is at least 0."),
        ("study.seeds", [1, 1], "study.seeds: [1, 1] is not allowed; allowed is entries that dif"),
        ("study.seeds", [], "study.seeds: [] is not allowed; allowed is 1 or more entries."),
        ("study.models", "roberta", "study.models: 'roberta' is not allowed; allowed is array."),
        ("study.analyses", ["ckaa"], "study.analyses.0: 'ckaa' is not allowed; allowed is one of"),
        ("evaluation.max_eval_examples", "all", "'all' is not allowed; allowed is integer or nul"),
        ("evaluation.poolings", ["mean"], "['mean'] is not allowed; allowed is a list that contai"),
        ("summary.confidence", 1, "summary.confidence: 1 is not allowed; allowed is below 1."),
        ("cka.estimator", "unbiased", "cka.estimator: 'unbiased' is not allowed; allowed is one"),
        ("outdir", "/tmp/x", "outdir: '/tmp/x' is not allowed; allowed is text that matches"),
        ("models.roberta.source", "git:x", "models.roberta.source: 'git:x' is not allowed; allo"),
        ("models.roberta.source", "hub:x", "models.roberta.source: 'hub:x' is not allowed; allo"),
        ("models.roberta.source", "pypi:a==1", "models.roberta: sha256, inside are missing."),
        ("tasks.rte.source", "pypi:a==1", "tasks.rte: sha256, inside are missing."),
        ("models.roberta.sha256", "abc", "'abc' is not allowed; allowed is text that matches ^[0"),
        ("tasks.rte.texts", ["a", "b", "c"], "allowed is 2 entries at most."),
        ("tasks.rte.labels", ["yes"], "['yes'] is not allowed; allowed is 2 or more entries."),
        ("tasks.hellaswag.choices", ["a"], "['a'] is not allowed; allowed is 2 or more entries."),
        ("tasks.rte.metric", "bleu", "tasks.rte.metric: 'bleu' is not allowed; allowed is one of"),
        ("models", [], "models: [] is not allowed; allowed is object."),
    ],
)  # fmt: skip
def test_value_outside_the_schema_is_refused(path, value, sentence):
    (found,) = problems(changed(path, value))
    assert sentence in found


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("models", "the config: models is missing."),
        ("study.seeds", "study: seeds is missing."),
        ("training.max_steps", "training: max_steps is missing."),
        ("heads.converged.held_out", "heads.converged: held_out is missing."),
        ("tasks.rte.metric", "tasks.rte: metric is missing."),
        (
            "tasks.rte.splits.train",
            "tasks.rte.splits: train is missing, and roberta is trained on it.",
        ),
        (
            "models.roberta.source",
            f"models.roberta: {EITHER}",
        ),
    ],
)
def test_missing_key_is_named(path, sentence):
    assert problems(without(PAPER, path)) == [sentence]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"study": {"models": ["albert", "roberta", "gpt"]}},
            "study.models: 'gpt' is not registered under 'models'; registered are roberta, albert,",
        ),
        (
            {"study": {"tasks": ["rte", "glue"]}},
            "study.tasks: 'glue' is not registered under 'tasks'; registered are cola, mnli, mrpc,",
        ),
        (
            {"study": {"models": ["albert", "electra"]}},
            "study.skipping: 'roberta' is not among study.models (albert, electra).",
        ),
        (
            {"reinit": {"localized": {"stride": 4}}},
            "reinit.localized.stride: 4 is more than a block's 3 layers, so that layers would be",
        ),
        (
            {"variants": {"probe*": {"max_length": 64}}},
            "variants.probe*.max_length: all variants read the same tokens; set training.max_len",
        ),
        (
            {"reinit": {"models": ["bert"]}},
            "reinit.models: 'bert' is not among study.models.",
        ),
        (
            {"variability": {"tasks": ["snli"]}},
            "variability.tasks: 'snli' is not among study.tasks.",
        ),
        (
            {"study": {"figure1": {"task": "snli"}}},
            "study.figure1.task: 'snli' is not among study.tasks.",
        ),
        (
            {"tasks": {"rte": {"training": {"withhold": 0.1}}}},
            "tasks.rte.training.withhold: applies to the whole study; set training.withhold.",
        ),
        (
            {"models": {"albert": {"training": {"withhold": 0.1}}}},
            "models.albert.training.withhold: applies to the whole study; set training.withhold.",
        ),
        (
            {"variants": {"probe*": {"withhold": 0.1}}},
            "variants.probe*.withhold: applies to the whole study; set training.withhold.",
        ),
        (
            {"cka": {"pooling": "mean"}},
            "cka.pooling: 'mean' is not stored; evaluation.poolings has raw.",
        ),
        (
            {"tasks": {"stsb": {"metric": "mcc"}}},
            "tasks.stsb.metric: 'mcc' does not fit type regression; allowed is one of pearson, ",
        ),
        (
            {"tasks": {"hellaswag": {"metric": "f1"}}},
            "tasks.hellaswag.metric: 'f1' does not fit type multiple-choice; allowed is one of acc",
        ),
        (
            {"tasks": {"rte": {"choices": "a"}}},
            "tasks.rte.choices: multiple-choice tasks need this",
        ),
        (
            {"tasks": {"hellaswag": {"texts": ["a", "b"]}}},
            "tasks.hellaswag.texts: a multiple-choice task has exactly one, the prompt.",
        ),
        ({"tasks": {"stsb": {"labels": ["a", "b"]}}}, "tasks.stsb.labels: classification tasks"),
        (
            {"tasks": {"rte": {"cuts": [{"name": "a"}, {"name": "b"}]}}},
            "tasks.rte.labels: classification tasks have either 'labels' or 'cuts', others neith",
        ),
        (
            {"tasks": {"rte": {"holdout": {"fraction": 0.1}}}},
            "tasks.rte.splits: give either 'splits.eval' or 'holdout'.",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(changes, sentence):
    (found,) = problems(merged(PAPER, changes))
    assert sentence in found


def test_seeds_that_a_model_has_no_run_of_cannot_be_cut():
    found = problems(merged(PAPER, {"frontier": {"seeds": [2, 3]}}))
    assert found == [
        f"frontier.seeds: {m} has no run with seed 3." for m in PAPER["study"]["models"]
    ]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("tasks.rte.splits.eval", "tasks.rte.splits: give either 'splits.eval' or 'holdout'."),
        ("tasks.rte.labels", "tasks.rte.labels: classification tasks have either 'labels' or"),
        ("tasks.hellaswag.choices", "tasks.hellaswag.choices: multiple-choice tasks need this"),
    ],
)
def test_key_that_a_task_of_its_type_needs_is_missed(path, sentence):
    (found,) = problems(without(PAPER, path))
    assert sentence in found


@pytest.mark.parametrize("kind", TASK_TYPES)
def test_every_metric_fits_some_type_and_no_other(kind):
    name = {"classification": "rte", "regression": "stsb", "multiple-choice": "hellaswag"}[kind]
    for metric in METRICS:
        assert any(metric in metrics_for(each) for each in TASK_TYPES)
        config = changed(f"tasks.{name}.metric", metric)
        if metric in metrics_for(kind):
            check_config(config)
        else:
            assert f"'{metric}' does not fit type {kind}" in problems(config)[0]


def test_names_that_no_registry_holds_are_refused():
    assert "allowed is one of accuracy, f1" in problems(changed("tasks.rte.metric", "bleu"))[0]
    assert "allowed is one of classification" in problems(changed("tasks.rte.type", "tagging"))[0]
    (found,) = problems(changed("models.roberta.architecture", "t5"))
    assert "models.roberta.architecture: 't5' is not allowed; allowed is one of albert" in found


def test_all_problems_are_told_at_once():
    found = problems(merged(PAPER, {"cka": {"choice": "some"}, "gpus": {"jobs_per_device": 0}}))
    assert [problem.partition(":")[0] for problem in found] == [
        "cka.choice",
        "gpus.jobs_per_device",
    ]


def test_local_model_that_is_not_supported_is_refused_at_once(tmp_path):
    """By its config.json; a model on the hub can only be judged when it is fetched."""
    config = changed("models.roberta", {"source": f"path:{tmp_path}"})
    assert f"models.roberta: {tmp_path} has no config.json" in problems(config)[0]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (found,) = problems(config)
    assert (
        "models.roberta: Model 'roberta' is of type 't5'; supported are albert, arcee, bert"
        in found
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    check_config(config)


def test_local_model_that_is_gone_is_its_copy_in_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = changed("models.roberta", {"source": f"path:{tmp_path / 'gone'}"})
    assert "gone has no config.json" in problems(config)[0]
    copied = tmp_path / "data/models/roberta"
    copied.mkdir(parents=True)
    settings = {"model_type": "roberta", "num_hidden_layers": 7}
    (copied / "config.json").write_text(json.dumps(settings))
    assert encoder_facts(check_config(config), "roberta") == (7, False)


def test_local_model_that_is_not_studied_need_not_be_there():
    check_config(changed("models.mine", {"source": "path:/no/where"}))


# ---------------------------------------------------------------- what is merged, what is kept


def test_recipe_of_a_pair_is_the_studys_then_the_models_then_the_tasks():
    config = check_config(
        merged(
            PAPER,
            {
                "models": {"albert": {"training": {"batch_size": 8, "learning_rate": 2e-5}}},
                "tasks": {"rte": {"training": {"learning_rate": 3e-5, "max_steps": 100}}},
            },
        )
    )
    study = {key: value for key, value in PAPER["training"].items() if key != "withhold"}
    assert training_settings(config, "roberta", "cola") == study
    albert = study | {"batch_size": 8, "learning_rate": 2e-5}
    assert training_settings(config, "albert", "cola") == albert
    both = albert | {"learning_rate": 3e-5, "max_steps": 100}
    assert training_settings(config, "albert", "rte") == both
    assert config["training"] == PAPER["training"]


def test_a_variants_recipe_overrides_all_others_where_its_pattern_fits():
    config = merged(
        PAPER,
        {
            "tasks": {"rte": {"training": {"max_steps": 7}}},
            "variants": {"*_n*": {"max_steps": 5}, "probe*": {"epochs": 3}},
        },
    )
    steps = {
        variant: (settings["max_steps"], settings["epochs"])
        for variant in ("full", "full_n500", "probe3", "probe3_n500", "lora")
        for settings in [training_settings(config, "albert", "rte", variant)]
    }
    assert steps == {
        "full": (7, None), "full_n500": (5, None), "probe3": (7, 3), "probe3_n500": (5, 3),
        "lora": (7, None),
    }  # fmt: skip
    assert training_settings(config, "albert", "rte", "lora1-2")["learning_rate"] == 1e-4


def test_what_else_decides_a_run_is_its_kinds_own():
    assert ablation_settings(PAPER, Variant.parse("full_n500")) == {}
    assert ablation_settings(PAPER, Variant.parse("keep1-2")) == {"scheme": "paper"}
    assert ablation_settings(PAPER, Variant.parse("lora"))["rank"] == 8


def as_snakemake_merges(study: dict) -> dict:
    """A study's keys come first: config.yaml is merged into them, and they again into that."""
    return merged(merged(study, PAPER), study)


@pytest.mark.parametrize("merge", [as_snakemake_merges, lambda study: merged(PAPER, study)])
def test_the_pattern_that_spells_out_more_wins_in_whatever_order(merge):
    config = merge({"variants": {"*_n*": {"learning_rate": 3e-4, "batch_size": 5}}})
    settings = training_settings(config, "albert", "rte", "lora_n500")
    assert settings["learning_rate"] == 1e-4 and settings["batch_size"] == 5


def test_of_epochs_and_steps_the_last_said_counts():
    changes = {
        "training": {"epochs": 3},
        "tasks": {"rte": {"training": {"max_steps": 7}}},
        "variants": {"*_n*": {"epochs": 2}, "lora*": {"max_steps": 9}},
    }
    config = merged(PAPER, changes)
    found = {
        (task, variant): (settings["max_steps"], settings["epochs"])
        for task in ("cola", "rte")
        for variant in ("full", "full_n5", "lora_n5")
        for settings in [training_settings(config, "albert", task, variant)]
    }
    assert found["cola", "full"][1] == 3 and found["rte", "full"] == (7, None)
    assert found["rte", "full_n5"][1] == 2 and found["rte", "lora_n5"] == (9, None)


@pytest.mark.parametrize("study", [{}, STUDIES["tamkin"]], ids=["paper", "tamkin"])
def test_what_tells_whether_the_best_probing_block_matters_is_planned(study):
    """A block new, all except it new, all or none new, and a probe of it, on as many examples."""
    config = check_config(merged(PAPER, study))
    model, task = config["study"]["models"][0], "sst2"
    localized, probing = (
        {
            (run.series, run.position, run.variant.size)
            for run in reinit_runs(config, model, task, p)
        }
        for p in ("localized", "probing")
    )
    for first, last in layer_blocks(12, 3, 3):
        assert {("reinit", first, 5000), ("keep", first, 5000)} <= localized
        assert ("probed", last, 5000) in probing
    assert {("full", None, 5000), ("embeddings", None, 5000)} <= localized


def test_sizes_that_a_task_does_not_exceed_are_all_of_it():
    config = check_config(merged(PAPER, STUDIES["tamkin"]))
    assert reinit_settings(config, "cola")["progressive"]["sizes"] == [500, 5000, "all"]
    assert reinit_settings(config, "qnli")["progressive"]["sizes"] == [500, 5000, 50000, "all"]
    assert reinit_settings(config, "cola")["localized"] == config["reinit"]["localized"]
    assert reinit_settings(config, "rte")["localized"]["size"] == "all"
    assert reinit_settings(config, "rte")["kept_norms"]["sizes"] == [500, "all"]


# ---------------------------------------------------------------- what is known of an encoder


def local(tmp_path, monkeypatch):
    """The paper's config with a local model, seen from a folder without downloads."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    written = {"model_type": "bert", "num_hidden_layers": 5}
    (tmp_path / "m" / "config.json").write_text(json.dumps(written))
    return check_config(merged(PAPER, {"models": {"mine": {"source": "path:m"}}}))


def test_layers_are_those_of_the_entry_or_of_the_local_folder(tmp_path, monkeypatch):
    config = local(tmp_path, monkeypatch)
    assert encoder_facts(config, "mine") == (5, False)
    assert encoder_facts(config, "albert") == (24, True)


def test_a_local_model_is_as_its_folder_says(tmp_path, monkeypatch):
    config = local(tmp_path, monkeypatch)
    config["models"]["mine"]["layers"] = 6  # left over from an entry of the same name
    assert encoder_facts(config, "mine") == (5, False)
    check_declared({"model_type": "bert", "num_hidden_layers": 5}, config["models"]["mine"], "mine")


def test_what_was_downloaded_before_does_not_overrule_the_entry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/models/roberta"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "roberta", "num_hidden_layers": 3}')
    assert encoder_facts(check_config(PAPER), "roberta") == (12, False)
    silent = check_config(without(PAPER, "models.roberta.layers"))
    assert encoder_facts(silent, "roberta") == (3, False)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"model_type": "roberta", "num_hidden_layers": 5}, "roberta.layers is 12, but .* says 5"),
        (
            {"model_type": "albert", "num_hidden_layers": 12},
            "architecture is roberta, but .*albert",
        ),
    ],
)
def test_a_download_that_is_not_as_declared_is_refused(found, sentence):
    with pytest.raises(StrataError, match=sentence):
        check_declared(found, check_config(PAPER)["models"]["roberta"], "roberta")


def test_unknown_layers_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = check_config(without(PAPER, "models.roberta.layers"))
    with pytest.raises(StrataError, match="models.roberta has no 'layers': give the number"):
        encoder_facts(config, "roberta")


def test_an_unknown_architecture_is_asked_for_and_read_where_the_model_is_there(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = check_config(without(PAPER, "models.roberta.architecture"))
    with pytest.raises(StrataError, match="models.roberta has no 'architecture': give the model_t"):
        architecture_of(config, "roberta")
    folder = tmp_path / "data/models/roberta"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "xlm-roberta", "num_hidden_layers": 3}')
    assert architecture_of(config, "roberta") == "xlm-roberta"
    assert architecture_of(check_config(PAPER), "roberta") == "roberta"  # as declared


def test_shared_layers_are_left_out_of_reinitialisation_or_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = check_config(PAPER)
    assert reinit_models(config) == ["roberta", "electra"]
    config["reinit"]["models"] = ["albert"]
    with pytest.raises(
        StrataError, match="'albert': 'reinit1-24' has no meaning.*shares one layer"
    ):
        reinit_models(config)


def test_recipe_of_heads_is_the_studys_then_the_tasks():
    config = check_config(changed("tasks.rte.heads", {"steps": 5, "style": "jiant"}))
    tuning = {key: value for key, value in PAPER["heads"].items() if key != "style"}
    assert head_settings(config, "cola") == tuning
    assert head_settings(config, "rte") == tuning | {"steps": 5}
    assert [head_style(config, task) for task in ("cola", "rte")] == ["transformers", "jiant"]


def export_with(style, analysis="export"):
    return merged(PAPER, {"study": {"analyses": [analysis]}, "heads": {"style": style}})


@pytest.mark.parametrize("analysis", ["export", "frontier"])  # which measures exported folders
@pytest.mark.parametrize(
    ("style", "models"),
    [("jiant", {"electra"}), ("jiant-pooler", {"roberta", "albert", "electra"})],
)
def test_exports_that_no_plain_class_can_hold_are_refused_while_planning(style, models, analysis):
    """ELECTRA's class for multiple choice can; and without exports there is nothing to refuse."""
    check_config(export_with("transformers", analysis))
    with pytest.raises(StrataError) as caught:
        check_config(export_with(style, analysis))
    _, *lines = str(caught.value).splitlines()
    assert {line.split()[4] for line in lines} == models
    for line in lines:
        assert line.startswith("  - study.analyses: export of ")
        assert f"a head of style '{style}' on " in line and "set heads.style to" in line
    assert not any("electra on hellaswag" in line for line in lines)
    check_config(merged(PAPER, {"heads": {"style": style}}))


def test_an_export_of_a_model_that_is_not_known_yet_is_refused_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = check_config(without(export_with("jiant"), "models.electra.architecture"))
    with pytest.raises(StrataError, match="models.electra has no 'architecture'"):
        exported_style(config, "electra", "rte")
    assert exported_style(config, "albert", "rte") == "jiant"


def test_title_and_recipes_are_no_part_of_a_source():
    """A change of these does not fetch again; any other does."""
    config = check_config(merged(PAPER, DEMO))
    entry = config["tasks"]["polarity"]
    described = source_description(entry | {"heads": {"steps": 1}})
    assert described == {k: v for k, v in entry.items() if k not in ("title", "training")}
    assert {"source", "sha256", "inside", "cuts", "holdout", "encoding"} < described.keys()
    assert source_description(entry | {"title": "Other"}) == described


def test_titles_are_names_where_there_are_none():
    config = without(PAPER, "models.albert.title")
    assert titles(config)["albert"] == "albert"
    assert titles(config)["sst2"] == "SST-2" and titles(config)["roberta"] == "RoBERTa"


def test_sampling_is_what_intervals_depend_on():
    """Not the tolerance: a change of it must not compute intervals again."""
    assert sampling(PAPER) == {"resamples": 1000, "confidence": 0.95}


# ---------------------------------------------------------------- the schema itself


def described(part: dict, schema: dict, path: str = ""):
    """(path, whether it has a description) of every key that a config may have."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]] | part
    for key, inner in part.get("properties", {}).items():
        full = {**schema["$defs"].get(inner.get("$ref", "").rsplit("/", 1)[-1], {}), **inner}
        yield f"{path}{key}", "description" in full or "enum" in full
        yield from described(inner, schema, f"{path}{key}.")
    for inner in part.get("patternProperties", {}).values():
        yield from described(inner, schema, f"{path}*.")


def test_keys_of_the_schema_are_described():
    """Every key at the top, of the study and of training; an enum speaks for itself."""
    schema = yaml.safe_load(SCHEMA.read_text())
    keys = dict(described(schema, schema))
    own = {"study.figure1.model", "study.figure1.task", "training.adam_epsilon"}
    wanted = {k for k in keys if "." not in k or k.startswith(("study.", "training."))} - own
    assert len(wanted) > 20 and [key for key in sorted(wanted) if not keys[key]] == []


def test_schema_lets_no_unknown_key_through_anywhere():
    schema = yaml.safe_load(SCHEMA.read_text())

    def objects(part, path="schema"):
        if isinstance(part, dict):
            # A condition (`if`) looks at one key of an entry whose keys are listed elsewhere.
            if ("properties" in part or "patternProperties" in part) and not path.endswith(".if"):
                yield path, part.get("additionalProperties")
            for key, inner in part.items():
                yield from objects(inner, f"{path}.{key}")

    found = dict(objects(schema))
    # A key of a config may be called "properties" itself: none is.
    assert len(found) > 10 and [path for path, extra in found.items() if extra is not False] == []


def test_choices_by_a_type_that_has_no_class_for_them_are_refused():
    (found,) = problems(changed("models.roberta.architecture", "llama"))
    assert found.startswith(
        "study.tasks: 'hellaswag' is multiple choice, and Transformers has no multiple-choice "
        "class for 'roberta' (llama); it has one for albert, bert, camembert,"
    )
