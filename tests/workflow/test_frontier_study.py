"""Layer sets by Snakemake: chosen, judged on other examples, exported, loaded without Strata."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.today import MODELS
from helpers.workflows import MINE, PASSING, Workflow
from strata.study.layer_sets import CutModel

# A process without Strata: loads a folder, predicts the task's rows, prints accuracy and layers.
STRANGER = """
import json, sys
import pandas as pd, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, rows, numbers = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = pd.read_json(rows, lines=True).iloc[json.loads(numbers)]
inputs = tokenizer(
    rows["premise"].tolist(), rows["hypothesis"].tolist(), padding=True, return_tensors="pt"
)
with torch.no_grad():
    answers = model(**inputs).logits.argmax(1).tolist()
right = [model.config.id2label[a] == label for a, label in zip(answers, rows["label"])]
assert "strata" not in sys.modules
print(json.dumps([sum(right) / len(right), model.config.num_hidden_layers]))
"""

# The same for a folder with ONNX, in a process without torch.
OF_ONNX = """
import json, sys
import onnxruntime, pandas as pd
from transformers import AutoTokenizer
folder, rows, numbers = sys.argv[1:]
session = onnxruntime.InferenceSession(f"{folder}/onnx/model.onnx")
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = pd.read_json(rows, lines=True).iloc[json.loads(numbers)]
inputs = tokenizer(
    rows["premise"].tolist(), rows["hypothesis"].tolist(), padding=True, return_tensors="np"
)
answers = session.run(["logits"], dict(inputs))[0].argmax(1)
config = json.load(open(f"{folder}/config.json"))
right = [config["id2label"][str(a)] == label for a, label in zip(answers, rows["label"])]
assert "strata" not in sys.modules
print(json.dumps([sum(right) / len(right), config["num_hidden_layers"]]))
"""


def read(workflow, path: str) -> pd.DataFrame:
    return pd.read_csv(workflow.folder / path, dtype={"layers": str})


def by_a_stranger(workflow, folder: str, rows=range(96), script=STRANGER) -> tuple[float, int]:
    """Accuracy on the task's own eval rows, and layers, of a folder loaded in another process."""
    numbers = json.dumps(list(map(int, rows)))
    file = workflow.folder / "source/tasks/pairs-dev.jsonl"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(workflow.folder / folder), str(file), numbers],
        capture_output=True, text=True, env=environment, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def test_withheld_examples_choose_and_no_run_and_no_head_saw_them(today):
    every = pd.read_parquet(today.folder / "data/tasks/entail/train.parquet")
    examples = today.folder / "results/today/examples/entail"
    kept, withheld = (pd.read_parquet(examples / f"{n}.parquet") for n in ("train", "withheld"))
    assert len(withheld) == round(0.1 * len(every))
    assert sorted([*kept["example_id"], *withheld["example_id"]]) == list(every["example_id"])
    logs = today.folder / "results/today/logs"
    for name in ("finetune/modern_entail_full_1", "ablate/modern_entail_lora_1"):
        log = (logs / f"{name}.log").read_text()
        assert f"{len(kept)} train, 96 eval examples" in log
    for model in MODELS:
        answers = pd.read_parquet(
            today.folder / f"results/today/frontier/{model}_entail/full-seed1.parquet"
        )
        choosing = answers.loc[answers["part"] == "choose", "example_id"].unique()
        judging = answers.loc[answers["part"] == "judge", "example_id"].unique()
        assert sorted(choosing) == sorted(withheld["example_id"]) and len(judging) == 96


def test_without_withheld_examples_one_half_of_eval_chooses_and_the_other_judges(mine):
    """For models that come fine-tuned, whatever the config withholds."""
    answers = pd.read_parquet(mine.folder / "results/mine/frontier/mine_entail/full-seed1.parquet")
    parts = answers.groupby("part")["example_id"].unique()
    assert len(parts["choose"]) == len(parts["judge"]) == 48
    assert sorted([*parts["choose"], *parts["judge"]]) == list(range(96))


@pytest.mark.parametrize("model", MODELS)
def test_the_table_has_every_method_and_size_as_is_and_with_a_tuned_head(today, model):
    table = read(today, f"results/today/frontier/{model}_entail.csv")
    methods = {"top", "span", "greedy", "skipping", "block-influence", "angular", "cka", "every"}
    assert set(table["method"]) == methods | {"full"}
    assert set(table["done"]) == {"as is", "head", "trained"}
    table = table[table["done"] != "trained"]
    assert len(table) == 2 * (len(methods) * 3 + 1)
    chosen = table[table["chosen"]].drop_duplicates(["size", "done"])
    assert len(chosen) == 6 and set(chosen["verdict"]) <= {
        "certified", "loses more", "cannot be told",
    }  # fmt: skip
    assert (table["verdict"] == "not chosen").sum() == len(table) - table["chosen"].sum() - 2
    full = table[(table["method"] == "full") & (table["done"] == "as is")].iloc[0]
    run = today.folder / f"results/today/runs/{model}_entail/full/seed1/metrics.json"
    assert full["value"] == json.loads(run.read_text())["score"]
    assert table[["latency_ms", "file_mb", "memory_mb", "parameters"]].notna().all().all()
    if model == "modern":  # its first layer has no attention norm
        assert table["layers"].str.startswith("1").all()


