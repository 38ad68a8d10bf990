"""Activation files: what they contain, and what happens when it is wrong."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cosine

from helpers import model_types, tiny
from strata.analysis.activations import Activations
from strata.analysis.cka_tables import cka_table, gold_rows
from strata.analysis.dump import Source, dump
from strata.analysis.movement import layer_turns, movement_table
from strata.modeling.encoder import Encoder
from strata.runtime.errors import StrataError
from strata.study.settings import CkaSettings, ForwardSettings, StorageSettings

LAYERS = 4
ATTRIBUTES = {
    "model": "tiny", "task": "tiny-task", "split": "eval", "state": "full-seed1", "seed": None
}  # fmt: skip
REBUILD = "rebuild it with 'snakemake .* --force'"
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


class Stub:
    """An encoder of made-up hidden states; at depth 2 two of five features are `value`."""

    norm = None

    def __init__(self, value):
        self.num_layers, self.value = 3, value

    def pool(self, hidden, inputs):
        return hidden[:, 0]

    read = pool

    def hidden_states(self, inputs):
        for depth in range(self.num_layers + 1):
            hidden = inputs["input_ids"].float()[..., None].repeat(1, 1, 5)
            if depth == 2:
                hidden[:, :, :2] = self.value
            yield hidden


def write(
    path,
    encoder=None,
    kind="classification",
    count=12,
    dtype="float32",
    poolings=("head", "raw", "mean"),
    batch_size=5,
):
    encoder = encoder or Encoder(tiny.task_model("bert", kind))
    source = Source(encoder, tiny.rows(kind, count), ATTRIBUTES)
    dump(path, source, StorageSettings(poolings, dtype), ForwardSettings(batch_size))
    return path


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@every_architecture
@torch.no_grad()
def test_a_file_holds_what_the_model_puts_out(architecture, tmp_path):
    """The CLS vector of depths 1..L and the mean over words of depths 0..L, row by row."""
    model = tiny.task_model(architecture)
    write(tmp_path / "a.h5", Encoder(model))
    with Activations.open(tmp_path / "a.h5") as file:
        assert file.depths() == [1, 2, 3, 4] and file.depths("mean") == [0, 1, 2, 3, 4]
        cls, mean = file.vectors(), file.vectors("mean")
        for row, features in enumerate(tiny.rows().tokenize(slice(None))[0]):
            inputs = {name: torch.tensor([ids]) for name, ids in features.items()}
            states = model(**inputs, output_hidden_states=True).hidden_states
            words = [i for i, token in enumerate(features["input_ids"]) if token not in (0, 2)]
            close(cls[:, row], [state[0, 0] for state in states[1:]])
            close(mean[:, row], [state[0, words].mean(0) for state in states])


def test_what_is_the_same_twice_is_stored_once(tmp_path):
    """Without a final norm, what heads read is what is compared; with one, the two differ."""
    inner = {"bert": True, "modernbert:mean": False}
    for kind, same in inner.items():
        path = tmp_path / kind
        write(path, Encoder(model_types.model(kind)))
        with h5py.File(path) as file, Activations.open(path) as activations:
            assert (file["head"].id.get_offset() == file["raw"].id.get_offset()) == same
            assert file["depth_head"][:].tolist() == file["depth_raw"][:].tolist() == [1, 2, 3, 4]
            assert np.array_equal(activations.vectors("head"), activations.vectors("raw")) == same
            assert activations.poolings == ["raw", "mean"]


@every_architecture
@torch.no_grad()
def test_a_file_holds_how_far_each_layer_turns_the_words(architecture, tmp_path):
    """Against SciPy's cosine distance, token by token, for each row separately."""
    model = tiny.task_model(architecture)
    with Activations.open(write(tmp_path / "a.h5", Encoder(model))) as file:
        cosines, angles = file.turns("cosine"), file.turns("angle")
        table = layer_turns(file)
    assert cosines.shape == angles.shape == (LAYERS, 12)
    assert cosines.dtype == angles.dtype == np.float32
    expected = np.empty((LAYERS, 12))
    for row, features in enumerate(tiny.rows().tokenize(slice(None))[0]):
        inputs = {name: torch.tensor([ids]) for name, ids in features.items()}
        states = model(**inputs, output_hidden_states=True).hidden_states
        words = [i for i, token in enumerate(features["input_ids"]) if token not in (0, 2)]
        for k in range(LAYERS):
            apart = np.array([cosine(states[k][0, i], states[k + 1][0, i]) for i in words])
            close(cosines[k, row], 1 - apart.mean())
            close(angles[k, row], (np.arccos(1 - apart) / np.pi).mean())
            expected[k, row] = apart.mean()
    assert table["depth"].tolist() == [1, 2, 3, 4] and (table["n"] == 12).all()
    close(table["block_influence"], expected.mean(1))
    close(table["angular_distance"], angles.mean(1))


