"""Calibration, likelihood and changed answers, against scikit-learn and loops written out here."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from helpers import tiny
from strata.analysis.activations import Activations
from strata.analysis.calibration import (
    COLUMNS,
    bin_gaps,
    calibration_noise,
    calibration_of_run,
    calibration_table,
    log_probabilities,
)
from strata.analysis.dump import Source, dump
from strata.analysis.truncation import untuned
from strata.evaluation.prediction_files import (
    logit_columns,
    logits_of,
    read_with_logits,
    write_predictions,
)
from strata.evaluation.predictions import prediction_table
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.head_tuning import HeadInputs, apply_heads, head_logits, repeat_head
from strata.modeling.inference import timed_predictions
from strata.runtime.errors import StrataError
from strata.study.settings import ForwardSettings, StorageSettings

KINDS = ("classification", "multiple-choice", "regression")
LAYERS = 3


def outputs(kind, examples=200, depths=LAYERS, seed=0, strength=2.0):
    """Examples, and logits (depths, rows, outputs) that say more about the label at each depth."""
    rng, task = np.random.default_rng(seed), tiny.task(kind)
    classes = {"classification": 2, "multiple-choice": task.choices, "regression": 1}[kind]
    labels = (
        rng.normal(size=examples) if kind == "regression" else rng.integers(classes, size=examples)
    )
    logits = rng.normal(size=(depths, examples, classes))
    told = labels[:, None] if kind == "regression" else np.eye(classes)[labels]
    logits += strength * np.arange(depths)[:, None, None] * told
    table = pd.DataFrame({"example_id": 3 * np.arange(examples) + 1, "label": labels})
    rows = logits.reshape(depths, -1, 1) if kind == "multiple-choice" else logits
    return table, torch.from_numpy(rows.astype(np.float32)), logits.astype(np.float32)


def predictions_of(kind, configuration="untuned", **changes):
    examples, rows, _ = outputs(kind, **changes)
    depths = range(1, len(rows) + 1)
    return prediction_table(examples, rows, depths, configuration, tiny.task(kind))


def plain_error(probabilities, labels, bins=15):
    """Guo et al. 2017, equation 3: bin m holds confidences in ((m-1)/M, m/M]."""
    total = 0.0
    for m in range(1, bins + 1):
        members = [
            (p.max(), p.argmax() == label)
            for p, label in zip(probabilities, labels, strict=True)
            if (m - 1) / bins < p.max() <= m / bins
        ]
        if members:
            confidences, right = zip(*members, strict=True)
            total += abs(np.mean(right) - np.mean(confidences)) * len(members) / len(labels)
    return total


@pytest.mark.parametrize("kind", ("classification", "multiple-choice"))
def test_likelihood_is_scikit_learns_and_calibration_error_the_papers(kind):
    table = calibration_of_run(predictions_of(kind), tiny.task(kind))
    examples, _, logits = outputs(kind)
    labels = examples["label"].to_numpy()
    assert table["depth"].tolist() == [1, 2, 3]
    for row, at_depth in zip(table.itertuples(), logits, strict=True):
        probabilities = softmax(at_depth.astype(float), axis=1)
        classes = range(probabilities.shape[1])
        assert row.nll == pytest.approx(log_loss(labels, probabilities, labels=classes))
        losses = -np.log(probabilities[range(len(labels)), labels])
        assert row.nll_se == pytest.approx(losses.std(ddof=1) / np.sqrt(len(labels)))
        assert row.ece == pytest.approx(plain_error(probabilities, labels))
    assert table["nll"].is_monotonic_decreasing
    assert (table["n_examples"] == 200).all()
    assert (table["n"] == 200 * tiny.task(kind).choices).all()
    assert "squared_error" not in table


def test_a_value_on_the_edge_of_two_bins_is_in_the_lower_one():
    """10/15 closes the bin (9/15, 10/15], so its gap is not pooled with that of 0.67."""
    confidence = np.array([10 / 15, 0.67])
    gap = bin_gaps(confidence, np.array([[1, 0]]))
    assert gap[0] == pytest.approx((5 / 15 + 0.67) / 2)
    assert bin_gaps(np.array([1.0, 1.0]), np.array([[1, 1]]))[0] == 0


def test_large_logits_overflow_nothing(recwarn):
    logs = log_probabilities(np.array([[1e4, 0.0], [-1e30, -1e30]], dtype=np.float32))
    np.testing.assert_allclose(logs[0], [0, -1e4])
    np.testing.assert_allclose(logs[1], np.log([0.5, 0.5]))
    assert not recwarn.list


def test_noise_shrinks_with_examples_and_is_seeded():
    confidence = np.full(100, 0.8)
    noise = calibration_noise(confidence)
    # One bin: the mean distance of a share from 0.8, by the normal approximation.
    expected = np.sqrt(2 / np.pi) * np.sqrt(0.8 * 0.2 / 100)
    assert noise.mean() == pytest.approx(expected, rel=0.15)
    assert calibration_noise(np.full(10_000, 0.8)).mean() == pytest.approx(expected / 10, rel=0.15)
    np.testing.assert_array_equal(noise, calibration_noise(confidence))
    assert (noise != calibration_noise(confidence, seed=1)).any()


def test_overconfident_answers_are_above_the_noise():
    """Logits of the truth three times as large as they should be."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 2))
    labels = (rng.random(400) > softmax(logits, axis=1)[:, 0]).astype(int)
    examples = pd.DataFrame({"example_id": range(400), "label": labels})
    both = torch.from_numpy(np.stack([logits, 3 * logits]).astype(np.float32))
    table = calibration_of_run(
        prediction_table(examples, both, [1, 2], "untuned", tiny.task()), tiny.task()
    )
    calibrated, over = (row for _, row in table.iterrows())
    assert calibrated["ece"] < calibrated["ece_noise_high"]
    assert over["ece"] > 2 * over["ece_noise_high"] and over["nll"] > calibrated["nll"]
    assert over["flips"] == 0 and calibrated["flips"] == 0


