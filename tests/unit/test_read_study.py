"""A study's results for notebooks, read from a small folder made by hand."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from strata.analysis.study import TABLES, read_study
from strata.runtime.code_hash import SCRIPTS
from strata.runtime.errors import StrataError

ROWS, HIDDEN, LAYERS = 5, 3, 2


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_activations(folder: Path, model: str, task: str, state: str) -> None:
    path = folder / f"activations/{model}_{task}/eval/{state}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = np.arange(LAYERS * ROWS * HIDDEN, dtype="f4").reshape(LAYERS, ROWS, HIDDEN)
    with h5py.File(path, "w") as file:
        about = {"model": model, "task": task, "split": "eval", "state": state}
        about |= {"schema_version": 3, "choices": 1, "poolings": '["head", "raw", "mean"]'}
        file.attrs.update(about)
        for pooling, first in {"head": 1, "raw": 1, "mean": 0}.items():
            bottom = np.full((1, ROWS, HIDDEN), -1, dtype="f4")
            file[pooling] = vectors if first else np.concatenate([bottom, vectors])
            file[f"depth_{pooling}"] = np.arange(first, LAYERS + 1)
        for name in ("cosine", "angle"):
            file[name] = np.zeros((LAYERS, ROWS), dtype="f4")
        file["label"], file["example_id"] = np.zeros(ROWS, dtype=int), np.arange(ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two models on one task, of which one has more than the other."""
    folder = tmp_path_factory.mktemp("results") / "tiny"
    for model in ("bert", "mini-lm"):
        write(
            folder,
            f"truncation/{model}_news.csv",
            "model,task,seed,configuration,depth,value,failed\n"
            f"{model},news,1,untuned,1,0.5,False\n{model},news,,baseline,,0.25,False\n",
        )
        write(folder, f"cka/{model}_news.blocks.csv", f"model,task,kind\n{model},news,late\n")
        write(folder, f"truncation/{model}_news.calibration.csv", f"model,task\n{model},news\n")
    write(
        folder,
        "summary.csv",
        "model,task,configuration,seeds,certified_depth\nbert,news,untuned,1,\n"
        "mini-lm,news,untuned,1 2,2\n",
    )
    write(folder, "claims.csv", "claim,model,task,verdict\nP0,bert,news,holds\nP0,,none,holds\n")
    write(
        folder,
        "frontier/bert_news.csv",
        "model,task,seed,layers,value\nbert,news,1,1-8,0.9\nbert,news,1,10,0.8\n",
    )
    write(folder, "cka-models/news.csv", "task,y_model,x_model,cka\nnews,bert,mini-lm,0.5\n")
    write(folder, "reinit/bert_news/probing.csv", "model,task,part,size\nbert,news,probing,64\n")
    write(folder, "reinit/bert_news/progressive.csv", "model,task,part,size\nbert,news,p,all\n")
    run = "runs/bert_news/full/seed1"
    write(folder, f"{run}/history.csv", "step,loss\n5,0.7\n")
    record = {"model": "bert", "task": "news", "training": {"max_steps": 5}, "notes": []}
    write(folder, f"{run}/run.json", json.dumps(record))
    write(folder, f"{run}/metrics.json", json.dumps({"metric": "accuracy", "score": 0.9}))
    answers = pd.DataFrame({"example_id": [0], "label": [1], "prediction": [1]})
    answers.to_parquet(folder / run / "predictions.parquet")
    (folder / "truncation/bert_news").mkdir()
    answers.assign(depth=1).to_parquet(folder / "truncation/bert_news/tuned-orig-seed1.parquet")
    for state in ("pretrained", "full-seed1"):
        write_activations(folder, "bert", "news", state)
    return folder


@pytest.fixture
def study(folder):
    return read_study(folder)


def test_models_and_tasks_are_what_there_are_results_of(study):
    assert study.models == ["bert", "mini-lm"] and study.tasks == ["news"]
    assert "bert, mini-lm" in repr(study) and "truncation" in repr(study)


def test_a_table_is_of_all_pairs_or_of_some(study):
    both = study.table("truncation")
    assert list(both.columns[:2]) == ["model", "task"]
    assert both["model"].tolist() == ["bert", "bert", "mini-lm", "mini-lm"]
    one = study.table("truncation", model="mini-lm", task="news")
    assert one["model"].unique().tolist() == ["mini-lm"] and one.index.tolist() == [0, 1]
    assert study.table("summary", model="bert").equals(study.summary.iloc[:1])


def test_a_table_says_what_its_files_paths_do(study):
    history = study.table("history")
    assert history.iloc[0].tolist() == ["bert", "news", "full", 1, 5, 0.7]
    assert list(history.columns[:4]) == ["model", "task", "variant", "seed"]
    assert study.table("cka-models", task="news").columns[0] == "task"


def test_layer_sets_and_lists_of_seeds_are_text_and_seeds_whole_numbers(study):
    assert study.table("frontier")["layers"].tolist() == ["1-8", "10"]
    assert study.summary["seeds"].tolist() == ["1", "1 2"]
    assert study.table("reinit")["size"].tolist() == ["64", "all"]
    truncation = study.table("truncation", model="bert")
    assert truncation["seed"].dtype == "Int64" and truncation["seed"].tolist() == [1, pd.NA]
    assert study.summary["certified_depth"].tolist() == [pd.NA, 2]
    # A task may be called none; an empty cell is nothing.
    claims = study.table("claims")
    assert claims["task"].tolist() == ["news", "none"] and claims["model"].isna().tolist()[1]


