"""The answer (how far a model can be cut) and the tables it and the figures are made from."""

import io
import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModel

from helpers import tiny
from strata.analysis.depth_bounds import Answers, cross_fitted, mean_bounds
from strata.analysis.failed_runs import beside_all_runs, with_every_run
from strata.analysis.summary import (
    COLUMNS,
    VERDICT_COLUMNS,
    Evidence,
    certified_depth,
    parameter_count,
    smallest_depth,
    summarise,
)
from strata.analysis.summary_words import failed_text, places, summary_text
from strata.analysis.tables import (
    flag_failed_states,
    read_metrics,
    read_tables,
    skipping_table,
    truncation_table,
    with_intervals,
)
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics
from strata.study.settings import Sampling, SummarySettings

LABELS = [0, 1, 1, 0, 1, 0, 1, 1, 1, 0]
SETTINGS = SummarySettings(resamples=100, confidence=0.9, tolerance=0.1)


# ---------------------------------------------------------------- smallest depth


@pytest.mark.parametrize(
    ("curve", "depth"),
    [
        ([0.5, 0.6, 0.895, 0.9], 3),
        ([0.5, 0.6, 0.889, 0.9], 4),
        ([0.9, 0.9, 0.9, 0.9], 1),
        ([0.95, 0.99, 0.93, 0.9], 1),
        ([0.9, 0.5, 0.9, 0.9], 3),
        ([0.9, 0.9, 0.5, 0.9], 4),
        ([0.5, 0.5, 0.5, 0.5], 4),
    ],
)
def test_smallest_depth(curve, depth):
    """Every depth above it holds too: a good depth below a dip does not count."""
    scores = dict(enumerate(curve, start=1))
    assert smallest_depth(scores, full=0.9, tolerance=0.01) == depth
    assert smallest_depth(dict(reversed(scores.items())), 0.9, 0.01) == depth


def test_smallest_depth_at_the_edge_of_the_tolerance():
    """0.07 - 0.01 is above 0.06 in floats; a point is still a point."""
    assert 0.06 < 0.07 - 0.01
    assert smallest_depth({1: 0.06, 2: 0.07}, full=0.07, tolerance=0.01) == 1
    assert smallest_depth({1: 0.06 - 1e-6, 2: 0.07}, full=0.07, tolerance=0.01) == 2
    assert smallest_depth({1: 0.5, 2: 0.5}, full=0.5, tolerance=0) == 1


