"""Already fine-tuned models: what their users write, and what they get."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from helpers import given
from helpers.shared import once
from helpers.workflows import MINE, RECIPE, Workflow, copy_workflow, merge
from workflow.conftest import PASSING, SAID, run_study

FIGURE = {"model": "other", "task": "opinions"}
SAME = [
    "cka/{}_entail.csv",
    "cka/{}_entail.blocks.csv",
    "controls/{}_entail.csv",
    "truncation/{}_entail.csv",
    "truncation/{}_entail.calibration.csv",
    "skipping/{}_entail.csv",
]
# One checkpoint of a plain Trainer, no encoder, no train split, and every analysis requested.
BARE = {
    "outdir": "results/bare",
    "study": {
        "models": ["bare"],
        "tasks": ["opinions"],
        "analyses": [
            "cka", "controls", "truncation", "skipping", "exits", "export", "reinit", "variability",
            "agreement", "claims",
        ],
    },
    "models": {"bare": {"checkpoints": ["path:source/bare"]}},
    **RECIPE,
}  # fmt: skip


@pytest.fixture(scope="session")
def bare(tmp_path_factory, planner, request) -> Workflow:
    """The finished study of BARE, in a folder where nothing else was ever done."""

    def make(folder: Path) -> None:
        # Its labels have another order than the task's.
        given.fine_tuned(folder / "source/bare", ["neither", "against", "for"])
        tasks = {"opinions": given.task(folder / "source/opinions", "source/opinions")}
        (folder / "study.yaml").write_text(yaml.safe_dump(BARE | {"tasks": tasks}))
        copy_workflow(folder / "workflow")
        run_study(folder, request)

    folder = once(tmp_path_factory, "bare", make)
    return Workflow(folder / "workflow", folder, planner, said=(folder / SAID).read_text())


# ---------------------------------------------------------------- as the runs that they are


@pytest.mark.parametrize("table", SAME)
def test_a_run_that_is_given_back_has_the_tables_that_it_had(mine, table):
    own, given_back = (
        (mine.folder / f"results/{study}" / table.format(model)).read_text()
        for study, model in (("tiny", "roberta"), ("mine", "mine"))
    )
    assert given_back.replace("mine,", "roberta,") == own


def test_what_is_certified_is_a_claim_about_these_checkpoints(mine):
    both = [
        pd.read_csv(mine.folder / f"results/{study}/summary.csv").query("task == 'entail'")
        for study in ("tiny", "mine")
    ]
    # Predictions of layer sets are a separate row.
    both = [table[table["configuration"].isin(["untuned", "tuned"])] for table in both]
    own, given_back = (table.set_index("configuration") for table in both)
    own = own[own["model"] == "roberta"]
    assert set(own["claim"]) == {"these runs"}
    assert set(given_back["claim"]) == {"these checkpoints"}
    others = own.columns.drop(["model", "claim"])
    pd.testing.assert_frame_equal(given_back[others], own[others], check_dtype=False)
    assert "a claim about these checkpoints" in mine.said or "no smaller depth" in mine.said
    claims = pd.read_csv(mine.folder / "results/mine/claims.csv")
    assert set(claims["about"].dropna()) <= {"these checkpoints", "this encoder", "these tasks"}


def test_a_record_says_that_it_was_given(mine):
    run = mine.folder / "results/mine/runs/mine_entail/full/seed2"
    record = json.loads((run / "run.json").read_text())
    assert record["given"] is True and record["notes"] == []
    assert record["model_source"]["source"] == "path:source/mine/2"
    assert record["labels_by"] == "name" and record["max_length"] == 62
    assert not (run / "history.csv").exists()


def test_a_finished_study_of_given_models_has_nothing_to_do(mine):
    assert mine.planned(**MINE) == []


def test_a_changed_checkpoint_reruns_its_own_jobs_and_no_others(mine, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(mine.folder, folder, symlinks=True, ignore=PASSING)
    own = Workflow(folder / "workflow", folder, mine.planner)
    assert own.planned(**MINE) == []
    config = folder / "source/mine/2/config.json"
    config.write_text(config.read_text() + "\n")
    planned = own.planned(**MINE)
    assert {rule for rule, _ in planned} >= {"fetch_given", "check_given", "adopt", "dump_eval"}
    for rule, output in planned:
        of_one = rule in {"fetch_given", "adopt", "dump_eval", "dump_train", "tune_heads"}
        assert not of_one or "2" in Path(output).stem or "seed2" in output or "/2" in output, output
        assert "roberta" not in output and "tiny" not in output, output


def test_a_checkpoint_that_is_added_reruns_nothing_of_those_that_are_there(mine, tmp_path):
    """Nor does an encoder that is registered later: it is checked, and its own jobs run."""
    more = {"mine": {"checkpoints": [*MINE["models"]["mine"]["checkpoints"], "path:source/mine/2"]}}
    planned = mine.planned(**merge(MINE, {"models": more}))
    costly = [out for rule, out in planned if rule in {"adopt", "dump_eval", "tune_heads"}]
    assert costly and all("seed3" in output for output in costly)
    assert "check_given" in {rule for rule, _ in planned}


def test_models_of_one_and_of_two_checkpoints_share_what_both_have(mine):
    second = {
        "second": {"checkpoints": ["path:source/mine/1"], "pretrained": "path:source/roberta"}
    }
    both = merge(MINE, {"study": {"models": ["mine", "second"]}, "models": second})
    planned = mine.planned(**both)
    outputs = {output.removeprefix("results/mine/") for _, output in planned}
    assert {"figures/figure6.png", "figures/figure7.png"} <= outputs
    compared = {output for rule, output in planned if rule == "compare_models"}
    assert compared == {"results/mine/cka-models/entail/mine.second.full-seed1.csv"}
    assert not any("second" in output and "seed2" in output for output in outputs)


# ---------------------------------------------------------------- one checkpoint and a sample


def test_what_a_bare_study_goes_without_is_said(bare):
    said = bare.said
    assert "bare is registered without 'pretrained': no maps of ORIG" in said
    assert "opinions without 'splits.train': no TUNED" in said
    assert "reinit and agreement: left out" in said and "exits: left out" in said


def test_a_bare_study_has_all_that_needs_neither(bare):
    results = bare.folder / "results/bare"
    for name in ("figure1.png", "figure2.png", "figure3.png", "figure4.png"):
        assert (results / "figures" / name).is_file()
    for name in ("figure5.png", "figure6.png", "figure7.png"):
        assert not (results / "figures" / name).exists()
    cka = pd.read_csv(results / "cka/bare_opinions.csv")
    assert set(cka["x_state"]) == {"full-seed1"}
    blocks = pd.read_csv(results / "cka/bare_opinions.blocks.csv")
    assert blocks["made"].isna().all() and blocks["made_in_every_run"].isna().all()
    assert set(blocks["seed"]) == {1}
    scores = pd.read_csv(results / "truncation/bare_opinions.csv")
    assert set(scores["configuration"]) == {"untuned", "full", "baseline"}
    assert set(pd.read_csv(results / "summary.csv")["configuration"]) == {"untuned"}
    claims = pd.read_csv(results / "claims.csv")
    lacking = claims[claims["what_it_takes"].str.contains("'pretrained'|'splits.train'", na=False)]
    assert {"P2", "P7"} <= set(lacking["claim"])
    assert set(lacking[~lacking["whole"]]["verdict"]) == {"not in this study"}


def test_labels_of_another_order_are_matched_by_name(bare):
    run = bare.folder / "results/bare/runs/bare_opinions/full/seed1"
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert (predictions["label"] == predictions["prediction"]).mean() > 0.9
    config = json.loads((run / "checkpoint/config.json").read_text())
    assert [*config["id2label"].values()] == given.LABELS


def test_the_export_has_the_checkpoints_own_order_and_head(bare):
    folder = bare.folder / "results/bare/export/bare_opinions/depth-auto"
    small = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert small.config.id2label == {0: "neither", 1: "against", 2: "for"}
    given_model = AutoModelForSequenceClassification.from_pretrained(bare.folder / "source/bare")
    assert torch.equal(small.classifier.weight, given_model.classifier.weight)
    rows = given.opinion_rows(160, 5)
    batch = AutoTokenizer.from_pretrained(folder)(
        rows["text"].tolist(), padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        answered = small(**batch).logits.argmax(-1).numpy()
    right = np.array([small.config.id2label[i] for i in answered]) == rows["label"]
    summary = pd.read_csv(bare.folder / "results/bare/summary.csv").iloc[0]
    assert small.config.num_hidden_layers == summary["certified_depth"]
    assert right.mean() == pytest.approx(summary["certified_value"])
    card = (folder / "README.md").read_text()
    assert "checkpoint 1, `path:source/bare`" in card and "UNTUNED truncation" in card
    assert f"{summary['certified_value']:.4f}" in card


def test_without_train_rows_a_tuned_head_is_refused_while_planning(bare):
    target = "results/bare/export/bare_opinions/layers-auto_head"
    done = bare.configured(target, "--dry-run", check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and "tasks.opinions has no 'splits.train' to tune a head on" in said


def test_a_bare_study_is_finished(bare):
    done = bare.configured("--dry-run", check=False)
    assert "Nothing to be done" in done.stdout + done.stderr


# ---------------------------------------------------------------- refused, or told


def adopted(bare, folder: Path, entry: dict, **changes) -> str:
    """The output if BARE's task is used with another entry, up to its adoption."""
    shutil.copytree(bare.folder, folder, symlinks=True, ignore=PASSING, dirs_exist_ok=True)
    own = Workflow(folder / "workflow", folder, bare.planner)
    study = merge(yaml.safe_load((folder / "study.yaml").read_text()), changes)
    study["models"] = {"other": entry}
    study["study"]["models"] = ["other"]
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    done = own.configured(
        "results/bare/runs/other_opinions/full/seed1/predictions.parquet", "--cores", "1",
        check=False,
    )  # fmt: skip
    logs = [path.read_text() for path in (folder / "results/bare/logs/adopt").glob("other*")]
    return "\n".join([done.stdout, done.stderr, *logs])


