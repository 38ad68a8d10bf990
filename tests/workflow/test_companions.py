"""Partial reinitialisation, variability and agreement: a finished study of all three, by `all`."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from transformers import AutoModelForMultipleChoice

from helpers.workflows import COMPANIONS
from strata.study.plans import PARTS
from strata.study.variants import Variant

PAIRS = [(model, task) for model in ("roberta", "albert") for task in ("entail", "endings")]


@pytest.fixture(scope="session")
def outdir(companions):
    return companions.folder / "results" / "companions"


@pytest.fixture
def read(outdir):
    return lambda name: pd.read_csv(outdir / name)


def planned(companions, *arguments, **changes):
    merged = {**COMPANIONS, **changes}
    done = companions.configured(*arguments, "--dry-run", check=False, **merged)
    return done.stdout + done.stderr


# ---------------------------------------------------------------- partial reinitialisation


def test_progressive_has_a_row_a_run(read):
    for task in ("entail", "endings"):
        rows = read(f"reinit/roberta_{task}/progressive.csv")
        assert len(rows) == 3 * 2 * 2  # 0, 2 and 4 layers preserved, sizes, seeds
        assert {"metric", "value", "baseline", "n", "n_examples", "trainable_parameters"} <= set(
            rows
        )
        assert set(rows["variant"]) == {
            f"{kind}_n{size}" for kind in ("reinit1-4", "reinit3-4", "full") for size in (64, 160)
        }
        assert (rows["train_examples"] == rows["size"]).all()
        assert (rows["steps"] == 60).all()


def test_parts_that_share_a_run_share_it(outdir, read):
    full = [
        read(f"reinit/roberta_entail/{part}.csv").query("variant == 'full_n160' and seed == 1")
        for part in ("progressive", "localized", "permutation")
    ]
    assert len({rows["value"].item() for rows in full}) == 1
    # full, and what partial reinitialisation and layer selection add; none is trained twice.
    runs = [Variant.parse(path.name) for path in (outdir / "runs/roberta_entail").iterdir()]
    assert sum(run.size == 160 and run.kind == "full" for run in runs) == 1


def test_localized_has_blocks_their_inverse_and_references(read):
    rows = read("reinit/roberta_entail/localized.csv").set_index("series")
    assert sorted(rows.loc["reinit", "variant"]) == ["reinit1-2_n160", "reinit3-4_n160"]
    assert sorted(rows.loc["keep", "variant"]) == ["keep1-2_n160", "keep3-4_n160"]
    assert rows.loc["embeddings", "variant"] == "reinit1-4_n160"


def test_probing_trains_the_head_for_its_own_epochs(read):
    rows = read("reinit/roberta_entail/probing.csv")
    assert rows["layers"].tolist() == [2, 4] == rows["position"].tolist()
    assert (rows["steps"] == 5 * 160 / 16).all()
    assert (rows["trainable_parameters"] < 1000).all()


def test_ablated_runs_keep_no_checkpoint(outdir):
    for run in outdir.glob("runs/*/*/seed*"):
        kept = run.parent.name == "full"
        assert (run / "checkpoint").exists() == kept
        for name in ("predictions.parquet", "history.csv", "run.json"):
            assert (run / name).is_file(), run


def test_albert_is_left_out_of_reinitialisation(outdir, read):
    assert not list(outdir.glob("reinit/albert*"))
    assert read("agreement/albert_entail.csv")["reinit"].isna().all()


def test_permutations_are_correlated_between_tasks(read):
    rows = read("reinit/permutation_correlations.csv")
    assert rows["kind"].tolist() == ["spearman", "pearson"] and (rows["n"] == 3).all()
    assert rows[["task_a", "task_b"]].drop_duplicates().to_numpy().tolist() == [
        ["entail", "endings"]
    ]


# ---------------------------------------------------------------- variability


def test_variability_is_that_of_every_depth(read):
    for model, task in PAIRS:
        nu = read(f"variability/{model}_{task}/nu.csv")
        assert nu["depth"].tolist() == list(range((4 if model == "roberta" else 5) + 1))
        assert np.isfinite(nu["nu"]).all() and nu["selected"].sum() == 1
        assert (nu["n"] == 100 * (1 if task == "entail" else 3)).all()
        assert (nu["classes"] == 2).all()  # for multiple choice: right and wrong choices


def test_selection_is_compared_with_what_else_one_might_train(read):
    for task in ("entail", "endings"):
        selected = read(f"variability/roberta_{task}/nu.csv").query("selected")["depth"].item()
        rows = read(f"variability/roberta_{task}.csv").set_index(["comparison", "top"])
        assert rows.loc[("selected", 1), "variant"] == f"head{selected}top1"
        assert rows.loc[("last", 4), "variant"] == "head4top4"
        for kind in ("lora", "adapter"):
            assert rows.loc[(f"{kind}-selected", 1), "variant"] == f"{kind}{selected}-{selected}"
        if selected < 4:
            empty = rows.loc[("selected", 4)]
            assert np.isnan(empty["value"]) and "fewer than 4 layers" in empty["reason"]
        there = rows[rows["value"].notna()]
        assert (there["seconds_per_step"] > 0).all() and (there["peak_memory_mb"] > 50).all()
        epoch = there["seconds_per_step"] * np.ceil(there["train_examples"] / 16)
        np.testing.assert_allclose(there["epoch_seconds"], epoch, rtol=1e-3)
        assert (there["inference_examples_per_second"] > 0).all()
        whole = rows.loc["whole"].iloc[0]["trainable_parameters"]
        assert (there["trainable_parameters"] <= whole).all()
        assert rows.loc[("selected", 1), "trainable_parameters"] < whole


def test_what_nu_costs_is_written(read):
    for model, task in PAIRS:
        cost = read(f"variability/{model}_{task}/cost.csv")
        assert (cost["examples"] == 100).all() and (cost["device"] == "cpu").all()
        both = cost["forward_seconds"] + cost["nu_seconds"]
        assert (both > 0).all()
        np.testing.assert_allclose(cost["seconds"], both, atol=0.002)


def test_what_is_beside_nu(read):
    for model, task in PAIRS:
        nu, finding = (read(f"variability/{model}_{task}/{name}.csv") for name in ("nu", "finding"))
        assert np.isfinite(nu[["shuffled", "shuffled_sd", "relative", "probe"]]).all(axis=None)
        assert (nu["n_kept"] == 60 * (1 if task == "entail" else 3)).all()  # nu is of all 100
        selected = nu.loc[nu["selected"], "depth"].item()
        assert finding["depth_nu"].item() == selected
        words = f"{model} on {task}: variability is lowest at depth {selected}, of shuffled labels"
        assert finding["finding"].item().startswith(words)


def test_subsamples_select_again(read):
    for model, task in PAIRS:
        rows = read(f"variability/{model}_{task}/robustness.csv")
        sizes = rows[rows["varied"] == "size"]
        assert set(sizes["examples"]) == {40, 60} and len(set(sizes["measure"])) == 4
        reasons = rows.loc[rows["measure"].isna(), "reason"]
        assert reasons.str.startswith("not possible: ").all() and len(reasons) >= 1


def test_selected_less_last_layers_is_paired(read):
    for model, task in PAIRS:
        rows = read(f"variability/{model}_{task}/selected_less_last.csv")
        assert rows["top"].tolist() == [1, 4]
        runs = read(f"variability/{model}_{task}.csv").set_index(["comparison", "top"])
        for row in rows.itertuples():
            if isinstance(row.note, str):
                assert row.note
                continue
            scores = [runs.loc[(kind, row.top), "value"] for kind in ("selected", "last")]
            means = [np.mean(score) for score in scores]
            assert row.difference == pytest.approx(means[0] - means[1])
            assert row.low <= row.difference <= row.high


def test_albert_has_cells_with_a_reason(read):
    rows = read("variability/albert_entail.csv")
    empty = rows[rows["value"].isna()]
    assert len(empty) >= 4 and empty["reason"].str.len().gt(0).all()


def test_no_activations_of_the_training_set_are_left(outdir):
    assert not list(outdir.glob("activations/*/train/*.h5"))
    assert not list(outdir.glob("variability/**/*.h5"))


# ---------------------------------------------------------------- agreement


def test_agreement_puts_every_method_beside_every_depth(read):
    for model, task in PAIRS:
        rows = read(f"agreement/{model}_{task}.csv")
        layers = 4 if model == "roberta" else 5
        assert rows["depth"].tolist() == list(range(1, layers + 1))
        truncation = read(f"truncation/{model}_{task}.csv").set_index(["configuration", "depth"])
        if truncation["failed"].astype(bool).any():
            continue
        lost = truncation.loc[("full", layers), "value"] - truncation.loc[("untuned", 1), "value"]
        assert rows["untuned"][0] == pytest.approx(lost.item() if hasattr(lost, "item") else lost)


def test_the_suggested_depth_is_that_of_the_depths_table(read):
    findings = read("agreement.csv")
    assert len(findings) == len(PAIRS)
    for row in findings.itertuples():
        assert row.finding.startswith(f"{row.model} on {row.task}: ")
        rows = read(f"agreement/{row.model}_{row.task}.csv").set_index("depth")
        if rows["tuned"].isna().any():
            continue
        worse = rows.index[rows["tuned"] > 0.01 + 1e-9]
        assert row.depth_tuned == (worse.max() + 1 if len(worse) else 1)
        assert row.depth_variability == rows["variability"].idxmin()


def test_findings_are_printed_at_the_end(companions, read):
    for finding in read("agreement.csv")["finding"]:
        assert finding in companions.said


def test_how_far_layers_turn_is_the_mean_of_the_runs_that_did_not_fail(read):
    for model, task in PAIRS:
        rows = read(f"agreement/{model}_{task}.csv").set_index("depth")
        turned = read(f"agreement/{model}_{task}/movement.csv")
        layers = 4 if model == "roberta" else 5
        assert turned["depth"].tolist() == list(range(1, layers + 1))
        assert turned["seed"].tolist() == [1] * layers and (turned["n"] > 0).all()
        assert turned["block_influence"].between(0, 2).all()
        assert turned["angular_distance"].between(0, 1).all()
        if turned["failed"].any():
            assert rows["block_influence"].isna().all()
            continue
        for method in ("block_influence", "angular_distance"):
            means = turned.groupby("depth")[method].mean()
            assert rows[method].tolist() == pytest.approx(means.tolist())


def test_correlations_between_methods(read):
    rows = read("agreement/correlations.csv")
    assert set(rows["model"]) == {"roberta", "albert"} and len(rows) == 2 * 28
    known = rows.dropna(subset="increment_spearman")
    assert len(known) > 0 and known["increment_spearman"].between(-1, 1).all()
    assert known["p"].between(1 / 24, 1).all() and (known["tasks"] <= 2).all()
    assert rows["low"].isna().all() and rows["high"].isna().all()  # two tasks
    assert known["finding"].str.contains("in this model").all()
    assert known["finding"].str.contains("no interval below 8 tasks").all()
    # The angle follows from the cosine, so these two are nearly the same.
    pair = known.query("method_a == 'block_influence' and method_b == 'angular_distance'")
    assert (pair["increment_spearman"] > 0).all()


def test_every_figure_exists(outdir):
    figures = [f"reinit/{part}" for part in PARTS if part != "probing"]
    figures += [f"{kind}/{m}_{t}" for kind in ("variability", "agreement") for m, t in PAIRS]
    figures += [f"variability/{m}_{t}/robustness" for m, t in PAIRS]
    for name in [*figures, "agreement/correlations"]:
        assert image.imread(outdir / f"{name}.png")[..., :3].std() > 0.02, name
        assert (outdir / f"{name}.pdf").stat().st_size > 5000


def test_the_companion_papers_claims_are_judged_from_finished_runs(read):
    claims = read("claims.csv")
    on_tasks = claims[claims["task"].notna() & ~claims["whole"].astype(bool)]
    known = on_tasks.set_index([on_tasks["claim"] + on_tasks["part"].fillna(""), "model", "task"])
    verdicts = {"holds", "does not hold", "cannot be told"}
    for key in ("T1a", "T1b", "T3", "T4a", "T5", "T6"):
        for task in ("entail", "endings"):
            row = known.loc[(key, "roberta", task)]
            assert row["verdict"] in verdicts, (key, row["what_it_takes"])
            assert known.loc[(key, "albert", task), "verdict"] == "not in this study"
    few = known.loc[("T2a", "roberta", "entail")]
    assert "10 times another" in few["what_it_takes"]  # 64 and 160 examples
    for key in ("X2a", "X2b", "X3a", "X4", "X5a", "X5b"):
        for model, task in PAIRS:
            assert known.loc[(key, model, task), "verdict"] in {*verdicts, "not in this study"}
    seconds = known.loc[("X4", "roberta", "entail")]
    assert seconds["value"] > 0 and "s for 100 examples; an epoch of 320" in seconds["note"]


def test_a_claims_loss_is_that_of_the_tables(read):
    """T4a from stored predictions, compared with the scores in the part's table."""
    rows = read("reinit/roberta_entail/permutation.csv")
    plain, permuted = (rows.loc[rows["series"] == s, "value"].mean() for s in ("full", "permuted"))
    claims = read("claims.csv").query("claim == 'T4' and part == 'a' and task == 'entail'")
    row = claims[claims["model"] == "roberta"].iloc[0]
    if not rows.loc[rows["series"] == "full", "failed"].any():
        assert row["value"] == pytest.approx(plain - permuted, abs=1e-9)
        assert row["low"] <= row["value"] <= row["high"]