def test_changed_answers_by_hand():
    """The full model is UNTUNED at the last depth, whatever else is in the table."""
    labels = [0, 0, 1, 1, 2, 2]
    full, cut = [0, 1, 1, 0, 2, 0], [0, 0, 0, 2, 2, 1]
    examples = pd.DataFrame({"example_id": [5, 3, 8, 1, 9, 7], "label": labels})
    task = replace(tiny.task(), labels=["a", "b", "c"])
    untuned = torch.eye(3)[torch.tensor([cut, full])]
    shuffled = examples.iloc[::-1]
    tuned = torch.eye(3)[torch.tensor([full[::-1], full[::-1]])]
    table = calibration_of_run(
        pd.concat(
            [
                prediction_table(shuffled, tuned, [1, 2], "tuned", task),
                prediction_table(examples, untuned, [1, 2], "untuned", task),
            ]
        ),
        task,
    ).set_index(["configuration", "depth"])
    at = table.loc[("untuned", 1)]
    # Example 2 gets right, 3 gets wrong; 4 and 6 are wrong before and after.
    assert (at["flips"], at["better"], at["worse"]) == pytest.approx((4 / 6, 1 / 6, 1 / 6))
    assert at["flips_se"] == pytest.approx(np.sqrt(4 / 6 * 2 / 6 / 5))
    for same in (("untuned", 2), ("tuned", 1), ("tuned", 2)):
        assert table.loc[same, ["flips", "worse", "better", "flips_se"]].tolist() == [0, 0, 0, 0]


def test_regression_has_squared_errors_and_how_far_values_moved():
    table = calibration_of_run(predictions_of("regression"), tiny.task("regression"))
    examples, _, values = outputs("regression")
    labels, values = examples["label"].to_numpy(), values[..., 0].astype(float)
    for row, at_depth in zip(table.itertuples(), values, strict=True):
        errors, moved = (at_depth - labels) ** 2, np.abs(at_depth - values[-1])
        assert row.squared_error == pytest.approx(errors.mean())
        assert row.squared_error_se == pytest.approx(errors.std(ddof=1) / np.sqrt(200))
        assert row.moved == pytest.approx(moved.mean())
    assert not {"nll", "ece", "flips"} & set(table)


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_a_pair(kind):
    """Every seed against its own full model; runs that failed are flagged, and none is left out."""
    task = tiny.task(kind)
    tables = {
        seed: [predictions_of(kind, name, seed=seed, strength=2.0 + (name == "tuned"))
               for name in ("untuned", "tuned", "tuned-orig")]
        for seed in (1, 2)
    }  # fmt: skip
    runs = {1: tiny.metrics(), 2: tiny.metrics(failed=True)}
    table = calibration_table("bert", task, tables, runs)
    assert table.columns.tolist() == COLUMNS
    assert len(table) == 2 * 3 * LAYERS + 1
    assert table["failed"].tolist() == (table["seed"] == 2).fillna(False).tolist()
    full = table[(table["configuration"] == "untuned") & (table["depth"] == LAYERS)]
    assert (full["moved" if kind == "regression" else "flips"] == 0).all()
    alone = calibration_of_run(pd.concat(tables[2]), task)
    of_seed = table[table["seed"] == 2].reset_index(drop=True)
    for column in set(alone) - {"configuration", "depth"}:
        np.testing.assert_allclose(of_seed[column], alone[column])