@pytest.mark.parametrize("model", MODELS)
def test_a_set_that_is_exported_scores_what_the_table_says(today, model):
    """In a separate process, without Strata; also with the tuned head."""
    table = read(today, f"results/today/frontier/{model}_entail.csv")
    others = table[(table["method"] == "every") & (table["size"] == 2)]
    targets = [f"results/today/export/{model}_entail/{name}" for name in others["name"]]
    assert len(targets) == 2
    today.configured(*targets, "--cores", "1")
    for target, value in zip(targets, others["value"], strict=True):
        score, layers = by_a_stranger(today, target)
        assert layers == 2 and score == pytest.approx(value, abs=1e-9)
        config = json.loads((today.folder / target / "config.json").read_text())
        if model == "modern":
            kinds = json.loads((today.folder / f"data/models/{model}/config.json").read_text())[
                "layer_types"
            ]
            kept = CutModel.parse(target.rsplit("/", 1)[1]).kept
            assert config["layer_types"] == [kinds[k - 1] for k in kept.layers]
        card = (today.folder / target / "README.md").read_text()
        front = yaml.safe_load(card.split("---")[1])
        (result,) = front["model-index"][0]["results"]
        assert result["metrics"] == [{"type": "accuracy", "value": round(value, 6)}]
        assert "hf upload" in card and "from_pretrained" in card


@pytest.mark.parametrize("name", ["layers-auto", "layers-auto_head"])
def test_the_smallest_certified_is_exported_and_its_card_says_by_which_claim(mine, name):
    answers = read(mine, "results/mine/frontier/mine_entail/answers.csv")
    done = "head" if name.endswith("_head") else "as is"
    row = answers[answers["exported"] & (answers["done"] == done)].iloc[0]
    folder = mine.folder / f"results/mine/export/mine_entail/{name}"
    judging = pd.read_parquet(mine.folder / "results/mine/examples/entail/judge.parquet")
    score, layers = by_a_stranger(mine, folder, judging["example_id"])
    assert layers == row["size"] and score == pytest.approx(row["value"], abs=1e-9)
    card = (folder / "README.md").read_text()
    if row["size"] < row["total_layers"]:
        assert f"Layers {row['layers']} are the smallest set that is certified" in card
        assert "This is a claim about this one model." in card
    else:
        assert "No smaller set of layers is certified to lose less than 1 point" in card


def test_a_set_that_is_asked_for_is_scored_on_the_examples_that_judge(mine):
    """As in the table, although half of the eval examples chose."""
    table = read(mine, "results/mine/frontier/mine_entail.csv")
    row = table[(table["method"] == "top") & (table["size"] == 2) & (table["seed"] == 1)].iloc[0]
    target = f"results/mine/export/mine_entail/{row['name']}"
    mine.configured(target, "--cores", "1", **MINE)
    judging = pd.read_parquet(mine.folder / "results/mine/examples/entail/judge.parquet")
    score, layers = by_a_stranger(mine, target, judging["example_id"])
    assert layers == 2 and score == pytest.approx(row["value"], abs=1e-9)
    card = (mine.folder / target / "README.md").read_text()
    assert "on the frontier: " in card and f"on {len(judging)} eval examples" in card


def test_a_head_of_layers_that_no_method_proposed_is_tuned_for_the_export(mine):
    table = read(mine, "results/mine/frontier/mine_entail.csv")
    every = {"1-2", "1+3", "1+4", "2-3", "2+4", "3-4"}
    other = min(every - set(table["layers"]))
    target = f"results/mine/export/mine_entail/layers{other}_head"
    mine.configured(target, "--cores", "1", **MINE)
    assert by_a_stranger(mine, target)[1] == 2


