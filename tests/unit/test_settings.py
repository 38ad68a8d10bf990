"""Settings are what the config's schema holds; records are read as they were written."""

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
import yaml

from helpers import tiny
from strata.runtime.errors import StrataError
from strata.runtime.provenance import config_hash, versions
from strata.study.config import SCHEMA
from strata.study.run_records import Origin, RunName, RunRecord, Trained, read_model_source
from strata.study.settings import (
    ConvergedSettings,
    HeadSettings,
    LoraSettings,
    ReinitSettings,
    SummarySettings,
    TrainingSettings,
    ablation_settings_of,
)
from strata.study.variants import Variant

PAPER = yaml.safe_load((SCHEMA.parents[1] / "config.yaml").read_text())
# A head's style is not a setting of how it is tuned. Nor are a run's examples a setting of it.
TRAINING = {key: value for key, value in PAPER["training"].items() if key != "withhold"}
HEADS = {key: value for key, value in PAPER["heads"].items() if key != "style"}


@pytest.mark.parametrize(
    ("made", "section"),
    [
        (TrainingSettings(**TRAINING), TRAINING),
        (HeadSettings.of(HEADS), HEADS),
        (LoraSettings(**PAPER["variability"]["lora"]), PAPER["variability"]["lora"]),
        (SummarySettings(**PAPER["summary"]), PAPER["summary"] | {"given": False}),
    ],
    ids=["training", "heads", "lora", "summary"],
)
def test_settings_hold_their_section_as_it_is(made, section):
    assert asdict(made) == section
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, None)


def test_a_recipe_is_recorded_in_the_configs_order():
    """run.json is compared byte for byte."""
    recipe = asdict(TrainingSettings(**TRAINING))
    assert json.dumps(recipe) == json.dumps(TRAINING)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (TrainingSettings, ["training"]),
        (HeadSettings, ["heads"]),
        (ConvergedSettings, ["heads", "converged"]),
    ],
)
def test_the_schema_has_the_same_keys(kind, path):
    part = yaml.safe_load(SCHEMA.read_text())["$defs"][path[0]]
    for key in path[1:]:
        part = part["properties"][key]
    assert {field.name for field in fields(kind)} == set(part["properties"]) - {"style", "withhold"}


def test_heads_without_their_converged_part_have_none():
    plain = {key: value for key, value in HEADS.items() if key != "converged"}
    assert HeadSettings.of(plain).converged is None
    assert HeadSettings.of(plain | {"converged": None}).converged is None
    assert HeadSettings.of(HEADS).converged == ConvergedSettings(
        PAPER["heads"]["converged"]["learning_rates"], PAPER["heads"]["converged"]["held_out"]
    )


def test_a_variant_takes_what_it_needs_and_misses_what_it_lacks():
    lora = {"rank": 8, "alpha": 16, "dropout": 0.1}
    assert ablation_settings_of(Variant.parse("keep1-2"), {"scheme": "fresh"}) == ReinitSettings(
        "fresh"
    )
    assert ablation_settings_of(Variant.parse("lora1-2"), lora) == LoraSettings(8, 16, 0.1)
    assert ablation_settings_of(Variant.parse("head3top1"), {}) is None
    for text in ("reinit1-2", "lora"):
        with pytest.raises(TypeError):
            ablation_settings_of(Variant.parse(text), {})


def record() -> RunRecord:
    trained = Trained(
        device="cpu",
        precision="float32",
        steps=8,
        resumed_at=None,
        wall_seconds=1.25,
        seconds_per_step=0.0125,
        train_examples=40,
        trainable_parameters=1000,
        layers=4,
        peak_memory_mb=512.5,
    )
    origin = Origin(2, {"source": "hub:a/b", "commit": "c"}, {"source": "path:x"})
    return RunRecord.of(RunName("m", "t", "full", 1), trained, tiny.training(), origin, 12.3456)


def test_a_run_is_described_by_these_keys_in_this_order(tmp_path):
    record().write(tmp_path / "run.json")
    text = (tmp_path / "run.json").read_text()
    values = json.loads(text)
    assert list(values) == [
        "model", "task", "variant", "seed", "device", "precision", "steps", "resumed_at",
        "wall_seconds", "seconds_per_step", "train_examples", "trainable_parameters", "layers",
        "peak_memory_mb", "inference_examples_per_second", "threads", "training", "config_hash",
        "model_source", "task_source", "versions", "git_commit", "notes",
    ]  # fmt: skip
    assert text == json.dumps(values, indent=2) + "\n"
    assert values["inference_examples_per_second"] == 12.35
    assert values["training"] == tiny.TRAINING and values["versions"] == versions()
    assert values["config_hash"] == config_hash(tiny.TRAINING)


def test_a_record_is_read_as_it_was_written(tmp_path):
    record().write(tmp_path / "run.json")
    assert RunRecord.read(tmp_path / "run.json") == record()


def test_a_record_of_another_version_is_explained(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({k: v for k, v in asdict(record()).items() if k != "steps"}))
    with pytest.raises(StrataError, match="run.json lacks steps, .* 'snakemake .*run.json --force"):
        RunRecord.read(path)


def test_a_record_of_before_memory_was_recorded_is_read(tmp_path):
    path = tmp_path / "run.json"
    older = {k: v for k, v in asdict(record()).items() if k != "peak_memory_mb"}
    path.write_text(json.dumps(older))
    assert RunRecord.read(path) == replace(record(), peak_memory_mb=None)


def test_a_models_source_is_read_from_its_folder(tmp_path):
    (tmp_path / "source.json").write_text('{"source": "path:x"}')
    assert read_model_source(tmp_path) == {"source": "path:x"}
