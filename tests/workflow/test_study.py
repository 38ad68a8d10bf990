"""What the finished study contains: every artefact, and the equalities that must hold."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification

from strata.analysis.activations import Activations
from strata.analysis.cka import alignment

MODELS, TASKS, SEEDS = ("roberta", "albert", "electra"), ("entail", "goodness", "endings"), (1, 2)
RATES = [1e-4, 3e-4, 1e-3, 3e-3]  # config.yaml's, for heads tuned to convergence
LAYERS = {"roberta": 4, "albert": 5, "electra": 4}
PAIRS = [(model, task) for model in MODELS for task in TASKS]


def test_every_run_has_its_artefacts(results):
    for model, task in PAIRS:
        for seed in SEEDS:
            run = results / f"runs/{model}_{task}/full/seed{seed}"
            assert (run / "checkpoint/model.safetensors").is_file()
            history = pd.read_csv(run / "history.csv")
            assert list(history) == ["step", "loss", "learning_rate", "examples_per_second"]
            assert history["step"].iloc[-1] == 120
            about = json.loads((run / "run.json").read_text())
            assert about["precision"] == "float32" and about["device"] == "cpu"
            assert about["versions"]["torch"] and about["config_hash"] and about["wall_seconds"] > 0
            assert about["model_source"]["source"].startswith("path:")


def test_tiny_encoders_learn_the_tasks(results):
    """Most runs do; otherwise nothing below would mean much."""
    good = [
        not json.loads(path.read_text())["failed"]
        for path in results.glob("runs/*/full/*/metrics.json")
    ]
    assert len(good) == 18 and sum(good) >= 12


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_truncation_table(table, model, task):
    scores = table(f"truncation/{model}_{task}.csv")
    assert {"model", "task", "metric", "value", "n", "degenerate", "failed"} <= set(scores)
    groups = scores.dropna(subset="seed").groupby(["configuration", "seed"])["depth"]
    depths = {key: group.tolist() for key, group in groups}
    twins = ("tuned-converged", "tuned-best", "tuned-orig-converged")
    for configuration in ("untuned", "tuned", "tuned-orig", *twins):
        for seed in SEEDS:
            assert depths[configuration, seed] == list(range(1, LAYERS[model] + 1))
    assert_best_is_one_of_two(scores)
    full = scores.query("configuration == 'full'").set_index("seed")["value"]
    top = scores.query(f"configuration == 'untuned' and depth == {LAYERS[model]}")
    assert np.allclose(top.set_index("seed")["value"], full, rtol=0, atol=1e-6)
    assert (scores.query("configuration == 'baseline'")["seed"].isna()).all()
    assert (scores["n"] == scores["n_examples"] * (3 if task == "endings" else 1)).all()


def assert_best_is_one_of_two(scores):
    """At each depth, the one that is better on train examples withheld from both."""
    plain, twin, best, orig_twin = (
        scores[scores["configuration"] == name].reset_index()
        for name in ("tuned", "tuned-converged", "tuned-best", "tuned-orig-converged")
    )
    taken = np.where(twin["withheld"] > plain["withheld"], "tuned-converged", "tuned")
    assert best["recipe"].tolist() == taken.tolist()
    expected = np.where(taken == "tuned", plain["value"], twin["value"])
    np.testing.assert_array_equal(best["value"], expected)
    for rows in (twin, orig_twin):
        assert rows["learning_rate"].isin(RATES).all()
        for end, rate in (("lowest", RATES[0]), ("highest", RATES[-1])):
            assert ((rows["grid_end"] == end) == (rows["learning_rate"] == rate)).all()


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_runs_keep_the_logits_that_their_predictions_are_decided_by(results, model, task):
    """UNTUNED's at the last depth are the full model's own, from another job."""
    folder = results / f"truncation/{model}_{task}"
    answers = {"entail": 2, "endings": 3, "goodness": 1}[task]
    names = [f"logit_{answer}" for answer in range(answers)]
    for seed in SEEDS:
        run = pd.read_parquet(results / f"runs/{model}_{task}/full/seed{seed}/predictions.parquet")
        assert run.columns.tolist() == ["example_id", "label", "prediction", *names]
        assert (run[names].dtypes == np.float32).all()
        logits = run[names].to_numpy()
        decided = logits[:, 0] if answers == 1 else logits.argmax(1)
        np.testing.assert_allclose(run["prediction"], decided)
        untuned = pd.read_parquet(folder / f"untuned-full-seed{seed}.parquet")
        top = untuned[untuned["depth"] == LAYERS[model]]
        both = top.merge(run, on="example_id", validate="one_to_one")
        assert len(both) == len(top)
        for name in names:
            np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], atol=1e-4)


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_calibration_table(results, table, model, task):
    rows = table(f"truncation/{model}_{task}.calibration.csv")
    scores = table(f"truncation/{model}_{task}.csv").query("configuration != 'full'")
    keys = ["seed", "configuration", "depth"]
    both = rows.merge(scores, on=keys, validate="one_to_one")
    assert len(both) == len(rows) == len(scores)
    assert (both["failed_x"] == both["failed_y"]).all()
    assert (both["n_x"] == both["n_y"]).all()
    of_runs = both[both["configuration"] != "baseline"]
    if task == "goodness":
        assert of_runs["squared_error"].gt(0).all() and rows["nll"].isna().all()
    else:
        assert of_runs["nll"].gt(0).all() and of_runs["ece"].between(0, 1).all()
        changed = of_runs["flips"] - of_runs["worse"] - of_runs["better"]
        assert (changed >= -1e-9).all()  # wrong answers may change into other wrong ones
    for kind in ("png", "pdf"):
        drawn = results / f"truncation/{model}_{task}.calibration.{kind}"
        assert drawn.stat().st_size > 5000


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_early_exit_stands_beside_the_static_cuts(results, table, model, task):
    if task == "goodness":  # a regression, whose predictions have no confidence
        assert not (results / f"exits/{model}_{task}.csv").exists()
        return
    rows = table(f"exits/{model}_{task}.csv")
    assert set(rows["seed"]) == set(SEEDS)
    scores, keys = table(f"truncation/{model}_{task}.csv"), ["seed", "depth"]
    for kind, name, count in (("static", "tuned-best", LAYERS[model] - 1), ("full", "full", 1)):
        of_name = scores[scores["configuration"] == name]
        own = rows[rows["kind"] == kind].merge(of_name, on=keys, validate="one_to_one")
        assert len(own) == len(SEEDS) * count
        np.testing.assert_allclose(own["value_x"], own["value_y"], atol=1e-6)
        assert (own["failed_x"] == own["failed_y"]).all()
    exits = rows[rows["kind"].isin(["chosen", "curve"])]
    assert (exits["mean_depth"] <= exits["deepest_8"] + 1e-9).all()
    assert exits[["mean_depth", "deepest_8", "deepest_32"]].stack().between(1, LAYERS[model]).all()
    for kind in ("png", "pdf"):
        assert (results / f"exits/{model}_{task}.{kind}").stat().st_size > 5000


def test_cka_tables(results, table):
    for model, task in PAIRS:
        rows = table(f"cka/{model}_{task}.csv")
        assert set(rows["estimator"]) == {"biased", "debiased"}
        pairs = set(zip(rows["y_state"], rows["x_state"], strict=True))
        assert pairs == {
            ("pretrained", "pretrained"),
            ("full-seed1", "pretrained"),
            ("full-seed2", "pretrained"),
            ("full-seed1", "full-seed1"),
            ("full-seed2", "full-seed2"),
            ("full-seed1", "full-seed2"),
        }
        own = rows.query("y_state == x_state and y_depth == x_depth and y_depth > 0")
        assert np.allclose(own["cka"], 1)
        assert np.allclose(own["se"], 0, atol=1e-6)
        assert rows["se"].notna().all() and (rows["se"] < 0.5).all()
        assert rows.query("pooling == 'mean'")["y_depth"].min() == 0
        assert rows.query("pooling == 'raw'")["y_depth"].min() == 1


def test_a_cka_value_is_that_of_the_activations(results, table):
    folder = results / "activations/albert_endings/eval"
    with (
        Activations.open(folder / "full-seed1.h5") as y,
        Activations.open(folder / "pretrained.h5") as x,
    ):
        pair = y.vectors()[[4]], x.vectors()[[1]]
        expected = alignment(*pair, choices=y.choices).debiased.item()
    # If rows were taken for examples, it would be another number.
    assert alignment(*pair).debiased.item() != pytest.approx(expected, abs=1e-3)
    rows = table("cka/albert_endings.csv").query(
        "y_state == 'full-seed1' and x_state == 'pretrained' and y_depth == 5 and x_depth == 2"
        " and pooling == 'raw' and estimator == 'debiased'"
    )
    assert rows["cka"].item() == pytest.approx(expected, abs=1e-9)


def test_cka_across_models(table):
    for task in TASKS:
        rows = table(f"cka-models/{task}.csv")
        assert set(zip(rows["y_model"], rows["x_model"], strict=True)) == {
            ("roberta", "albert"),
            ("roberta", "electra"),
            ("albert", "electra"),
        }
        assert set(rows["seed"]) == set(SEEDS)
        assert rows["se"].notna().all()
        wide = rows.query("y_model == 'roberta' and x_model == 'albert' and pooling == 'raw'")
        assert wide["y_depth"].max() == 4 and wide["x_depth"].max() == 5


def test_blocks_of_every_run_are_in_a_table(table):
    for model, task in PAIRS:
        blocks = table(f"cka/{model}_{task}.blocks.csv")
        assert len(blocks) == 3 * 2 * 2  # states, poolings, kinds
        assert set(blocks["state"]) == {"pretrained", "full-seed1", "full-seed2"}
        assert (
            blocks["layers"] == LAYERS[model]
        ).all()  # depth 0 of `mean` is not a layer's output
        maps = table(f"cka/{model}_{task}.csv").query("estimator == 'debiased'")
        late = blocks.query("kind == 'late' and pooling == 'raw'").dropna(subset="separation")
        for block in late.itertuples():
            own = maps[(maps["y_state"] == block.state) & (maps["x_state"] == block.state)]
            own = own[(own["pooling"] == "raw") & (own["y_depth"] < own["x_depth"])]
            above = own["x_depth"] >= block.late_begin
            within = own.loc[own["y_depth"] >= block.late_begin, "cka"].min()
            across = own.loc[above & (own["y_depth"] <= block.early_end), "cka"].max()
            assert block.separation == pytest.approx(within - across, abs=1e-9)
            assert block.found == (block.separation_low > 0)


def test_controls_stand_beside_every_map(results, table):
    for model, task in PAIRS:
        controls, maps = table(f"controls/{model}_{task}.csv"), table(f"cka/{model}_{task}.csv")
        assert list(dict.fromkeys(controls["state"])) == ["pretrained", "full-seed1", "full-seed2"]
        assert set(controls["pooling"]) == {"raw", "mean"}
        keys = {"y_depth": "depth", "x_depth": "other_depth", "y_state": "state"}
        maps = maps.query("estimator == 'debiased' and y_state == x_state").rename(columns=keys)
        plain = controls.query("measure == 'cka'").merge(
            maps, on=[*keys.values(), "pooling"], suffixes=("", "_of_map")
        )
        depths = {"raw": LAYERS[model], "mean": LAYERS[model] + 1}
        assert len(plain) == 3 * sum(2 * count - 3 for count in depths.values())
        assert (plain["failed"] == plain["failed_of_map"]).all()
        if task != "endings":  # choices there are taken by their position
            assert np.allclose(plain["value"], plain["cka"], equal_nan=True, atol=1e-6)
        assert (plain["n"] == plain["n_examples"] * (3 if task == "endings" else 1)).all()
        shares = controls.query("measure == 'pc1_share'")["value"]
        assert len(shares) == 3 * sum(depths.values()) and shares.between(0, 1).all()
        assert image.imread(results / f"controls/{model}_{task}.png")[..., :3].std() > 0.1


def test_skipping_tables(table, results):
    for model, task in PAIRS:
        if model == "electra":
            assert not (results / f"skipping/{model}_{task}.csv").exists()
            continue
        rows = table(f"skipping/{model}_{task}.csv")
        layers = LAYERS[model]
        assert len(rows) == len(SEEDS) * layers * (layers + 1) / 2
        # Skipping the last layers is truncation, and the two are computed by different code.
        untuned = table(f"truncation/{model}_{task}.csv").query("configuration == 'untuned'")
        cut = rows.query("last == @layers and first > 1").assign(depth=lambda r: r["first"] - 1)
        both = cut.merge(untuned, on=["seed", "depth"])
        assert len(both) == len(SEEDS) * (layers - 1)
        assert np.allclose(both["value_x"], both["value_y"], rtol=0, atol=1e-6)


def test_figures_exist_and_are_images(results):
    for number in range(1, 8):
        for kind in ("png", "pdf"):
            assert (results / f"figures/figure{number}.{kind}").stat().st_size > 5000
    for model, task in PAIRS:
        drawn = image.imread(results / f"cka/{model}_{task}.png")
        assert drawn[..., :3].std() > 0.1
        assert (results / f"cka/{model}_{task}.biased.png").is_file()


def test_summary_names_every_pair_and_is_printed(study, table):
    summary = table("summary.csv")
    assert len(summary) == 2 * len(PAIRS)
    shared = summary.query("model == 'albert' and within_depth < layers")
    assert len(shared) and (shared["within_parameters_saved"] == 0).all()
    for model, task in PAIRS:
        assert f"{model} on {task}:" in study.said


def test_claims_are_judged_drawn_and_said(study, table, results):
    claims = table("claims.csv")
    parts = claims[~claims["whole"]]
    assert set(parts["verdict"]) <= {
        "holds", "does not hold", "cannot be told", "not in this study",
    }  # fmt: skip
    # Claims about all models are judged on every task, for each model that they speak of.
    late = parts[(parts["claim"] == "P6") & (parts["part"] == "a")]
    asked = {(row.model, row.task) for row in late.dropna(subset="task").itertuples()}
    assert asked == {(model, task) for model in MODELS[:2] for task in TASKS}
    told = parts[parts["low"].notna() & parts["task"].notna()]
    assert (told["low"] <= told["high"]).all() and len(told) > 50
    assert not parts[parts["verdict"] == "not in this study"]["what_it_takes"].isna().any()
    compared = parts[parts["claim"] == "P8"]
    assert set(compared["model"]) == {"albert less roberta"}
    assert "roberta & electra" in set(parts.loc[parts["claim"] == "P13", "model"])
    # ELECTRA is not in study.skipping, and none of the tasks that the paper names is here.
    skipped = parts[(parts["claim"] == "P10") & (parts["part"] == "a")]
    absent = set(skipped.loc[skipped["verdict"] == "not in this study", "model"])
    assert absent == {"electra"}
    judged = set(claims.dropna(subset="model")["claim"])
    for number, paper in claims[["claim", "paper"]].drop_duplicates().itertuples(index=False):
        assert (f"{number}, {paper}: " in study.said) == (number in judged)
    (last,) = re.findall(r"^Not in this study: (.*);", study.said, re.MULTILINE)
    assert set(last.split(", ")) == set(claims["claim"]) - judged
    assert image.imread(results / "claims.png")[..., :3].std() > 0.1


def test_claims_are_read_from_what_the_other_tables_say(table):
    """With other code: what UNTUNED loses on the way, and what skipping the first layer costs."""
    claims = table("claims.csv")
    for model, task in PAIRS[:6]:
        readings = table(f"claims/{model}_{task}.csv").set_index("measure")
        truncation = table(f"truncation/{model}_{task}.csv").query("not failed")
        wide = truncation.pivot_table("value", "configuration", "depth")
        if readings.loc["untuned-lost-late"].isna()["value"]:
            continue  # every run failed
        lost = wide.loc["full", LAYERS[model]] - wide.loc["untuned"]
        late = lost[LAYERS[model] - 1]
        found = readings.loc["untuned-lost-late"]
        assert found["value"] == pytest.approx(late, abs=1e-7)
        assert found["low"] <= found["value"] <= found["high"]
        skipping = table(f"skipping/{model}_{task}.csv").query("first == last and not failed")
        single = (skipping["full"] - skipping["value"]).groupby(skipping["first"]).mean()
        assert readings.loc["skip-first", "value"] == pytest.approx(single[1], abs=1e-7)
        assert readings.loc["skip-any", "value"] == pytest.approx(single[1:].max(), abs=1e-7)
    assert len(claims) > 100


def test_failed_runs_are_flagged_everywhere(results, table):
    for model, task in PAIRS:
        failed = {
            seed
            for seed in SEEDS
            if json.loads(
                (results / f"runs/{model}_{task}/full/seed{seed}/metrics.json").read_text()
            )["failed"]
        }
        truncation = table(f"truncation/{model}_{task}.csv")
        assert set(truncation[truncation["failed"]]["seed"]) == failed
        maps = table(f"cka/{model}_{task}.csv")
        assert maps.query("y_state == 'full-seed1'")["failed"].any() == bool(failed)
        answer = table(f"summary/{model}_{task}.csv")
        assert answer["within_depth"].isna().all() == (failed == set(SEEDS))
        judged = table(f"summary/{model}_{task}.verdicts.csv")
        assert set(judged["verdict"]) <= {
            "certified", "loses more", "cannot be told", "nothing cut",
        }  # fmt: skip
        layers = int(answer["layers"].iloc[0])
        assert len(judged) == (0 if failed == set(SEEDS) else 2 * layers)


@pytest.mark.parametrize(
    ("model", "task", "auto"),
    [
        ("roberta", "entail", AutoModelForSequenceClassification),
        ("albert", "endings", AutoModelForMultipleChoice),
    ],
)
def test_the_exported_model_is_a_plain_checkpoint(results, table, model, task, auto):
    folder = results / f"export/{model}_{task}/depth-within"
    small = auto.from_pretrained(folder)
    answer = table(f"summary/{model}_{task}.csv").query("configuration == 'tuned'").iloc[0]
    chosen = answer["within_depth"]
    depth = int(answer["layers"] if np.isnan(chosen) else chosen)
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == depth
    assert small.config.num_hidden_layers == depth
    scores = table(f"truncation/{model}_{task}.csv")
    tuned = scores.query("configuration == 'tuned-best' and depth == @depth and not failed")
    value = tuned.sort_values("seed")["value"].iloc[0]
    card = (folder / "README.md").read_text()
    assert f"| {value:.4f} |" in card and "examples per second" in card


def test_train_activations_are_gone_and_nothing_is_half_written(results):
    assert not list(results.glob("activations/*/train/*.h5"))
    assert not list(results.rglob("*.partial"))


def test_every_job_left_a_log_and_a_benchmark(results):
    logs, benchmarks = (
        {str(path.relative_to(results / kind))[:-4] for path in (results / kind).rglob("*.*")}
        for kind in ("logs", "benchmarks")
    )
    assert logs == benchmarks and len(logs) > 250
    finetune = (results / "logs/finetune/roberta_entail_full_1.log").read_text()
    assert "120/120 steps" in finetune and "left" in finetune


def test_the_report_is_one_file_with_captions(study):
    path = study.folder / "report.html"
    study.configured("--report", str(path))
    text = path.read_text()
    assert "CKA between depths" in text and "UNTUNED" in text
    assert "What was found" in text and "explorer.html" in text
    for line in (study.folder / "results/tiny/answers.txt").read_text().splitlines():
        assert line.removeprefix("- ").split(" [")[0] in html.unescape(text)
    for number in range(1, 8):
        assert f"figure{number}.png" in text
