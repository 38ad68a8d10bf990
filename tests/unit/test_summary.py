"""The answer (how far a model can be cut) and the tables it and the figures are made from."""

import io
import json
from dataclasses import asdict, replace

import pandas as pd
import pytest
from transformers import AutoModel

from helpers import tiny
from strata.analysis.summary import (
    COLUMNS,
    Evidence,
    parameter_count,
    smallest_depth,
    summarise,
    summary_text,
)
from strata.analysis.tables import (
    flag_failed_states,
    read_metrics,
    read_tables,
    skipping_table,
    truncation_table,
)
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics
from strata.study.settings import SummarySettings

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


# ---------------------------------------------------------------- summarise


def predictions(correct: dict[int, int]) -> pd.DataFrame:
    """depth -> how many of the ten examples are right, the first ones."""
    tables = [
        pd.DataFrame(
            {
                "depth": depth,
                "label": LABELS,
                "prediction": [y if i < right else 1 - y for i, y in enumerate(LABELS)],
            }
        )
        for depth, right in correct.items()
    ]
    return pd.concat(tables, ignore_index=True)


def run(score: float, failed: bool = False) -> RunMetrics:
    return tiny.metrics(score=score, failed=failed)


def study(curves: dict[tuple[str, int], list[int]], runs: dict[int, dict], checkpoint, **changes):
    """Summarise curves of right answers by depth, (configuration, seed) -> 1..L."""
    tables = {key: predictions(dict(enumerate(c, start=1))) for key, c in curves.items()}
    scores = pd.DataFrame(
        [
            {"seed": seed, "configuration": configuration, "depth": depth, "value": right / 10}
            for (configuration, seed), curve in curves.items()
            for depth, right in enumerate(curve, start=1)
        ]
    )
    extra = {"seed": None, "configuration": "baseline", "depth": None, "value": 0.6}
    scores = pd.concat([scores, pd.DataFrame([extra])])
    evidence = Evidence(scores, tables, runs, checkpoint)
    return summarise("bert", "rte", evidence, replace(SETTINGS, **changes))


CURVES = {
    ("untuned", 1): [5, 6, 9, 10],
    ("untuned", 2): [5, 6, 7, 8],
    ("tuned", 1): [5, 9, 10, 10],
    ("tuned", 2): [5, 8, 8, 8],
}


def test_answer_by_hand(checkpoints):
    """Means over seeds: full 0.9; UNTUNED 0.5, 0.6, 0.8, 0.9; TUNED 0.5, 0.85, 0.9, 0.9."""
    table = study(CURVES, {1: run(1.0), 2: run(0.8)}, checkpoints["bert"])
    assert table.columns.tolist() == COLUMNS
    untuned, tuned = (row for _, row in table.iterrows())
    layer = sum(
        p.numel() for p in AutoModel.from_config(tiny.config("bert")).encoder.layer[0].parameters()
    )
    whole = parameter_count(checkpoints["bert"])
    for row, depth, value in ((untuned, 3, 0.8), (tuned, 2, 0.85)):
        assert (row["model"], row["task"], row["metric"]) == ("bert", "rte", "accuracy")
        assert (row["seeds"], row["failed_seeds"], row["note"]) == ("1 2", "", "")
        assert (row["n_examples"], row["baseline"], row["layers"]) == (10, 0.6, 4)
        assert row["full"] == pytest.approx(0.9)
        assert (row["depth"], row["layers_saved"]) == (depth, 4 - depth)
        assert row["value"] == pytest.approx(value)
        assert row["difference"] == pytest.approx(value - 0.9)
        assert row["parameters"] == whole and row["parameters_saved"] == (4 - depth) * layer
        assert row["difference_low"] <= row["difference"] <= row["difference_high"] <= 0
        assert row["full_low"] < row["full"] < row["full_high"] <= 1
    assert (untuned["configuration"], tuned["configuration"]) == ("untuned", "tuned")
    assert tuned["difference_low"] > untuned["difference_low"]


def test_difference_is_paired_and_nothing_where_nothing_is_cut(checkpoints):
    table = study(CURVES, {1: run(1.0), 2: run(0.8)}, checkpoints["bert"], tolerance=0)
    untuned, tuned = (row for _, row in table.iterrows())
    assert (untuned["depth"], untuned["difference"]) == (4, 0)
    assert (untuned["difference_low"], untuned["difference_high"]) == (0, 0)
    assert untuned["parameters_saved"] == 0
    assert tuned["depth"] == 3


def test_failed_seed_is_left_out_and_named(checkpoints):
    """Seed 2 counts for nothing: seed 1 alone gives full 1.0, UNTUNED to depth 3."""
    runs = {1: run(1.0), 2: run(0.6, failed=True)}
    table = study(CURVES, runs, checkpoints["bert"])
    assert table["full"].tolist() == [1.0, 1.0] and table["depth"].tolist() == [3, 2]
    assert table["value"].tolist() == [0.9, 0.9]
    assert (table["seeds"] == "1").all() and (table["failed_seeds"] == "2").all()
    alone = study(
        {k: c for k, c in CURVES.items() if k[1] == 1}, {1: run(1.0)}, checkpoints["bert"]
    )
    same = [column for column in COLUMNS if column != "failed_seeds"]
    pd.testing.assert_frame_equal(table[same], alone[same])