def test_a_layer_that_turns_nothing_has_no_influence_and_one_that_reverses_the_most(tmp_path):
    class Turning(Stub):
        def hidden_states(self, inputs):
            hidden = torch.randn(*inputs["input_ids"].shape, 8)
            yield from (hidden, 3 * hidden, -hidden, hidden.roll(1, -1) * 0 - hidden)

    with Activations.open(write(tmp_path / "a.h5", Turning(0.0), poolings=["raw"])) as file:
        table = layer_turns(file)
    close(table["block_influence"], [0, 2, 0])
    np.testing.assert_allclose(table["angular_distance"], [0, 1, 0], atol=1e-3)


def test_a_row_without_words_has_no_turn_and_counts_for_nothing(tmp_path):
    rows = tiny.rows()
    rows.examples.loc[3, ["text_a", "text_b"]] = ""
    source = Source(Encoder(tiny.task_model("bert")), rows, ATTRIBUTES)
    dump(tmp_path / "a.h5", source, StorageSettings(["head"], "float32"), ForwardSettings(5))
    with Activations.open(tmp_path / "a.h5") as file:
        cosines, table = file.turns("cosine"), layer_turns(file)
    assert np.isnan(cosines).any(0).nonzero()[0].tolist() == [3]
    assert (table["n"] == 11).all()
    close(table["block_influence"], 1 - np.nanmean(cosines, axis=1))


def test_runs_stand_one_below_the_other_with_failed_ones_flagged():
    layers = pd.DataFrame(
        {"depth": [1, 2], "block_influence": [0.1, 0.2], "angular_distance": [0.3, 0.4], "n": 9}
    )
    runs = {seed: SimpleNamespace(failed=seed == 2) for seed in (1, 2)}
    table = movement_table({"model": "m", "task": "t"}, {1: layers, 2: layers}, runs)
    assert table.columns.tolist() == [
        "model", "task", "seed", "depth", "block_influence", "angular_distance", "n", "failed",
    ]  # fmt: skip
    assert table["failed"].tolist() == [False, False, True, True]


def test_a_file_says_what_it_is(tmp_path):
    write(tmp_path / "a.h5", dtype="float16", poolings=["head", "raw"])
    with Activations.open(tmp_path / "a.h5") as file:
        assert file.vectors().dtype == np.float16
        assert file.vectors().shape == (LAYERS, 12, 16)
        assert file.poolings == ["raw"] and file.choices == 1
        assert file.attributes["state"] == "full-seed1" and file.attributes["model"] == "tiny"
        assert "torch" in json.loads(file.attributes["versions"])
        expected = tiny.examples()[["example_id", "label"]]
        pd.testing.assert_frame_equal(file.examples(), expected)
        with pytest.raises(StrataError, match="has no pooling 'mean'"):
            file.vectors("mean")


def test_regression_labels_keep_their_values(tmp_path):
    write(tmp_path / "a.h5", kind="regression")
    with Activations.open(tmp_path / "a.h5") as file:
        assert file.examples()["label"].tolist() == tiny.examples("regression")["label"].tolist()


@every_architecture
def test_batch_size_changes_nothing(architecture, tmp_path):
    encoder = Encoder(tiny.task_model(architecture))
    write(tmp_path / "1.h5", encoder, batch_size=1)
    write(tmp_path / "12.h5", encoder, batch_size=12)
    with (
        Activations.open(tmp_path / "1.h5") as one,
        Activations.open(tmp_path / "12.h5") as twelve,
    ):
        close(one.vectors(), twelve.vectors())
        close(one.vectors("mean"), twelve.vectors("mean"))
        close(one.turns("cosine"), twelve.turns("cosine"))