def test_the_tables_that_are_missing_come_with_the_command_that_makes_them(study):
    tables = study.tables
    assert list(tables.index) == list(TABLES)
    assert tables.loc["truncation", ["made", "of", "command"]].tolist() == [2, 2, ""]
    assert tables.loc["frontier", ["made", "of"]].tolist() == [1, 2]
    assert tables.loc["frontier", "command"] == "snakemake frontier"
    assert tables.loc["reinit", "made"] == 1 and tables.loc["nu", "made"] == 0
    assert tables.loc["cka-models", ["made", "of", "command"]].tolist() == [1, 1, ""]
    # cka/bert_news.blocks.csv is another table, and tables of one state are none of a pair.
    assert tables.loc["cka", "made"] == 0 and tables.loc["blocks", "made"] == 2


def test_every_target_that_is_named_is_one():
    rules = (SCRIPTS.parent / "rules/targets.smk").read_text()
    assert all(
        f"\nrule {each.target}:" in rules for each in TABLES.values() if each.target != "all"
    )


def test_runs_are_their_records_and_scores(study):
    (run,) = study.runs.to_dict("records")
    assert run["score"] == 0.9 and run["training.max_steps"] == 5 and run["model"] == "bert"


def test_activations_are_arrays_by_name(study):
    assert study.states("bert", "news") == ["full-seed1", "pretrained"]
    with study.activations("bert", "news", "full-seed1") as activations:
        assert activations["raw"].shape == (LAYERS, ROWS, HIDDEN)
        assert isinstance(activations["raw"], h5py.Dataset)  # nothing is read yet
        assert np.array_equal(activations["raw"][1], activations.at(2, "raw"))
        assert np.array_equal(activations.at(2, "mean"), activations.at(2))
        assert (activations.at(0, "mean") == -1).all()
        assert set(activations.names) == {
            "head", "raw", "mean", "cosine", "angle", "label", "example_id"
        }  # fmt: skip
        assert "raw: [2, 5, 3] float32" in repr(activations)
        with pytest.raises(StrataError, match="no depth 0 of 'head' .depths 1 to 2."):
            activations.at(0)
        with pytest.raises(StrataError, match="has no 'vectors'; it has angle"):
            activations["vectors"]
    assert "closed" in repr(activations)


def test_predictions_are_of_a_run_or_of_every_depth(study):
    assert list(study.predictions("bert", "news")) == ["example_id", "label", "prediction"]
    assert "depth" in study.predictions("bert", "news", "full-seed1", of="tuned-orig")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.table("ckas"), "There is no table 'ckas'; there are summary, verdicts"),
        (lambda s: s.table("nu"), "has no table 'nu'; 'snakemake variability'"),
        (
            lambda s: s.table("frontier", model="mini-lm", task="news"),
            "has no table 'frontier' of mini-lm and news; 'snakemake frontier'",
        ),
        (lambda s: s.table("truncation", model="gpt"), "has no model 'gpt'; it has bert, mini-lm"),
        (lambda s: s.table("truncation", task="old"), "has no task 'old'; it has news"),
        (lambda s: s.table("cka-models", model="bert"), "'cka-models' has no column 'model'"),
        (lambda s: s.activations("gpt", "news", "full-seed1"), "has no model 'gpt'"),
        (
            lambda s: s.activations("mini-lm", "news", "full-seed1"),
            "has no activations of mini-lm on news; 'snakemake cka'",
        ),
        (
            lambda s: s.activations("bert", "news", "full-seed2"),
            "in the state 'full-seed2'; it has full-seed1, pretrained",
        ),
        (
            lambda s: s.predictions("bert", "news", "full-seed2"),
            "no predictions .'run'. of bert on news in the state 'full-seed2'; it has full-seed1",
        ),
        (lambda s: s.predictions("bert", "news", of="layers"), "no predictions of 'layers'"),
        (
            lambda s: s.predictions("bert", "news", of="tuned"),
            "has no predictions .'tuned'. of bert on news; 'snakemake truncation'",
        ),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(study, ask, words):
    with pytest.raises(StrataError, match=words) as raised:
        ask(study)
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_study_is_refused(folder, tmp_path):
    with pytest.raises(StrataError, match="There is no folder .*nowhere"):
        read_study(tmp_path / "nowhere")
    with pytest.raises(StrataError, match="holds no results of a study; read_study"):
        read_study(tmp_path)
    with pytest.raises(StrataError, match="holds no results of a study; there is one in .*tiny"):
        read_study(folder.parent)


def test_it_is_read_without_torch_and_without_snakemake(folder):
    code = (
        "import sys\nsys.path.insert(0, 'workflow_scripts')\n"
        "from strata.analysis.study import read_study\n"
        f"read_study({str(folder)!r}).table('truncation')\n"
        "print({'torch', 'transformers', 'snakemake'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=SCRIPTS.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