def test_every_run_failed(checkpoints):
    runs = {1: run(0.6, failed=True), 2: run(0.5, failed=True)}
    table = study(CURVES, runs, checkpoints["bert"])
    assert table.columns.tolist() == COLUMNS and len(table) == 2
    assert (table["note"] == "every run failed: no score beats the baseline").all()
    assert (table["failed_seeds"] == "1 2").all() and (table["seeds"] == "").all()
    assert table[["full", "depth", "value", "difference", "layers_saved"]].isna().all(axis=None)


def test_albert_saves_layers_and_says_why_no_parameters(checkpoints):
    table = study(CURVES, {1: run(1.0), 2: run(0.8)}, checkpoints["albert"])
    assert table["layers_saved"].tolist() == [1, 2]
    assert table["parameters_saved"].tolist() == [0, 0]
    assert (table["note"] == "layers share weights: saves layers and time, no parameters").all()


# ---------------------------------------------------------------- report


def by_csv(table: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.mark.parametrize("kept", [lambda table: table, by_csv], ids=["direct", "by csv"])
def test_report_in_words(checkpoints, kept):
    """Both configurations, failed runs, runs that all failed, ALBERT; the same from a CSV file."""
    good, failed = run(1.0), run(0.6, failed=True)
    both = {1: good, 2: run(0.8)}
    tables = [
        study(CURVES, both, checkpoints["bert"]),
        study(CURVES, {1: good, 2: failed}, checkpoints["bert"]).assign(task="mrpc"),
        study(CURVES, {1: failed, 2: failed}, checkpoints["bert"]).assign(task="cola"),
        study(CURVES, both, checkpoints["albert"]).assign(model="albert"),
        study(CURVES, both, checkpoints["bert"], tolerance=0).assign(task="sst2"),
    ]
    lines = summary_text(kept(pd.concat(tables, ignore_index=True))).splitlines()
    starts = [
        "bert on rte: accuracy 0.900 [",
        "  UNTUNED: depth 3 is enough (-10.0 points [",
        "  TUNED: depth 2 is enough (-5.0 points [",
        "bert on mrpc: accuracy 1.000 [",
        "  UNTUNED: depth 3 is enough (-10.0 points [",
        "  TUNED: depth 2 is enough (-10.0 points [",
        "bert on mrpc: FAILED, seed 2: the score does not beat the baseline of 0.600; left out",
        "bert on cola: FAILED, seed 1 2: the score does not beat the baseline of 0.600",
        "albert on rte: accuracy 0.900 [",
        "  UNTUNED: depth 3 is enough",
        "  TUNED: depth 2 is enough",
        "bert on sst2: accuracy 0.900 [",
        "  UNTUNED: every layer is needed",
        "  TUNED: depth 3 is enough (+0.0 points [+0.0, +0.0]); saves 1 of 4 layers, ",
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    assert lines[0].endswith("] with all 4 layers (baseline 0.600, n=10, seeds 1 2)")
    assert lines[3].endswith("(baseline 0.600, n=10, seeds 1)")
    whole, cut = parameter_count(checkpoints["bert"]), parameter_count(checkpoints["bert"], 2)
    assert lines[2].endswith(
        f"saves 2 of 4 layers, {(whole - cut) / 1e6:.1f}M of {whole / 1e6:.1f}M parameters "
        f"({(whole - cut) / whole:.0%})"
    )
    assert lines[9].endswith(
        "1 of 4 layers, layers share weights: saves layers and time, no parameters"
    )


def test_report_of_one_seed_by_csv(checkpoints):
    """Alone in its column, the seed comes back as a number; with a gap beside it, as a float."""
    one = {key: curve for key, curve in CURVES.items() if key[1] == 1}
    tables = [
        study(one, {1: run(1.0)}, checkpoints["bert"]),
        study(one, {1: run(0.5, failed=True)}, checkpoints["bert"]).assign(task="cola"),
    ]
    text = summary_text(by_csv(pd.concat(tables, ignore_index=True)))
    assert "seeds 1)" in text and "bert on cola: FAILED, seed 1: the score" in text
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
            "degenerate": False,
            "n": 40,
            "n_examples": 10,
        }
    )
    table = truncation_table("bert", "rte", scores, {1: run(0.9), 2: run(0.6, failed=True)})
    table = by_csv(table)
    assert table.columns.tolist() == [
        "model", "task", "seed", "configuration", "depth", "metric", "value", "degenerate", "n",
        "n_examples", "failed",
    ]  # fmt: skip
    assert (table["model"] == "bert").all() and (table["task"] == "rte").all()
    assert (table["n"] == 40).all() and (table["n_examples"] == 10).all()
    assert table["failed"].tolist() == [False, False, True, True, False, True, False]
    chosen = table[["seed", "configuration", "depth", "value"]].iloc[4:]
    assert chosen.iloc[:2].to_numpy().tolist() == [[1, "full", 2, 0.9], [2, "full", 2, 0.6]]
    baseline = chosen.iloc[2]
    assert (baseline["configuration"], baseline["value"]) == ("baseline", 0.6)
    assert pd.isna(baseline["seed"]) and pd.isna(baseline["depth"])


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