@pytest.mark.parametrize("kind", KINDS)
def test_the_baseline_is_the_best_constant_under_the_loss(kind):
    task, tables = tiny.task(kind), {1: [predictions_of(kind)]}
    row = calibration_table("bert", task, tables, {1: tiny.metrics()}).iloc[-1]
    labels = outputs(kind)[0]["label"].to_numpy()
    assert row["configuration"] == "baseline" and pd.isna(row["seed"]) and pd.isna(row["depth"])
    if kind == "regression":
        assert row["squared_error"] == pytest.approx(labels.var())
        return
    shares = np.bincount(labels) / len(labels)
    constant = np.tile(shares, (len(labels), 1))
    assert row["nll"] == pytest.approx(log_loss(labels, constant, labels=range(len(shares))))
    assert pd.isna(row["ece"]) and pd.isna(row["flips"])


# ---------------------------------------------------------------- logits that are kept


@pytest.mark.parametrize("architecture", ("bert", "albert"))
@pytest.mark.parametrize("kind", KINDS)
def test_kept_logits_are_those_of_the_cut_model(architecture, kind, tmp_path):
    """At every depth, the full model's own at the last; and of heads that were tuned."""
    model, task, rows = tiny.task_model(architecture, kind), tiny.task(kind), tiny.rows(kind)
    source = Source(Encoder(model), rows, {"model": "tiny", "task": kind, "state": "full-seed1"})
    dump(tmp_path / "a.h5", source, StorageSettings(["head"], "float32"), ForwardSettings(5))
    with Activations.open(tmp_path / "a.h5") as file:
        table = untuned(file, Head(model), task)
        head, labels = Head(model), file.examples()["label"].to_numpy()
        inputs = HeadInputs(np.array(file.vectors()), labels, task)
    for depth, group in table.groupby("depth"):
        cut = tiny.without(model, range(depth + 1, 5))
        expected, _ = timed_predictions(cut, tiny.rows(kind), task)
        columns = ["example_id", "label", "prediction", *logit_columns(expected)]
        assert len(columns) == {"regression": 4, "classification": 5, "multiple-choice": 6}[kind]
        for column in columns:
            np.testing.assert_allclose(group[column], expected[column], rtol=1e-5, atol=1e-5)
    stack = repeat_head(head, 4)
    logits = head_logits(head, stack, inputs, at_once=7)
    assert logits.shape == (4, 12 * task.choices, task.num_labels)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(
        logits_of(table).ravel(), logits.numpy().ravel(), rtol=1e-5, atol=1e-5
    )
    decided = apply_heads(head, stack, inputs)
    np.testing.assert_allclose(table["prediction"], decided.ravel(), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_files_keep_every_value_and_type(kind, tmp_path):
    table = predictions_of(kind)
    write_predictions(table, tmp_path / "p.parquet")
    read = read_with_logits(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "p.parquet"), table)
    assert {read[name].dtype for name in logit_columns(read)} == {np.dtype("float32")}
    np.testing.assert_array_equal(
        logits_of(read).reshape(outputs(kind)[2].shape), outputs(kind)[2].astype(float)
    )


def test_ten_logits_and_more_stay_in_the_order_of_the_labels(tmp_path):
    logits = torch.arange(24.0).reshape(1, 2, 12)
    task = replace(tiny.task(), labels=[f"label {i}" for i in range(12)])
    examples = pd.DataFrame({"example_id": [0, 1], "label": [3, 11]})
    table = prediction_table(examples, logits, [1], "untuned", task)
    np.testing.assert_array_equal(logits_of(table[sorted(table.columns)]), logits[0].numpy())


def test_files_are_little_larger_than_their_logits(tmp_path):
    """Numbers of examples, labels and predictions cost less than one more logit would."""
    table = predictions_of("classification", examples=2000, depths=6)
    write_predictions(table, tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").stat().st_size < 4 * 3 * len(table)


def test_predictions_of_an_earlier_version_are_refused_with_the_remedy(tmp_path):
    old = predictions_of("classification").drop(columns=["logit_0", "logit_1"])
    old.to_parquet(tmp_path / "old.parquet")
    with pytest.raises(StrataError, match=r"old\.parquet has no logits.*--force"):
        read_with_logits(tmp_path / "old.parquet")