# ---------------------------------------------------------------- jiant's heads


@pytest.mark.parametrize("model", ["roberta", "albert"])
def test_one_task_has_jiants_heads_in_all_that_is_done_to_its_runs(outdir, read, model):
    """The other has Transformers' own. UNTUNED at the last depth is the full model."""
    layers = 4 if model == "roberta" else 5
    for task, style in (("entail", None), ("endings", "jiant")):
        run = outdir / f"runs/{model}_{task}/full/seed1/checkpoint"
        assert json.loads((run / "config.json").read_text()).get("strata_head") == style
        scores = read(f"truncation/{model}_{task}.csv").set_index(["configuration", "depth"])
        top, full = (scores.loc[(name, layers), "value"] for name in ("untuned", "full"))
        assert np.allclose(top, full, rtol=0, atol=1e-6)
        assert {"tuned-best", "tuned-orig-converged"} <= set(scores.index.get_level_values(0))


@pytest.mark.parametrize("model", ["roberta", "albert"])
def test_jiants_head_is_exported_as_a_plain_checkpoint(outdir, read, model):
    folder = outdir / f"export/{model}_endings/depth-within"
    small, about = AutoModelForMultipleChoice.from_pretrained(folder, output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"]
    depth = small.config.num_hidden_layers
    scores = read(f"truncation/{model}_endings.csv").set_index(["configuration", "depth"])
    card = (folder / "README.md").read_text()
    # measured by loading the folder with the plain class
    assert f"| {scores.loc[('tuned-best', depth), 'value']:.4f} |" in card
    assert "Style of the head: `jiant`" in card
    assert (
        "`transformers`" in (outdir / f"export/{model}_entail/depth-within/README.md").read_text()
    )


# ---------------------------------------------------------------- planning


def test_the_number_of_runs_is_said(companions):
    # For each task: progressive 12; kept-norms and faster-layers 1 more each; localized 3 more;
    # permutation 3; probing 2.
    assert "Partial reinitialisation needs 44 runs." in planned(companions)


def test_finished_companions_have_nothing_to_do(companions):
    assert "Nothing to be done" in planned(companions)


def test_another_scheme_reruns_what_has_new_weights_and_nothing_else(companions):
    merged = {**COMPANIONS, "reinit": COMPANIONS["reinit"] | {"scheme": "paper"}}
    made = companions.planned(**merged)
    variants = {path.split("/")[4] for rule, path in made if rule == "ablate"}
    assert variants and all(v.startswith(("reinit", "keep")) for v in variants)
    assert not any(rule == "finetune" for rule, _ in made)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("roberta_entail/reinit3-5", "'reinit3-5' names layer 5, but the model has 4 layers"),
        ("roberta_entail/reinit3-1", "names a reversed range of layers: write 1-3"),
        ("roberta_entail/head2top3", "trains more layers than there are"),
        ("albert_entail/reinit1-2", "shares one layer's weights among all depths"),
        ("albert_entail/permute1", "shares one layer's weights among all depths"),
    ],
)
def test_impossible_variants_are_refused_while_planning(companions, target, sentence):
    run = f"results/companions/runs/{target}/seed1/predictions.parquet"
    assert sentence in planned(companions, run).replace("\n", " ")


def test_albert_cannot_be_listed_for_reinitialisation(companions):
    listed = {**COMPANIONS["reinit"], "models": ["albert"]}
    assert "reinit.models: 'albert'" in planned(companions, reinit=listed)


def test_a_model_without_known_layers_asks_for_them(companions):
    hub = {"models": {"far": {"source": "hub:a/b"}}}
    study = COMPANIONS["study"] | {"models": ["far"], "figure1": {"model": "far", "task": "entail"}}
    assert "models.far has no 'layers'" in planned(companions, study=study, **hub)


def test_runs_that_differ_in_the_variant_share_one_token_file(outdir):
    for model, task in PAIRS:
        assert (outdir / f"tokens/{model}_{task}/train.arrow").is_file()
    assert (
        json.loads((outdir / "runs/roberta_entail/permute1_n160/seed1/run.json").read_text())[
            "train_examples"
        ]
        == 160
    )