def test_rows_beyond_a_window_are_in_order(tmp_path):
    """More rows than are buffered at a time; each row belongs to its own example."""
    encoder = Encoder(tiny.task_model("bert", layers=1))
    write(tmp_path / "a.h5", encoder, count=1100, poolings=["mean"], batch_size=64)
    write(tmp_path / "b.h5", encoder, count=1100, poolings=["mean"], batch_size=600)
    rows = tiny.rows(count=1100)
    features, special = rows.tokenize(slice(None))
    with Activations.open(tmp_path / "a.h5") as a, Activations.open(tmp_path / "b.h5") as b:
        close(a.vectors("mean"), b.vectors("mean"))
        for row in (0, 1023, 1024, 1099):
            inputs = {name: torch.tensor([ids]) for name, ids in features[row].items()}
            with torch.no_grad():
                hidden = list(encoder.hidden_states(inputs))[1]
            close(a.vectors("mean")[1, row], hidden[0, torch.tensor(special[row]) == 0].mean(0))


def test_choices_are_rows_of_their_example(tmp_path):
    """Example-major, the gold index repeated; `examples` gives each example once."""
    write(tmp_path / "a.h5", kind="multiple-choice")
    with Activations.open(tmp_path / "a.h5") as file:
        assert file.choices == 3 and file.vectors().shape[1] == 36
        gold = tiny.examples("multiple-choice")["label"]
        assert file.file["label"][:].tolist() == gold.repeat(3).tolist()
        assert file.file["example_id"][:].tolist() == np.arange(12).repeat(3).tolist()
        assert file.file["choice"][:].tolist() == 12 * [0, 1, 2]
        assert file.examples()["label"].tolist() == gold.tolist()
        assert file.examples()["example_id"].tolist() == list(range(12))


def test_a_value_too_large_for_float16_restarts_the_file_in_float32(tmp_path, capsys):
    path = write(tmp_path / "a.h5", Stub(70_000.0), dtype="float16")
    with Activations.open(path) as file:
        assert file.vectors().dtype == np.float32 and file.attributes["dtype"] == "float32"
        assert (file.vectors()[1, :, :2] == 70_000).all()
    assert "overflows float16" in capsys.readouterr().out
    with Activations.open(write(tmp_path / "b.h5", Stub(60_000.0), dtype="float16")) as file:
        assert file.vectors().dtype == np.float16
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


@pytest.mark.parametrize("value", (float("nan"), float("inf")))
@pytest.mark.parametrize("dtype", ("float32", "float16"))
def test_values_that_are_not_finite_fail_and_leave_nothing(value, dtype, tmp_path):
    """The message names state, depth and count: 2 features of each of 12 rows."""
    with pytest.raises(StrataError) as caught:
        write(tmp_path / "a.h5", Stub(value), dtype=dtype, poolings=["raw"])
    for part in ("'full-seed1'", "tiny on tiny-task", "24 values", "depth 2", "'raw'"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_dump_that_is_cut_short_leaves_nothing_and_keeps_the_old_file(tmp_path):
    write(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()

    class Stopped(Stub):
        def hidden_states(self, inputs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.h5", Stopped(1.0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def change(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


def without_a_layer(file):
    cosines = file["cosine"][:-1]
    del file["cosine"]
    file["cosine"] = cosines


def short_labels(file):
    labels = file["label"][:-1]
    del file["label"]
    file["label"] = labels


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda f: f.attrs.update(schema_version=99), "schema version 99, expected 3"),
        (lambda f: f.attrs.update(schema_version=1), "schema version 1, expected 3"),
        (lambda f: f.attrs.pop("schema_version"), "schema version None, expected 3"),
        (lambda f: f.pop("label"), "no dataset 'label'"),
        (lambda f: f.pop("example_id"), "no dataset 'example_id'"),
        (lambda f: f.pop("mean"), "no dataset 'mean'"),
        (lambda f: f.pop("angle"), "no dataset 'angle'"),
        (without_a_layer, r"'cosine' of shape \(3, 12\), expected \(4, 12\)"),
        (short_labels, r"'head' of shape \(4, 12, 16\), expected \(4, 11, hidden\)"),
    ],
)
def test_a_file_of_another_form_is_explained(edit, problem, tmp_path):
    change(write(tmp_path / "a.h5"), edit)
    with pytest.raises(StrataError, match=f"a.h5 has .*{problem}.*{REBUILD}"):
        Activations.open(tmp_path / "a.h5")


