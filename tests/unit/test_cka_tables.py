"""CKA tables of two activation files: what is compared, its standard error, and its notes."""

import h5py
import numpy as np
import pandas as pd
import pytest

from strata.analysis.activations import SCHEMA_VERSION, Activations
from strata.analysis.cka import cka
from strata.analysis.cka_tables import cka_table, gold_rows
from strata.analysis.half_samples import half_samples
from strata.runtime.errors import StrataError
from strata.study.settings import CkaSettings

POSITIONS = CkaSettings("positions", resamples=20, memory_mb=64)
GOLD = CkaSettings("gold", resamples=20, memory_mb=64)
FEW = "fewer than 50 examples, CKA and its error are rough"


def activations(path, vectors: np.ndarray, labels: list, choices: int = 1) -> Activations:
    """An activation file of `vectors`, [depths, rows, hidden]."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema_version": SCHEMA_VERSION, "choices": choices})
        file["label"] = np.repeat(labels, choices)
        file["example_id"] = np.repeat(np.arange(len(labels)), choices)
        file["depth_raw"] = np.arange(len(vectors)) + 1
        file["raw"] = vectors.astype(np.float32)
        file["cosine"] = file["angle"] = np.zeros(vectors.shape[:2], np.float32)
    return Activations.open(path)


def stacks(rows, seed=0):
    """Two stacks that share a part, of 2 and 3 depths."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, rows, 5)), rng.normal(size=(3, rows, 4))
    two[:2] += one[:, :, :4]
    return one, two