def test_candidates_and_the_whole_model_are_measured_as_onnx(mine):
    own = read(mine, "results/mine/frontier/mine_entail.onnx.csv")
    table = read(mine, "results/mine/frontier/mine_entail.csv")
    assert set(own["format"]) == {"torch", "fp32", "int8"} and set(own["size"]) == {4, 3}
    assert len(own) == 3 * 2 * 2 and set(own["seed"]) == {1}
    values = own.set_index(["name", "format"])["value"]
    chosen = table[(table["seed"] == 1) & table["name"].isin(own["name"])]
    for name, value in chosen.groupby("name")["value"].first().items():
        assert values[name, "torch"] == values[name, "fp32"] == pytest.approx(value, abs=1e-9)
    fp32 = own[own["format"] == "fp32"]
    assert (fp32["agreement"] == 1).all() and (fp32["max_difference"] < 1e-4).all()
    assert own[["latency_ms", "speed_ratio", "file_mb", "memory_mb"]].gt(0).all().all()
    assert (mine.folder / "results/mine/frontier/mine_entail.onnx.png").is_file()


@pytest.mark.parametrize("name", ["depth-within", "layers-auto_head", "layers-auto_trained"])
def test_every_export_comes_as_onnx_that_a_stranger_can_load(mine, name):
    folder = f"results/mine/export/mine_entail/{name}.onnx"
    measured = pd.read_csv(mine.folder / folder / "measured.csv").set_index("format")
    rows = pd.read_parquet(mine.folder / "results/mine/examples/entail/judge.parquet")
    numbers = range(96) if name.startswith("depth") else rows["example_id"]
    score, _ = by_a_stranger(mine, folder, numbers, OF_ONNX)
    assert score == pytest.approx(measured.loc["fp32", "value"], abs=1e-9)
    assert score == by_a_stranger(mine, folder.removesuffix(".onnx"), numbers)[0]
    assert measured.loc["fp32", "n_examples"] == len(numbers)
    assert (mine.folder / folder / "onnx/model_quantized.onnx").is_file()
    card = (mine.folder / folder / "README.md").read_text()
    assert f"the folder `{name}` next to this one" in card and "| accuracy |" in card


def test_a_tolerance_judges_formats_anew_and_measures_none(mine):
    planned = {rule for rule, _ in mine.planned(**MINE | {"summary": {"tolerance": 0.05}})}
    assert "tabulate_onnx" in planned and "measure_onnx" not in planned


@pytest.mark.parametrize("model", MODELS)
def test_what_was_trained_after_the_cut_is_in_the_table_and_its_weights_are_gone(today, model):
    table = read(today, f"results/today/frontier/{model}_entail.csv")
    own = table[table["done"] == "trained"]
    best = table[(table["done"] == "as is") & (table["size"] == 2)].sort_values(
        ["choose_score", "choose_loss"], ascending=[False, True], kind="stable"
    )
    kept = best["layers"].iloc[0]
    assert list(own["name"]) == [
        "layers1-4_heal12", "cut1-4_distil12", f"layers{kept}_heal12", f"cut{kept}_distil12",
    ]  # fmt: skip
    runs = today.folder / f"results/today/runs/{model}_entail"
    full = json.loads((runs / "full/seed1/run.json").read_text())
    for _, row in own.iterrows():
        folder = runs / row["name"] / "seed1"
        assert not (folder / "checkpoint").exists() and (folder / "predictions.parquet").exists()
        record = json.loads((folder / "run.json").read_text())
        assert record["layers"] == row["size"] and record["steps"] == row["steps"] == 12
        assert row["seconds"] == record["wall_seconds"]
        assert row["seconds_in_all"] == pytest.approx(row["seconds"] + full["wall_seconds"])
        answers = pd.read_parquet(folder / "answers.parquet")
        judged = answers[answers["part"] == "judge"]
        assert (judged["prediction"] == judged["label"]).mean() == pytest.approx(row["value"])
    assert (
        own["chosen"] == (own["verdict"].isin(["certified", "loses more", "cannot be told"]))
    ).all()
    assert own.loc[own["size"] == 2, "chosen"].sum() == 1 and own["from_tuned"].notna().all()
    for name in (f"{model}_entail.training.png", f"{model}_entail.training.pdf"):
        assert (today.folder / "results/today/frontier" / name).is_file()
    card = today.folder / f"results/today/export/{model}_entail/layers-auto_trained/README.md"
    assert "certified" in card.read_text()


def test_a_model_trained_after_its_cut_is_exported_by_name_and_trained_again_for_it(
    today, tmp_path
):
    """Its weights were gone; training gives the same again, with the table's score elsewhere."""
    shutil.copytree(today.folder, tmp_path / "own", symlinks=True, ignore=PASSING)
    today = Workflow(tmp_path / "own/workflow", tmp_path / "own", today.planner)
    table = read(today, "results/today/frontier/decoder_entail.csv")
    row = table[(table["done"] == "trained") & (table["size"] == 2)].iloc[-1]
    target = f"results/today/export/decoder_entail/{row['name']}"
    today.configured(target, "--cores", "1")
    score, layers = by_a_stranger(today, target)
    assert layers == 2 and score == pytest.approx(row["value"], abs=1e-9)
    card = (today.folder / target / "README.md").read_text()
    assert "of the pretrained encoder, trained for 12 steps on labels and on the full" in card
    assert "The model was requested by name; on the frontier: " in card
    # Tables that say how long it took are made again; no model is trained again.
    again = {rule for rule, _ in today.planned()}
    assert not again & {"train_cut", "export_trained", "measure_costs", "score_sets"}