@pytest.mark.parametrize("share", (0.0, 0.1, 0.5, 0.99))
def test_a_truncated_or_missing_file_is_explained(share, tmp_path):
    path = write(tmp_path / "a.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StrataError, match=f"not a complete HDF5 file.*{REBUILD}"):
        Activations.open(path)
    with pytest.raises(StrataError, match=f"b.h5 does not exist; {REBUILD}"):
        Activations.open(tmp_path / "b.h5")


@pytest.mark.parametrize(
    "name",
    (
        "tiny_tiny-task/eval/full-seed2.h5",
        "tiny_tiny-task/train/full-seed1.h5",
        "tiny_other/eval/full-seed1.h5",
        "big_tiny-task/eval/full-seed1.h5",
    ),
)
def test_a_file_under_the_name_of_another_is_refused(name, tmp_path):
    own = tmp_path / "activations" / "tiny_tiny-task" / "eval" / "full-seed1.h5"
    own.parent.mkdir(parents=True)
    with Activations.open(write(own)):
        pass
    path = tmp_path / "activations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    own.rename(path)
    held = "contains activations/tiny_tiny-task/eval/full-seed1.h5, not what its name says"
    with pytest.raises(StrataError, match=f"{held}; {REBUILD}"):
        Activations.open(path)


POSITIONS, GOLD = (CkaSettings(choice, 4, 64) for choice in ("positions", "gold"))


def open_pair(tmp_path, kind, **options):
    encoder = Encoder(tiny.task_model("bert", kind))
    other = Encoder(tiny.task_model("bert", kind, seed=1))
    write(tmp_path / "y.h5", encoder, kind, **options)
    write(tmp_path / "x.h5", other, kind, **options)
    return Activations.open(tmp_path / "y.h5"), Activations.open(tmp_path / "x.h5")


def test_a_table_of_two_files_has_a_row_a_pair_of_depths_and_estimator(tmp_path):
    """Depths, poolings and estimators in their rows, against CKA of the vectors themselves."""
    from strata.analysis.cka import cka

    y, x = open_pair(tmp_path, "classification")
    with y, x:
        table = cka_table(y, x, {"model": "tiny", "y_state": "a", "x_state": "b"}, POSITIONS)
        assert len(table) == 2 * (LAYERS**2 + (LAYERS + 1) ** 2)
        assert (table["model"] == "tiny").all() and (table["n"] == 12).all()
        for row in table.sample(20, random_state=0).itertuples():
            at_y = y.depths(row.pooling).index(row.y_depth)
            at_x = x.depths(row.pooling).index(row.x_depth)
            pair = y.vectors(row.pooling)[at_y], x.vectors(row.pooling)[at_x]
            assert row.cka == pytest.approx(cka(*pair, debiased=row.estimator == "debiased"))


def test_a_table_of_gold_choices_leaves_the_other_choices_out(tmp_path):
    from strata.analysis.cka import cka

    y, x = open_pair(tmp_path, "multiple-choice", poolings=["raw"])
    with y, x:
        gold = [3 * i + g for i, g in enumerate(tiny.examples("multiple-choice")["label"])]
        table = cka_table(y, x, {}, GOLD).query("estimator == 'biased'")
        first = table.query("y_depth == 1 and x_depth == 4")["cka"].item()
        pair = y.vectors("raw")[0][gold], x.vectors("raw")[3][gold]
        assert first == pytest.approx(cka(*pair))
        assert (table["n"] == 12).all() and (table["n_examples"] == 12).all()
        everything = cka_table(y, x, {}, POSITIONS)
        assert (everything["n"] == 36).all() and (everything["n_examples"] == 12).all()


@pytest.mark.parametrize("kind", ("classification", "regression"))
def test_without_choices_every_row_is_gold(kind, tmp_path):
    y, x = open_pair(tmp_path, kind)
    with y, x:
        gold, everything = (cka_table(y, x, {}, settings) for settings in (GOLD, POSITIONS))
    pd.testing.assert_frame_equal(gold, everything)


def test_gold_rows():
    assert gold_rows(pd.Series([2, 0, 1]), choices=3).tolist() == [2, 3, 7]


def test_files_of_different_examples_are_not_compared(tmp_path):
    write(tmp_path / "y.h5", count=12)
    write(tmp_path / "x.h5", count=11)
    y, x = Activations.open(tmp_path / "y.h5"), Activations.open(tmp_path / "x.h5")
    with y, x, pytest.raises(StrataError, match="different examples"):
        cka_table(y, x, {}, POSITIONS)


def test_too_few_examples_for_cka_are_refused_in_words(tmp_path):
    y, x = open_pair(tmp_path, "classification", count=3)
    with y, x, pytest.raises(StrataError, match="at least 4 examples"):
        cka_table(y, x, {}, POSITIONS)