def hsic(a, b, debiased):
    """tr(KHLH), or Song et al. 2012, equation 5."""
    n, one = len(a), np.ones(len(a))
    if not debiased:
        a, b = a - a.mean(0), b - b.mean(0)
        return ((a @ a.T) * (b @ b.T)).sum()
    k, l = a @ a.T, b @ b.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    total = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return ((k * l).sum() + total - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def by_positions(a, b, choices, debiased):
    """CKA with HSICs averaged over the positions of choice."""
    cross, first, second = (
        np.mean([hsic(u[c::choices], v[c::choices], debiased) for c in range(choices)])
        for u, v in ((a, b), (a, a), (b, b))
    )
    return cross / np.sqrt(first * second)


@pytest.mark.parametrize(
    ("labels", "choices", "gold"),
    [([2, 0, 1, 2, 0, 1, 1, 1], 3, [2, 3, 7, 11, 12, 16, 19, 22]),
     ([1, 0, 1, 0, 1, 1, 0, 0], 1, [0, 1, 2, 3, 4, 5, 6, 7]),
     ([0.5, 1.5, 2.0, 0.1, 3.0, 2.2, 1, 2], 1, [0, 1, 2, 3, 4, 5, 6, 7])],
    ids=["multiple-choice", "classification", "regression"],
)  # fmt: skip
def test_a_table_of_positions_and_of_the_gold_choices(tmp_path, labels, choices, gold):
    """`gold` keeps one row an example, and all rows of a task that has no choices."""
    assert gold_rows(pd.Series(labels), choices).tolist() == gold
    one, two = stacks(8 * choices)
    y = activations(tmp_path / "y.h5", one, labels, choices)
    x = activations(tmp_path / "x.h5", two, labels, choices)
    for settings in (POSITIONS, GOLD):
        table = cka_table(y, x, {"model": "bert", "y_state": "a"}, settings)
        assert len(table) == 2 * 2 * 3
        assert table.columns.tolist() == [
            "model", "y_state", "y_depth", "x_depth", "pooling", "estimator", "n", "n_examples",
            "cka", "se", "note",
        ]  # fmt: skip
        of_gold = settings is GOLD
        assert (table["n"] == (8 if of_gold else 8 * choices)).all()
        assert (table["n_examples"] == 8).all()
        assert (table["pooling"] == "raw").all() and (table["model"] == "bert").all()
        for row in table.itertuples():
            first, second = one[row.y_depth - 1], two[row.x_depth - 1]
            debiased = row.estimator == "debiased"
            if of_gold:
                value = cka(first[gold], second[gold], debiased=debiased)
            else:
                value = by_positions(first, second, choices, debiased)
            assert row.cka == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("choices", (1, 3))
def test_the_standard_error_is_the_spread_of_half_samples(tmp_path, choices):
    one, two = stacks(60 * choices)
    y = activations(tmp_path / "y.h5", one, [0, 1] * 30, choices)
    x = activations(tmp_path / "x.h5", two, [0, 1] * 30, choices)
    table = cka_table(y, x, {}, POSITIONS)
    halves = half_samples(y.vectors("raw"), x.vectors("raw"), 20, choices=choices)
    for row in table.itertuples():
        values = getattr(halves, row.estimator)[:, row.y_depth - 1, row.x_depth - 1]
        assert row.se == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    shared = table.query("y_depth == x_depth")
    assert shared["se"].between(0.01, 0.2).all()


def test_a_state_with_itself_has_ones_on_its_diagonal_without_error(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(3, 20, 5))
    with activations(tmp_path / "y.h5", vectors, [0, 1] * 10) as y:
        table = cka_table(y, y, {}, POSITIONS)
    same = table[table["y_depth"] == table["x_depth"]]
    assert len(same) == 6 and same["cka"].to_numpy() == pytest.approx(1)
    assert same["se"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert (table["cka"] < 0.999).sum() == 12


def test_where_half_of_the_examples_cannot_tell_there_is_no_error(tmp_path):
    """Too few to halve, or a depth without variance."""
    one, two = stacks(7)
    with activations(tmp_path / "y.h5", one, [0] * 7) as y:
        assert cka_table(y, y, {}, POSITIONS)["se"].isna().all()
    one, two = stacks(60)
    two[1] = 3
    y = activations(tmp_path / "y.h5", one, [0, 1] * 30)
    x = activations(tmp_path / "x.h5", two, [0, 1] * 30)
    table = cka_table(y, x, {}, POSITIONS)
    constant = table["x_depth"] == 2
    assert table[constant][["cka", "se"]].isna().all(axis=None)
    assert table[~constant][["cka", "se"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("examples", "choices", "settings", "notes"),
    [
        (49, 1, POSITIONS, [FEW]),
        (50, 1, POSITIONS, []),
        (50, 1, GOLD, []),
        (49, 2, POSITIONS, [FEW]),
        (50, 2, GOLD, ["gold choices alone, what tells right from wrong is left out"]),
        (49, 2, GOLD, [FEW, "gold choices alone, what tells right from wrong is left out"]),
    ],
)
def test_what_a_reader_must_know_is_in_the_log_and_beside_every_number(
    tmp_path, capsys, examples, choices, settings, notes
):
    one, _ = stacks(examples * choices)
    with activations(tmp_path / "y.h5", one, [0] * examples, choices) as y:
        table = cka_table(y, y, {}, settings)
    assert set(table["note"]) == {"; ".join(notes)}
    said = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("Warning: ").removesuffix(".") for line in said] == notes


def test_cka_of_other_examples_is_refused(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(1, 6, 5))
    y = activations(tmp_path / "y.h5", vectors, [0, 1, 0, 1, 0, 1])
    x = activations(tmp_path / "x.h5", vectors, [0, 1, 0, 1, 1, 1])
    with pytest.raises(
        StrataError, match="y.h5 and .*x.h5 contain different examples; delete both"
    ):
        cka_table(y, x, {}, POSITIONS)


@pytest.mark.parametrize("choices", (1, 4))
def test_cka_of_too_few_examples_is_refused(tmp_path, choices):
    y = activations(tmp_path / "y.h5", np.ones((1, 3 * choices, 5)), [0, 1, 0], choices)
    with pytest.raises(StrataError, match=r"needs at least 4 examples, .*y.h5 has 3\."):
        cka_table(y, y, {}, POSITIONS)