def test_swapped_labels_that_only_have_numbers_are_found(bare, tmp_path):
    """Three labels, the first two swapped: outputs stand for for, against, neither."""
    folder = tmp_path / "study"
    model = given.fine_tuned(folder / "source/other", ["for", "against", "neither"])
    for names in ("id2label", "label2id"):
        setattr(model.config, names, None)
    model.config.num_labels = 3
    model.save_pretrained(folder / "source/other")
    entry = {"checkpoints": ["path:source/other"]}
    said = adopted(bare, folder, entry)
    suggested = "{LABEL_0: for, LABEL_1: against, LABEL_2: neither}"
    assert f"label_map: {suggested}" in said and "another order gains +" in said
    assert not (folder / "results/bare/runs/other_opinions/full/seed1/checkpoint").exists()
    mapped = entry | {"label_map": yaml.safe_load(suggested)}
    said = adopted(bare, folder, mapped)
    assert (folder / "results/bare/runs/other_opinions/full/seed1/checkpoint").exists(), said


def test_an_encoder_with_a_head_of_its_own_is_told_of(bare, tmp_path):
    """Its head is drawn again, and a note says how to get that model as it is."""
    entry = {"source": "path:source/bare", "training": {"max_steps": 2}}
    rows = {"splits": {"train": "opinions.jsonl", "eval": "opinions.jsonl"}}
    few = {"study": {"analyses": ["truncation"], "skipping": [], "figure1": FIGURE}}
    said = adopted(bare, tmp_path / "study", entry, tasks={"opinions": rows}, **few)
    assert (
        "models.other has a trained head of its own (classifier.bias), which was replaced by a new "
        "one; to have that model analysed as it is, register it with 'checkpoints', not 'source'."
    ) in said