# ---------------------------------------------------------------- size


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {a: tiny.save_model(folder / a, a, layers=4) for a in ("bert", "distilbert", "albert")}


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "albert"])
@pytest.mark.parametrize("depth", [None, 4, 3, 1])
def test_parameter_count_is_torchs_of_the_cut_model(checkpoints, architecture, depth):
    config = tiny.config(architecture, depth or 4)
    model = AutoModel.from_config(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert parameter_count(checkpoints[architecture], depth) == count


def test_albert_saves_no_parameters(checkpoints):
    assert parameter_count(checkpoints["albert"], 1) == parameter_count(checkpoints["albert"])
    assert parameter_count(checkpoints["bert"], 1) < parameter_count(checkpoints["bert"])


# ---------------------------------------------------------------- certified depth


def test_depths_are_certified_in_sequence_and_the_first_failure_ends_it():
    """Depth 2 would pass by itself; depth 3 fails before it."""
    n = 2000
    differences = np.zeros((1, 5, n))
    differences[0, 2, : n // 20] = -1
    assert certified_depth(differences, tolerance=0.01) == 4
    assert certified_depth(differences, tolerance=0.06) == 1
    assert certified_depth(differences[:, 2:], tolerance=0.01) == 2
    differences[0, 3, : n // 20] = -1
    assert certified_depth(differences, tolerance=0.01) == 5


@pytest.mark.parametrize(("n", "depth"), [(100, 3), (250, 3), (400, 1), (5000, 1)])
def test_answers_that_all_agree_certify_only_what_so_many_can(n, depth):
    """If n examples show no change, a rate of 3 / n is still possible: the rule of three."""
    assert certified_depth(np.zeros((2, 3, n)), tolerance=0.01) == depth


def test_from_five_seeds_on_the_claim_is_about_the_recipe():
    """Runs that differ a lot and gain on average: certified for these runs, not for the recipe."""
    rng = np.random.default_rng(0)
    n, means = 4000, np.array([0.02, -0.02, 0.03, -0.03, 0.04])
    draws = rng.random((5, n))
    cut = np.where(draws < np.abs(means)[:, None], np.sign(means)[:, None], 0.0)
    differences = np.stack([cut, np.zeros_like(cut)], axis=1)
    assert certified_depth(differences[:4], tolerance=0.01) == 1
    assert certified_depth(differences, tolerance=0.01) == 2
    found = mean_bounds(differences, Sampling(2000, 0.95))
    each = differences[:, 0].mean(1)
    # 2.132 is Student's t of 4 degrees of freedom at 95 %.
    error = np.sqrt(each.var(ddof=1) / 5 + cut.mean(0).var() / n)
    assert found.low[0] == pytest.approx(each.mean() - 2.132 * error, abs=3e-4)
    assert found.high[0] == pytest.approx(each.mean() + 2.132 * error, abs=3e-4)


def test_bounds_of_predictions_are_those_of_their_differences():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    full, cut = (np.where(rng.random((3, d, 500)) < 0.8, labels, (labels + 1) % 3) for d in (1, 4))
    sampling = Sampling(500, 0.95)
    whole, less = (Answers.of("accuracy", labels, p, sampling) for p in (full, cut))
    by_scores = less.less(whole, 0.95)
    by_means = mean_bounds((cut == labels) * 1.0 - (full == labels), sampling)
    for name in ("difference", "low", "high", "error"):
        assert getattr(by_scores, name) == pytest.approx(getattr(by_means, name), abs=1e-12)


def test_the_cross_fitted_loss_is_that_of_the_other_half():
    """Each half's best depth is bad on the other: chosen on all, it loses nothing."""
    labels = np.zeros(400, int)
    full = np.zeros((1, 1, 400), int)
    cut = np.zeros((1, 2, 400), int)
    value, chosen = cross_fitted("accuracy", labels, cut, full, 0.01)
    assert value == 0 and chosen.tolist() == [1, 0]
    cut[0, 0, ::50] = 1
    value, chosen = cross_fitted("accuracy", labels, cut, full, 0.02)
    assert 0 < chosen[0] < 1 and -0.04 < value < 0
    value, chosen = cross_fitted("accuracy", labels, cut, full, 0.0)
    assert chosen.tolist() == [0, 1] and value == 0


# ---------------------------------------------------------------- summarise


def predictions(correct: dict[int, int], times: int = 1) -> pd.DataFrame:
    """depth -> how many of the ten examples (each so many times) are right, the first ones."""
    tables = [
        pd.DataFrame(
            {
                "depth": depth,
                "label": np.repeat(LABELS, times),
                "prediction": np.repeat(
                    [y if i < right else 1 - y for i, y in enumerate(LABELS)], times
                ),
            }
        )
        for depth, right in correct.items()
    ]
    return pd.concat(tables, ignore_index=True)


def run(score: float, failed: bool = False) -> RunMetrics:
    return tiny.metrics(score=score, failed=failed)


def evidence(curves: dict[tuple[str, int], list[int]], runs: dict[int, dict], checkpoint, times=1):
    """Curves of right answers by depth, (configuration, seed) -> 1..L."""
    tables = {key: predictions(dict(enumerate(c, start=1)), times) for key, c in curves.items()}
    return Evidence(tables, runs, checkpoint)


def study(curves, runs, checkpoint, times=1, **changes):
    found = evidence(curves, runs, checkpoint, times)
    return summarise("bert", "rte", found, replace(SETTINGS, **changes))


CURVES = {
    ("untuned", 1): [5, 6, 9, 10],
    ("untuned", 2): [5, 6, 7, 8],
    ("tuned", 1): [5, 9, 10, 10],
    ("tuned", 2): [5, 8, 8, 8],
}
BOTH = {1: run(1.0), 2: run(0.8)}


def test_depth_within_by_hand(checkpoints):
    """Means over seeds: full 0.9; UNTUNED 0.5, 0.6, 0.8, 0.9; TUNED 0.5, 0.85, 0.9, 0.9."""
    table, _ = study(CURVES, BOTH, checkpoints["bert"])
    assert table.columns.tolist() == COLUMNS
    untuned, tuned = (row for _, row in table.iterrows())
    layer = sum(
        p.numel() for p in AutoModel.from_config(tiny.config("bert")).encoder.layer[0].parameters()
    )
    for row, depth, value in ((untuned, 3, 0.8), (tuned, 2, 0.85)):
        assert (row["model"], row["task"], row["metric"]) == ("bert", "rte", "accuracy")
        assert (row["seeds"], row["failed_seeds"], row["note"]) == ("1 2", "", "")
        assert (row["n_examples"], row["baseline"], row["layers"]) == (10, 0.6, 4)
        assert row["full"] == pytest.approx(0.9) and row["full_all_runs"] == pytest.approx(0.9)
        assert row["within_depth"] == depth and row["within_value"] == pytest.approx(value)
        assert row["within_difference"] == pytest.approx(value - 0.9)
        assert row["parameters"] == parameter_count(checkpoints["bert"])
        assert row["within_parameters_saved"] == (4 - depth) * layer
        assert row["within_low"] <= row["within_difference"] <= row["within_high"] <= 0
        assert row["full_low"] < row["full"] < row["full_high"] <= 1
        # Ten examples certify nothing.
        assert (row["certified_depth"], row["certified_parameters_saved"]) == (4, 0)
        assert row["claim"] == "these runs" and row["next_verdict"] == "cannot be told"
    assert (untuned["configuration"], tuned["configuration"]) == ("untuned", "tuned")


def test_verdicts_by_hand(checkpoints):
    """400 examples of each kind: depth 3 loses a tenth, depth 2 more, tolerance 0.15."""
    table, judged = study(CURVES, BOTH, checkpoints["bert"], times=40, tolerance=0.15)
    assert judged.columns.tolist() == VERDICT_COLUMNS
    untuned, tuned = (
        judged[judged["configuration"] == name].set_index("depth") for name in ("untuned", "tuned")
    )
    assert untuned["verdict"].tolist() == [
        "loses more", "loses more", "certified", "nothing cut",
    ]  # fmt: skip
    assert tuned["verdict"].tolist() == ["loses more", "certified", "certified", "nothing cut"]
    assert table["certified_depth"].tolist() == [3, 2]
    assert untuned["difference"].tolist() == pytest.approx([-0.4, -0.3, -0.1, 0])
    assert untuned["changed"].tolist() == pytest.approx([0.4, 0.3, 0.1, 0])
    assert (table["certified_bound"] > -0.15).all()
    # Variance of the mean of two runs' differences at depth 3: a tenth of examples lost by both.
    assert untuned["examples_needed"][3] == pytest.approx(6 * 0.1 * 0.9 / 0.15**2, rel=0.2)
    assert (judged["lower_bound"] <= judged["difference"]).all()
    assert (judged["difference"] <= judged["upper_bound"] + 1e-12).all()


def test_tuned_heads_that_beat_the_model_are_judged_against_themselves(checkpoints):
    """An undertrained model is beaten by its own cuts, which still lose."""
    curves = {
        ("untuned", 1): [5, 5, 5, 6],
        ("tuned", 1): [5, 7, 9, 9],
    }
    table, judged = study(curves, {1: run(0.6)}, checkpoints["bert"], times=100, tolerance=0.05)
    tuned = table.set_index("configuration").loc["tuned"]
    assert tuned["undertrained"] and tuned["top_difference"] == pytest.approx(0.3)
    # Within the tolerance of the full model from depth 2 on, which says nothing about layers.
    assert (tuned["within_depth"], tuned["certified_depth"]) == (2, 3)
    verdicts = judged[judged["configuration"] == "tuned"]["verdict"].tolist()
    assert verdicts == ["loses more", "loses more", "certified", "nothing cut"]
    assert not table.set_index("configuration").loc["untuned", "undertrained"]
    text = summary_text(table, 0.05)
    assert "TUNED at depth 4 beats the full model by +30.0 points [" in text
    assert "the model was not trained to its end" in text


def test_difference_is_paired_and_nothing_where_nothing_is_cut(checkpoints):
    table, _ = study(CURVES, BOTH, checkpoints["bert"], tolerance=0)
    untuned, tuned = (row for _, row in table.iterrows())
    assert (untuned["within_depth"], untuned["within_difference"]) == (4, 0)
    assert (untuned["within_low"], untuned["within_high"]) == (0, 0)
    assert untuned["within_parameters_saved"] == 0
    assert tuned["within_depth"] == 3


def test_failed_seed_is_left_out_and_named(checkpoints):
    """Seed 2 counts for nothing in the answer: seed 1 alone gives full 1.0, UNTUNED to depth 3."""
    runs = {1: run(1.0), 2: run(0.6, failed=True)}
    table, judged = study(CURVES, runs, checkpoints["bert"])
    assert table["full"].tolist() == [1.0, 1.0] and table["within_depth"].tolist() == [3, 2]
    assert table["within_value"].tolist() == [0.9, 0.9]
    assert (table["seeds"] == "1").all() and (table["failed_seeds"] == "2").all()
    one = {k: c for k, c in CURVES.items() if k[1] == 1}
    alone, _ = study(one, {1: run(1.0)}, checkpoints["bert"])
    same = [c for c in COLUMNS if c not in ("failed_seeds", "full_all_runs")]
    pd.testing.assert_frame_equal(table[same], alone[same])
    # With both seeds: full (1.0 + 0.6) / 2, UNTUNED at depth 3 (0.9 + 0.7) / 2.
    assert table["full_all_runs"].tolist() == [0.8, 0.8]
    assert judged.query("configuration == 'untuned' and depth == 3")[
        ["value", "value_all_runs"]
    ].iloc[0].tolist() == pytest.approx([0.9, 0.8])


def test_means_with_failed_runs_stand_beside_those_without():
    without = pd.DataFrame({"depth": [1, 2], "model": "bert", "tuned": [0.1, np.nan]})
    every = pd.DataFrame({"depth": [2, 1], "tuned": [0.4, 0.3]})
    table = beside_all_runs(without, every, "depth")
    assert table.columns.tolist() == ["depth", "model", "tuned", "tuned_all_runs"]
    assert table["tuned_all_runs"].tolist() == [0.3, 0.4]
    flagged = without.assign(failed=[True, False])
    assert not with_every_run(flagged)["failed"].any() and flagged["failed"].any()


def test_every_run_failed(checkpoints):
    runs = {1: run(0.6, failed=True), 2: run(0.5, failed=True)}
    table, judged = study(CURVES, runs, checkpoints["bert"])
    assert table.columns.tolist() == COLUMNS and len(table) == 2
    assert judged.columns.tolist() == VERDICT_COLUMNS and judged.empty
    assert (table["note"] == "every run failed: no score beats the baseline").all()
    assert (table["failed_seeds"] == "1 2").all() and (table["seeds"] == "").all()
    empty = ["full", "within_depth", "within_value", "certified_depth", "next_verdict"]
    assert table[empty].isna().all(axis=None)
    assert (table["full_all_runs"] == 0.55).all()


def test_albert_saves_layers_and_says_why_no_parameters(checkpoints):
    table, _ = study(CURVES, BOTH, checkpoints["albert"])
    assert table["within_depth"].tolist() == [3, 2]
    assert table["within_parameters_saved"].tolist() == [0, 0]
    assert (table["note"] == "layers share weights: saves layers and time, no parameters").all()


# ---------------------------------------------------------------- report


def by_csv(table: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.mark.parametrize("kept", [lambda table: table, by_csv], ids=["direct", "by csv"])
def test_report_in_words(checkpoints, kept):
    """Certified, cannot be told, loses more; ALBERT; failed runs; the same from a CSV file."""
    good, failed = run(1.0), run(0.6, failed=True)
    many = {"times": 40, "tolerance": 0.15}
    studies = {
        "rte": study(CURVES, BOTH, checkpoints["bert"]),
        "mrpc": study(CURVES, {1: good, 2: failed}, checkpoints["bert"]),
        "cola": study(CURVES, {1: failed, 2: failed}, checkpoints["bert"]),
        "qnli": study(CURVES, BOTH, checkpoints["albert"], **many),
        "sst2": study(CURVES, BOTH, checkpoints["bert"], tolerance=0),
    }
    tables = [table.assign(task=task) for task, (table, _) in studies.items()]
    table = kept(pd.concat(tables, ignore_index=True))
    lines = summary_text(table, 0.1).splitlines()
    starts = [
        "bert on rte: accuracy 0.900 [",
        "  UNTUNED, within 10 points in these runs: depth 3 (-10.0 points [",
        "  UNTUNED, certified: no smaller depth; depth 3 cannot be told (-10.0 points [",
        "  TUNED, within 10 points in these runs: depth 2 (-5.0 points [",
        "  TUNED, certified: no smaller depth; depth 3 cannot be told (+0.0 points [+0.0, +0.0])",
        "bert on mrpc: accuracy 1.000 [",
        "  UNTUNED, within 10 points in these runs: depth 3 (-10.0 points [",
        "  UNTUNED, certified: no smaller depth; depth 3 cannot be told",
        "  TUNED, within 10 points in these runs: depth 2 (-10.0 points [",
        "  TUNED, certified: no smaller depth; depth 3 cannot be told",
        "bert on qnli: accuracy 0.900 [",
        "  UNTUNED, within 10 points in these runs: depth 3 (",
        "  UNTUNED, certified: depth 3 (-10.0 points, at worst -",
        "  TUNED, within 10 points in these runs: depth 2 (",
        "  TUNED, certified: depth 2 (-5.0 points, at worst -",
        "bert on sst2: accuracy 0.900 [",
        "  UNTUNED, within 10 points in these runs: no smaller depth",
        "  UNTUNED, certified: no smaller depth; depth 3 ",
        "  TUNED, within 10 points in these runs: depth 3 (+0.0 points [+0.0, +0.0]; where ",
        "  TUNED, certified: no smaller depth; with a tolerance of 0, no number of examples ",
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    assert lines[0].endswith("] with all 4 layers (baseline 0.600, n=10, seeds 1 2)")
    assert lines[5].endswith("(baseline 0.600, n=10, seeds 1)")
    whole, cut = parameter_count(checkpoints["bert"]), parameter_count(checkpoints["bert"], 2)
    assert lines[3].endswith(
        f"saves 2 of 4 layers, {(whole - cut) / 1e6:.1f}M of {whole / 1e6:.1f}M parameters "
        f"({(whole - cut) / whole:.0%})"
    )
    assert "a claim about these runs); saves 1 of 4 layers, layers share weights" in lines[12]
    assert "; depth 2 loses more (-30.0 points [" in lines[12]
    assert lines[4].endswith("showing it takes about 30 examples, and there are 10")
    assert not [line for line in lines if "needed" in line or "nan" in line]


def test_failed_runs_are_named_whatever_the_study_analyses(tmp_path):
    for task, seed, failed in (("cola", 1, True), ("cola", 2, True), ("mrpc", 1, False)):
        folder = tmp_path / f"runs/bert_{task}/full/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        run(0.6, failed=failed).write(folder / "metrics.json")
    reason = "the score does not beat the baseline of 0.600; left out of the answer"
    said = failed_text(
        [f"{tmp_path}/runs/bert_{task}/full/*/run.json" for task in ("mrpc", "cola")]
    )
    assert said == f"bert on cola: FAILED, seed 1 2: {reason}"


def test_report_of_one_seed_by_csv(checkpoints):
    """Alone in its column, the seed comes back as a number; with a gap beside it, as a float."""
    one = {key: curve for key, curve in CURVES.items() if key[1] == 1}
    tables = [
        study(one, {1: run(1.0)}, checkpoints["bert"])[0],
        study(one, {1: run(0.5, failed=True)}, checkpoints["bert"])[0].assign(task="cola"),
    ]
    table = by_csv(pd.concat(tables, ignore_index=True))
    text = summary_text(table, 0.1)
    assert "seeds 1)" in text and "cola" not in text
    assert "nan" not in text and "1.0:" not in text


# ---------------------------------------------------------------- tables


def test_metrics_and_tables_are_read_in_order(tmp_path):
    for seed in (3, 1):
        run(seed).write(tmp_path / f"{seed}.json")
        pd.DataFrame({"seed": [seed]}).to_csv(tmp_path / f"{seed}.csv", index=False)
    found = read_metrics([tmp_path / "3.json", tmp_path / "1.json"], [3, 1])
    assert found == {3: run(3), 1: run(1)} and list(found) == [3, 1]
    table = read_tables([tmp_path / "3.csv", tmp_path / "1.csv"])
    assert table["seed"].tolist() == [3, 1] and table.index.tolist() == [0, 1]
    with pytest.raises(ValueError, match="zip"):
        read_metrics([tmp_path / "3.json"], [3, 1])


@pytest.mark.parametrize("key", ["score", "failed"])
def test_metrics_that_lack_a_key_are_refused_and_other_keys_passed_over(key, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(asdict(run(0.9)) | {"of_another_version": 1}))
    assert RunMetrics.read(path) == run(0.9)
    path.write_text(json.dumps({k: v for k, v in asdict(run(0.9)).items() if k != key}))
    with pytest.raises(StrataError, match=f"metrics.json lacks {key}, .*snakemake .* --force"):
        RunMetrics.read(path)


def test_failed_states_are_flagged_on_either_side():
    states = ["pretrained", "full-seed1", "full-seed2", "full-seed12"]
    table = pd.DataFrame([(y, x) for y in states for x in states], columns=["y_state", "x_state"])
    runs = {1: run(0.9), 2: run(0.6, failed=True), 12: run(0.9)}
    flagged = flag_failed_states(table, runs)
    assert flagged["failed"].tolist() == ["full-seed2" in (y, x) for y in states for x in states]


def test_truncation_table_has_the_full_models_and_the_baselines_rows():
    scores = pd.DataFrame(
        {
            "seed": [1, 1, 2, 2],
            "configuration": "untuned",
            "depth": [1, 2, 1, 2],
            "metric": "accuracy",
            "value": [0.5, 0.9, 0.6, 0.6],
            "low": [0.4, 0.8, 0.5, 0.5],
            "high": [0.6, 1.0, 0.7, 0.7],
            "degenerate": False,
            "n": 40,
            "n_examples": 10,
        }
    )
    table = truncation_table("bert", "rte", scores, {1: run(0.9), 2: run(0.6, failed=True)})
    table = by_csv(table)
    assert table.columns.tolist() == [
        "model", "task", "seed", "configuration", "depth", "metric", "value", "low", "high",
        "degenerate", "n", "n_examples", "failed",
    ]  # fmt: skip
    assert (table["model"] == "bert").all() and (table["task"] == "rte").all()
    assert (table["n"] == 40).all() and (table["n_examples"] == 10).all()
    assert table["failed"].tolist() == [False, False, True, True, False, True, False]
    chosen = table[["seed", "configuration", "depth", "value"]].iloc[4:]
    assert chosen.iloc[:2].to_numpy().tolist() == [[1, "full", 2, 0.9], [2, "full", 2, 0.6]]
    baseline = chosen.iloc[2]
    assert (baseline["configuration"], baseline["value"]) == ("baseline", 0.6)
    assert pd.isna(baseline["seed"]) and pd.isna(baseline["depth"])


def test_scores_get_the_interval_of_their_own_predictions():
    """Predictions may come in another order than scores; accuracy's interval is that of a mean."""
    rng = np.random.default_rng(0)
    labels, right = rng.integers(2, size=200), {(1, 2): 0.9, (1, 1): 0.6}
    predictions = pd.concat(
        pd.DataFrame({"first": first, "last": last, "label": labels}).assign(
            prediction=np.where(rng.random(200) < share, labels, 1 - labels)
        )
        for (first, last), share in right.items()
    )
    hits = predictions["label"] == predictions["prediction"]
    shares = hits.groupby([predictions["first"], predictions["last"]]).mean()
    scores = pd.DataFrame({"first": [1, 1], "last": [1, 2], "metric": "accuracy"})
    scores["value"] = [shares[1, 1], shares[1, 2]]
    found = with_intervals(scores, predictions, Sampling(4000, 0.95), ["first", "last"])
    assert found.columns.tolist() == ["first", "last", "metric", "value", "low", "high"]
    wide = 1.96 * np.sqrt(scores["value"] * (1 - scores["value"]) / 200)
    np.testing.assert_allclose(found["low"], scores["value"] - wide, atol=0.012)
    np.testing.assert_allclose(found["high"], scores["value"] + wide, atol=0.012)


def test_skipping_table_has_each_seeds_full_score_beside_every_span():
    scores = pd.DataFrame(
        {"seed": [1, 2, 1], "first": [1, 1, 2], "last": [1, 2, 2], "value": [0.1, 0.2, 0.3], "n": 9}
    )
    table = skipping_table("bert", "rte", scores, {1: run(0.9), 2: run(0.5, failed=True)})
    assert table.columns.tolist() == [
        "model", "task", "seed", "first", "last", "value", "full", "baseline", "n", "failed",
    ]  # fmt: skip
    assert table["full"].tolist() == [0.9, 0.5, 0.9]
    assert table["baseline"].tolist() == [0.6, 0.6, 0.6]
    assert table["failed"].tolist() == [False, True, False]
    assert "model" not in scores.columns


def test_the_last_words_name_what_is_there(tmp_path):
    assert list(places(tmp_path)) == [
        f"Tables: {tmp_path}",
        f"All figures on one page: the same command with --report {tmp_path}/report.html",
    ]
    (tmp_path / "figures").mkdir()
    for name in ("explorer.html", "report.html"):
        (tmp_path / name).touch()
    assert list(places(tmp_path)) == [
        f"Explorer: {tmp_path}/explorer.html",
        f"Report: {tmp_path}/report.html",
        f"Figures: {tmp_path}/figures",
        f"Tables: {tmp_path}",
    ]