def test_a_model_that_came_fine_tuned_is_healed_with_its_own_head(mine):
    table = read(mine, "results/mine/frontier/mine_entail.csv")
    own = table[table["done"] == "trained"]
    own = own[own["way"] == "distil"]
    assert set(own["name"]) == {"layers1-2_distil12"} and list(own["seed"]) == [1, 2]
    assert (
        own["seconds_in_all"].isna().all()
    )  # it is not known how long the checkpoints were trained
    run = mine.folder / "results/mine/runs/mine_entail/layers1-2_distil12/seed2"
    (note,) = json.loads((run / "run.json").read_text())["notes"]
    source = "results/mine/runs/mine_entail/full/seed2/checkpoint"
    assert note == f"healed by distillation; cut to layers 1-2 of {source}"
    log = mine.folder / "results/mine/logs/train_cut/mine_entail_layers1-2_distil12_2.log"
    assert "trained head of its own" not in log.read_text()
    assert (run / "checkpoint/model.safetensors").is_file()  # this study keeps them


def test_cut_first_is_the_pretrained_encoder_of_a_model_that_came_fine_tuned(mine):
    runs = mine.folder / "results/mine/runs/mine_entail"
    source = {
        name: json.loads((runs / name / "seed1/run.json").read_text())["model_source"]["source"]
        for name in ("layers1-2_distil12", "cut1-2_tune12")
    }
    assert source == {
        "layers1-2_distil12": "path:source/mine/1",
        "cut1-2_tune12": "path:source/roberta",
    }
    target = "results/mine/export/mine_entail/cut1-2_tune12"
    mine.configured(target, "--cores", "1", **MINE)
    card = (mine.folder / target / "README.md").read_text()
    assert "of the pretrained encoder" in card and "source/mine" not in card


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("modern_entail/cut2-4_tune9", "'2-4' leaves out layer 1 of a modernbert"),
        ("decoder_entail/layers1-6_heal9", "names layer 6, but the model has 4 layers"),
        ("modern_entail/layers2-4", "'2-4' leaves out layer 1 of a modernbert"),
        ("modern_entail/layers1-5", "names layer 5, but the model has 4 layers"),
        ("decoder_entail/layers1+2", "'1+2' must be written '1-2'"),
    ],
)
def test_what_a_model_cannot_be_cut_to_is_refused_while_planning(today, target, what):
    done = today.configured(f"results/today/export/{target}", "-n", check=False)
    assert done.returncode and what in " ".join((done.stdout + done.stderr).split())


def test_the_run_ends_with_the_answer_and_the_summary_has_it(today):
    assert "modern on entail: the smallest model that loses less than 1 point" in today.said
    assert "without any training: " in today.said and "with its head tuned: " in today.said
    summary = pd.read_csv(today.folder / "results/today/summary.csv")
    configurations = {"untuned", "tuned", "layers", "layers-head", "layers-trained"}
    assert set(summary["configuration"]) == configurations
    own = summary[summary["configuration"] == "layers"]
    assert len(own) == len(MODELS) and own["certified_layers"].notna().all()
    assert np.isfinite(own["certified_latency_ms"]).all()
    for file in ("frontier.csv", "frontier.png", "frontier/modern_entail.png"):
        assert (today.folder / "results/today" / file).is_file()


def test_withholding_another_share_trains_again_and_a_tolerance_does_not(today):
    def planned(**changes) -> set[str]:
        return {rule for rule, _ in today.planned(**changes)}

    assert planned() == set()
    assert {"withhold_examples", "finetune"} <= planned(training={"withhold": 0.2})
    costly = {"finetune", "choose_layers", "dump_sets", "score_sets", "measure_costs"}
    costly |= {"train_cut", "plan_cuts"}
    changed = planned(summary={"tolerance": 0.05})
    assert "tabulate_frontier" in changed and not changed & costly
    assert "measure_costs" in planned(frontier={"rounds": 6})
    sizes = {"frontier": {"training": {"sizes": [4, 2, 1]}}}
    assert {"plan_cuts", "tabulate_frontier"} <= planned(**sizes)
    temperature = {"frontier": {"training": {"distillation": {"temperature": 9}}}}
    assert {"train_cut", "tabulate_frontier"} <= planned(**temperature)
