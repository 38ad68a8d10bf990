"""ONNX: the same logits as torch's at any length and batch, int8, and the frontier of formats."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from onnx import load, numpy_helper

from helpers import model_types, tiny
from helpers.configs import changed, problems
from strata.analysis.formats import (
    COLUMNS,
    MEASURED_COLUMNS,
    beside_torch,
    candidates_of_run,
    frontier_of_formats,
)
from strata.analysis.frontier import COSTS, RunSets
from strata.analysis.set_heads import save_set_heads
from strata.evaluation.predictions import answers
from strata.export import onnx
from strata.export.cut import TRAINED_KEY, cut_model, write_model
from strata.export.formats import measure_candidates, measure_folder, outputs_of
from strata.export.onnx_card import onnx_card
from strata.modeling.adopt import LABELS
from strata.modeling.inference import all_logits
from strata.runtime.errors import StrataError
from strata.study.architectures import read_config
from strata.study.config import check_config
from strata.study.layer_sets import LayerSet
from strata.study.settings import ForwardSettings, Sampling, SummarySettings

SETTINGS = SummarySettings(resamples=200, confidence=0.95, tolerance=0.01)
TASK = tiny.task()
OFTEN = ("distilbert", "modernbert", "llama")  # the others by `make test-all`
KINDS = [
    kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.nightly)
    for kind in model_types.CONFIGS
]
# A process without torch and without Strata: a folder's file answers texts.
STRANGER = """
import json, sys
import onnxruntime
from tokenizers import Tokenizer
file, tokenizer, texts = sys.argv[1:]
tokenizer = Tokenizer.from_file(tokenizer)
tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
rows = tokenizer.encode_batch(json.loads(texts))
inputs = {"input_ids": [r.ids for r in rows], "attention_mask": [r.attention_mask for r in rows]}
logits = onnxruntime.InferenceSession(file).run(["logits"], inputs)[0]
assert not {"torch", "transformers", "strata"} & set(sys.modules)
print(json.dumps(logits.argmax(1).tolist()))
"""


def words(count: int = 30) -> list[str]:
    return tiny.examples(count=count)["text_a"].tolist()


def save(model, folder):
    write_model(model, tiny.tokenizer(), folder)
    return folder


def largest(model, path, inputs) -> float:
    """The largest difference of a logit between torch and an ONNX file, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(path))
    (logits,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        wanted = model(**inputs).logits.numpy()
    assert logits.shape == wanted.shape
    return float(np.abs(logits - wanted).max())


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT, its folder, the folder as ONNX, and the differences that were found."""
    folder = save(tiny.task_model("bert"), tmp_path_factory.mktemp("bert") / "torch")
    target = folder.parent / "onnx"
    found = onnx.write_onnx(folder, TASK, target, ["fp32", "int8"], words(), 64)
    return SimpleNamespace(
        model=onnx.plain_model(folder, TASK), folder=folder, target=target, found=found
    )


# ---------------------------------------------------------------- the files


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_torchs_at_any_length_and_batch(kind, tmp_path):
    """At lengths and sizes that it was not traced with, beyond windows of attention, too."""
    model = model_types.model(kind)
    folder = save(model, tmp_path / "torch")
    formats = ["fp32"] if kind in OFTEN else ["fp32", "int8"]
    found = onnx.write_onnx(folder, TASK, tmp_path / "onnx", formats, words(), 256)
    assert found["fp32"] < 1e-4 and np.isfinite(found.get("int8", 0))
    texts = model_types.texts()
    for rows in (1, 3):
        for length in (5, 41, 200):
            inputs = {name: tensor[-rows:, :length].contiguous() for name, tensor in texts.items()}
            assert largest(model, tmp_path / "onnx/onnx/model.onnx", inputs) < 1e-4
    assert (tmp_path / "onnx/onnx/model_quantized.onnx").exists() == ("int8" in formats)
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == [
        "config.json", "onnx", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


@pytest.mark.slow
def test_choices_are_an_axis_of_any_length(tmp_path):
    task, model = tiny.task("multiple-choice"), tiny.task_model("roberta", "multiple-choice")
    folder, target = save(model, tmp_path / "torch"), tmp_path / "onnx"
    onnx.write_onnx(folder, task, target, ["fp32", "int8"], words(), 64)
    for shape in ((1, 2, 7), (4, 3, 30), (2, 5, 60)):
        ids = torch.randint(5, 49, shape)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        assert largest(model, target / "onnx/model.onnx", inputs) < 1e-4
    rows = tiny.rows("multiple-choice", 20)
    measured = measure_folder(
        folder, target, ["fp32", "int8"], rows, task, Sampling(100, 0.95), rounds=1
    )
    by_format = measured.set_index("format")
    assert (
        by_format.loc["fp32", "agreement"] == 1 and by_format.loc["fp32", "max_difference"] < 1e-4
    )
    card = onnx_card("Tiny", "layers1-4", task, read_config(folder), measured)
    assert "[examples, choices, tokens]" in card and "array[None]" in card


@pytest.mark.slow
def test_int8_is_smaller_and_answers_mostly_alike(bert):
    files = [bert.target / "onnx" / name for name in ("model.onnx", "model_quantized.onnx")]
    assert bert.found["fp32"] < 1e-4 < bert.found["int8"] < 1
    # In a file of such a small model the graph dominates: only weights are counted.
    stored = [
        sum(numpy_helper.to_array(each).nbytes for each in load(file).graph.initializer)
        for file in files
    ]
    assert stored[1] < 0.5 * stored[0]
    rows = tiny.rows(count=60)
    (numbers, inputs, _), *_ = rows.batches(range(60), 60, "cpu")
    wanted = all_logits(bert.model, rows, TASK, ForwardSettings(16))[torch.from_numpy(numbers)]
    own = onnx.onnx_runner(files[1], TASK)(inputs)
    assert (own.argmax(1) == wanted.argmax(1)).float().mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx"])
def test_a_stranger_with_onnxruntime_alone_gets_the_same_answers(bert, name):
    texts = tiny.examples(count=24, seed=3)["text_a"].tolist()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    file, tokenizer = bert.target / "onnx" / name, bert.target / "tokenizer.json"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(file), str(tokenizer), json.dumps(texts)],
        capture_output=True, text=True, env=environment, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    batch = tiny.tokenizer()(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = bert.model(**batch).logits
    same = np.array(json.loads(done.stdout)) == logits.argmax(1).numpy()
    assert same.all() if name == "model.onnx" else same.mean() > 0.8


@pytest.mark.slow
def test_what_is_more_than_rounding_is_refused_with_its_model_type(bert, tmp_path, monkeypatch):
    class Program:
        save = partial(shutil.copy, bert.target / "onnx/model.onnx")

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Program)
    arguments = bert.folder, TASK, tmp_path, ["fp32"], words(), 64
    monkeypatch.setattr(onnx, "TOLERANCE", 0.0)
    monkeypatch.setattr(onnx, "ROUNDINGS", 100)
    onnx.write_onnx(*arguments)
    monkeypatch.setattr(onnx, "ROUNDINGS", 0)
    (tmp_path / "onnx/model.onnx").unlink()
    with pytest.raises(StrataError, match="^The bert that torch's exporter wrote gives other"):
        onnx.write_onnx(*arguments)
    assert not (tmp_path / "onnx/model.onnx").exists()


@pytest.mark.slow
def test_what_the_exporter_refuses_is_said_with_its_model_type_and_reason(
    bert, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise torch.onnx.OnnxExporterError("a long story") from ValueError("no such op\nmore")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(StrataError) as caught:
        onnx.write_onnx(bert.folder, TASK, tmp_path, ["int8"], words(), 64)
    assert str(caught.value) == "torch's exporter cannot write a bert as ONNX: no such op"


# ---------------------------------------------------------------- what they cost


@pytest.mark.slow
def test_a_folder_is_measured_in_turn_and_its_card_says_so(bert):
    rows = tiny.rows(count=40)
    table = measure_folder(
        bert.folder, bert.target, ["fp32", "int8"], rows, TASK, Sampling(100, 0.95), rounds=2
    )
    assert list(table.columns) == MEASURED_COLUMNS
    assert list(table["format"]) == ["torch", "fp32", "int8"]
    by_format = table.set_index("format")
    torchs = by_format.loc["torch"]
    assert torchs["latency_ratio"] == torchs["speed_ratio"] == torchs["agreement"] == 1
    assert torchs["from_torch"] == by_format.loc["fp32", "from_torch"] == 0
    right = all_logits(bert.model, rows, TASK, ForwardSettings(16)).argmax(1).numpy()
    assert torchs["value"] == (right == rows.examples["label"]).mean()
    size = (bert.target / "onnx/model_quantized.onnx").stat().st_size / 1e6
    assert by_format.loc["int8", "file_mb"] == pytest.approx(size)
    # A process without torch: most of what torch's holds are libraries.
    assert by_format.loc["fp32", "memory_mb"] < 0.6 * torchs["memory_mb"]
    assert table[["latency_ms", "examples_per_second", "parameters"]].gt(0).all().all()
    card = onnx_card("Tiny on entail", "layers1-4", TASK, read_config(bert.folder), table)
    assert "| accuracy |" in card and "FOLDER/onnx/model_quantized.onnx" in card
    assert "in the folder `layers1-4`" in card and "(bert, 4\nlayers)" in card


@pytest.mark.slow
def test_candidates_are_measured_cut_and_with_their_heads(tmp_path):
    whole = tiny.task_model("bert", layers=2)
    checkpoint = save(whole, tmp_path / "checkpoint")
    other = {f"model.{n}": t + 0.5 for n, t in whole.state_dict().items() if "classifier" in n}
    stack = {name: torch.stack([tensor, tensor]) for name, tensor in other.items()}
    sets = [LayerSet.parse("2"), LayerSet.parse("1-2")]
    save_set_heads(stack, sets, tmp_path / "heads.safetensors")
    rows = tiny.rows(count=30)
    answered, costs = measure_candidates(
        checkpoint, tmp_path / "heads.safetensors", ["layers1-2", "layers1", "layers2_head"],
        ["fp32"], rows, TASK, rounds=1,
    )  # fmt: skip
    head = {name.removeprefix("model."): tensor for name, tensor in other.items()}
    for name, kept, own in (("layers1", "1", None), ("layers2_head", "2", head)):
        cut = cut_model(checkpoint, TASK, LayerSet.parse(kept), own)
        wanted = answers(rows.examples, all_logits(cut, rows, TASK, ForwardSettings(16)), TASK)
        for form in ("torch", "fp32"):
            found = answered[(answered["name"] == name) & (answered["format"] == form)]
            assert list(found["prediction"]) == list(wanted["prediction"])
            np.testing.assert_allclose(found["logit_0"], wanted["logit_0"], atol=1e-4)
    by_set = costs.set_index(["layers", "format"])
    assert set(by_set.index) == {(s, f) for s in ("1-2", "1", "2") for f in ("torch", "fp32")}
    assert by_set.loc[("2", "fp32"), "measured_as"] == "1"  # one layer is one layer
    assert by_set.loc[("1-2", "torch"), "latency_ratio"] > 0


def test_outputs_in_an_own_order_are_known_by_their_names(tmp_path):
    folder, checkpoint = tmp_path / "export", tmp_path / "checkpoint"
    for place in (folder, checkpoint):
        place.mkdir()
    config = {"model_type": "bert", "id2label": {"0": "against", "1": "for"}}
    (folder / "config.json").write_text(json.dumps(config))
    order = {"names": ["against", "for"], "outputs": [1, 0], "by": "name"}
    assert outputs_of(folder, [checkpoint]) is None
    (checkpoint / LABELS).write_text(json.dumps(order))
    assert outputs_of(folder, [checkpoint]) == [1, 0]
    # Once it is trained after its cut a model answers in the task's order, under the same names.
    (folder / "config.json").write_text(json.dumps(config | {TRAINED_KEY: "layers1_heal9"}))
    assert outputs_of(folder, [checkpoint]) is None
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "a", "1": "b"}}))
    assert outputs_of(folder, [checkpoint]) is None


# ---------------------------------------------------------------- the frontier of formats

N, CHOOSING = 1000, 200
LAYERS = ("1", "1-2", "1-3", "1-4")
# Share of wrong answers of each set in each format.
WRONG = {
    "torch": dict(zip(LAYERS, (0.3, 0.1, 0.1, 0.1), strict=True)),
    "fp32": dict(zip(LAYERS, (0.3, 0.1, 0.1, 0.1), strict=True)),
    "int8": dict(zip(LAYERS, (0.3, 0.2, 0.1, 0.1), strict=True)),
}


def answered(share: float, count: int, **columns: object) -> pd.DataFrame:
    """All labels are 0; the first examples are answered wrongly."""
    predictions = (np.arange(count) < share * count).astype(int)
    logits = {"logit_0": 1.0 - predictions, "logit_1": 1.0 * predictions}
    labels = {"example_id": np.arange(count), "label": np.zeros(count, dtype=int)}
    return pd.DataFrame({**labels, "prediction": predictions, **logits}).assign(**columns)


def run_sets(failed: bool = False) -> RunSets:
    """A run of four layers, as is and with tuned heads; one set per size was proposed."""
    proposed = pd.DataFrame({"method": "top", "size": [3, 2, 1], "layers": ["1-3", "1-2", "1"]})
    tables = [
        answered(share, count, layers=layers, done=done, part=part)
        for done in ("as is", "head")
        for part, count in (("choose", CHOOSING), ("judge", N))
        for layers, share in WRONG["torch"].items()
    ]
    return RunSets(proposed, pd.concat(tables), tiny.metrics(failed=failed))


def in_formats(wrong=WRONG) -> pd.DataFrame:
    tables = [
        answered(share, N, name=f"layers{layers}{head}", format=form)
        for form, shares in wrong.items()
        for head in ("", "_head")
        for layers, share in shares.items()
    ]
    return pd.concat(tables, ignore_index=True)


def costs() -> pd.DataFrame:
    rows = [
        {"layers": layers, "format": form, "measured_as": layers} | dict.fromkeys(COSTS, 1.0)
        for layers in LAYERS
        for form in WRONG
    ]
    return pd.DataFrame(rows)


def test_each_format_has_a_sequence_of_its_own_that_begins_with_the_whole_model():
    table = frontier_of_formats(run_sets(), in_formats(), costs(), TASK, SETTINGS)
    assert list(table.columns) == COLUMNS[3:]
    assert len(table) == 2 * len(WRONG) * 4 and not table.duplicated(["name", "format"]).any()
    own = table[table["done"] == "as is"].set_index(["format", "layers"])
    assert dict(own.loc["torch", "verdict"]) == {
        "1-4": "", "1-3": "certified", "1-2": "certified", "1": "loses more",
    }  # fmt: skip
    assert dict(own.loc["int8", "verdict"]) == {
        "1-4": "certified", "1-3": "certified", "1-2": "loses more", "1": "loses more",
    }  # fmt: skip
    assert own.loc[("int8", "1-4"), "method"] == "full"
    assert own.loc[("int8", "1-2"), "from_torch"] == pytest.approx(-0.1)
    assert own.loc[("int8", "1-2"), "agreement"] == pytest.approx(0.9)
    assert own.loc[("int8", "1-2"), "max_difference"] == 1
    assert (own.loc["fp32", "from_torch"] == 0).all()
    assert table["latency_ms"].notna().all()
    heads = table[table["done"] == "head"]
    assert heads["from_tuned"].notna().all() and table.loc[heads.index, "verdict"].notna().all()


def test_where_the_whole_model_in_a_format_loses_more_nothing_smaller_is_certified():
    wrong = WRONG | {"int8": WRONG["int8"] | {"1-4": 0.15, "1-3": 0.1}}
    table = frontier_of_formats(run_sets(), in_formats(wrong), costs(), TASK, SETTINGS)
    int8 = table[(table["format"] == "int8") & (table["done"] == "as is")].set_index("layers")
    assert int8.loc["1-4", "verdict"] == "loses more"
    assert int8.loc["1-3", "verdict"] == "cannot be told"
    fp32 = table[(table["format"] == "fp32") & (table["done"] == "as is")].set_index("layers")
    assert fp32.loc["1-3", "verdict"] == "certified"


def test_of_a_failed_run_nothing_is_certified():
    table = frontier_of_formats(run_sets(failed=True), in_formats(), costs(), TASK, SETTINGS)
    assert set(table["verdict"]) == {"failed run"}


def test_the_whole_model_comes_first_and_sizes_are_spread():
    run = run_sets()
    heads = [f"layers{layers}_head" for layers in ("1-4", "1-3", "1")]
    assert candidates_of_run(run, TASK, 2) == ["layers1-4", "layers1-3", "layers1", *heads]
    assert len(candidates_of_run(run, TASK, 12)) == 8
    assert candidates_of_run(run, TASK, 1)[:2] == ["layers1-4", "layers1-3"]


def test_numbers_have_no_agreement():
    own = answered(0.1, 50).astype({"prediction": float, "label": float})
    own["label"] = np.linspace(0, 1, 50)
    own["prediction"] = own["label"] ** 2
    found = beside_torch(own, own, tiny.task("regression"), Sampling(100, 0.95))
    assert np.isnan(found["agreement"]) and found["from_torch"] == found["max_difference"] == 0


# ---------------------------------------------------------------- the config


def test_formats_are_refused_when_misspelt():
    (problem,) = problems(changed("export.onnx", ["int4"]))
    assert problem == "export.onnx.0: 'int4' is not allowed; allowed is one of fp32, int8."
    (problem,) = problems(changed("export.onx", ["int8"]))
    assert "there is no key 'onx'; allowed are onnx, sizes" in problem
    assert check_config(changed("export.onnx", ["int8"]))["export"]["onnx"] == ["int8"]
