"""CKA against published numbers, the papers' formulas written out, and what must not change it."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from strata.analysis import cka as similarity
from strata.analysis.centred import MIN_FLOAT32_EXAMPLES
from strata.analysis.cka import alignment, cka, cka_matrix

ESTIMATORS = pytest.mark.parametrize("debiased", (False, True))


def google_example():
    """The pair of Google's representation_similarity demo."""
    np.random.seed(1337)
    x = np.random.randn(100, 10)
    return x, np.random.randn(100, 10) + x


def related(depths=3, n=40, features=8, seed=0, shift=0.0):
    """Two stacks [depths, n, features] that share a part, of different width."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(depths, n, features))
    wider = rng.normal(size=(depths + 1, n, 2 * features))
    wider[:depths, :, :features] += shared
    return shared + shift, wider + shift


def naive_biased(x, y):
    """tr(K H L H), normalised; H = I - 11'/n (Phang et al. 2021, appendix A)."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(a, b):
        return np.trace(a @ a.T @ h @ b @ b.T @ h)

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def naive_debiased(x, y):
    """The unbiased HSIC of Song et al. 2012, equation 5, normalised in the same way."""
    n = len(x)
    one = np.ones(n)

    def hsic(a, b):
        k, l = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(l, 0)
        total = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ l) + total - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


@pytest.fixture(params=["gram", "feature"])
def space(request, monkeypatch):
    """Forces the products of one space."""
    monkeypatch.setattr(similarity, "gram_is_cheaper", lambda *_: request.param == "gram")
    return request.param


def test_the_published_numbers(space):
    x, y = google_example()
    assert cka(x, y) == pytest.approx(0.5576132566117585, abs=1e-10)
    assert cka(x, y, debiased=True) == pytest.approx(0.5134564895055261, abs=1e-10)


@ESTIMATORS
@pytest.mark.parametrize("n", (4, 7, 40))
def test_every_pair_of_depths_is_the_formula_written_out(n, debiased, space):
    y, x = related(n=n, seed=n)
    naive = naive_debiased if debiased else naive_biased
    expected = [[naive(a, b) for b in x] for a in y]
    np.testing.assert_allclose(cka_matrix(y, x, debiased), expected, rtol=1e-9, atol=1e-12)


@ESTIMATORS
@pytest.mark.parametrize("n", (5, 700))  # one Gram tile, and more
def test_a_stack_with_itself_is_the_same_as_with_a_copy(n, debiased, space):
    _, y = related(n=n)
    both, copied = alignment(y, y), alignment(y, y.copy())
    own, other = (a.debiased if debiased else a.biased for a in (both, copied))
    np.testing.assert_allclose(own, other, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(own, own.T, rtol=1e-10, atol=1e-12)


@ESTIMATORS
def test_of_a_representation_with_itself_it_is_1(debiased, space):
    y, _ = related()
    np.testing.assert_allclose(np.diag(cka_matrix(y, y, debiased)), 1, rtol=1e-12)


@ESTIMATORS
@pytest.mark.parametrize("scale", (1e-3, 1.0, 1e3))
def test_rotation_scale_and_shift_change_nothing(scale, debiased, space):
    y, x = related()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    moved = scale * (y @ rotation) + 5
    np.testing.assert_allclose(
        cka_matrix(moved, x, debiased), cka_matrix(y, x, debiased), rtol=1e-9, atol=1e-12
    )


@ESTIMATORS
def test_the_order_of_examples_changes_nothing_if_it_is_the_same_in_both(debiased, space):
    y, x = related()
    order = np.random.default_rng(2).permutation(y.shape[1])
    expected = cka_matrix(y, x, debiased)
    np.testing.assert_allclose(cka_matrix(y[:, order], x[:, order], debiased), expected, rtol=1e-9)
    assert np.abs(cka_matrix(y[:, order], x, debiased) - expected).max() > 0.1


@ESTIMATORS
def test_y_comes_first(debiased):
    y, x = related()
    both = alignment(y, x)
    matrix = both.debiased if debiased else both.biased
    assert matrix.shape == (3, 4)
    assert matrix[2, 1] == pytest.approx(cka(y[2], x[1], debiased))
    assert matrix[1, 1] > matrix[1, 2]  # the shared part is at the same depth


def test_memory_changes_nothing(space):
    """Little memory means many passes over many blocks, and the same numbers."""
    y, x = related(depths=4, n=700, features=12)
    for pair in ((y, x), (y, y)):
        large, small = alignment(*pair), alignment(*pair, memory_mb=0.02)
        np.testing.assert_allclose(small.biased, large.biased, rtol=1e-10)
        np.testing.assert_allclose(small.debiased, large.debiased, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "shift"),
    [("float32", 0), ("float32", 10), ("float32", 1000), ("float16", 0), ("float16", 10)],
)
def test_memory_maps_of_lesser_precision(dtype, shift, tmp_path, space):
    """Products are in float32, sums in float64: at most 1e-6 is lost."""
    y, x = related(n=MIN_FLOAT32_EXAMPLES + 100, features=48)
    mapped = []
    for name, values in (("y", y), ("x", x)):
        (values + shift).astype(dtype).tofile(tmp_path / name)
        mapped.append(np.memmap(tmp_path / name, dtype, "r", shape=values.shape))
    exact = [m.astype(np.float64) for m in mapped]
    for pair in ((0, 1), (0, 0)):
        found = alignment(*(mapped[i] for i in pair))
        truth = alignment(*(exact[i] for i in pair))
        np.testing.assert_allclose(found.biased, truth.biased, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.debiased, truth.debiased, rtol=0, atol=1e-6)
        assert (found.biased != truth.biased).any()  # else it was not float32
    if (dtype, shift) == ("float32", 10):
        np.testing.assert_allclose(alignment(*mapped).biased, alignment(y, x).biased, atol=1e-6)


@pytest.mark.parametrize("constant", (0.0, 3.0, 1234.5678))
def test_without_variance_it_is_nan_and_only_there(constant, space):
    y, x = (values.astype(np.float32) for values in related())
    y[1] = constant
    for matrix in (alignment(y, x).biased, alignment(y, x).debiased):
        assert np.isnan(matrix[1]).all()
        assert np.isfinite(matrix[[0, 2]]).all()
    for matrix in (alignment(x, y).biased, alignment(x, y).debiased):
        assert np.isnan(matrix[:, 1]).all()


def test_rounding_of_equal_rows_is_not_variance(space):
    """A constant vector as batches of different shapes compute it: equal up to the last bits."""
    y, x = (values.astype(np.float32) for values in related(n=64))
    rng = np.random.default_rng(3)
    row = rng.normal(scale=50, size=8)
    y[1] = row * (1 + rng.uniform(-1, 1, size=(64, 8)) * np.finfo(np.float32).eps)
    assert len(np.unique(y[1], axis=0)) > 1
    assert np.isnan(alignment(y, x).biased[1]).all()


def test_a_small_variance_on_a_large_mean_is_kept(space):
    """CLS vectors: their means are much larger than their variance, on which alone CKA depends."""
    y, x = related(n=64)
    shifted = (y + 1000).astype(np.float32)
    found = alignment(shifted, x)
    np.testing.assert_allclose(found.biased, alignment(y, x).biased, atol=1e-3)


def test_the_bias_of_the_papers_estimator():
    """Independent Gaussians of RTE's validation size: about 0.74, and nothing once debiased."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 277, 768))
    assert cka(x, y) == pytest.approx(0.74, abs=0.01)
    assert cka(x, y, debiased=True) == pytest.approx(0, abs=0.02)


def test_the_cheaper_space_is_chosen():
    few, many = (12, 277, 768), (12, 40_000, 768)
    assert similarity.gram_is_cheaper(few, few)
    assert not similarity.gram_is_cheaper(many, many)
    assert not similarity.gram_is_cheaper((1, 100, 10), (1, 100, 10))


@pytest.mark.parametrize(
    ("y", "x", "problem"),
    [
        ((3, 10), (3, 10, 2), r"y has shape \(3, 10\)"),
        ((3, 10, 2), (10, 2), r"x has shape \(10, 2\)"),
        ((3, 10, 2), (3, 11, 2), "y has 10 examples, x has 11"),
        ((3, 3, 2), (3, 3, 2), "3 examples are too few"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(y, x, problem):
    with pytest.raises(ValueError, match=problem):
        alignment(np.ones(y), np.ones(x))


@pytest.mark.parametrize("same", (False, True))
def test_memory_stays_within_its_bound(same, tmp_path, space):
    """Float64 copies of the data would take two or four times the bound."""
    memory_mb, shape = 8, (6, 2800, 128)
    rng = np.random.default_rng(5)
    mapped = []
    for name in "yx":
        rng.normal(size=shape).astype(np.float32).tofile(tmp_path / name)
        mapped.append(np.memmap(tmp_path / name, np.float32, "r", shape=shape))
    y, x = mapped[0], mapped[0] if same else mapped[1]
    assert y.size * 8 / 2**20 * (1 if same else 2) > 1.9 * memory_mb
    tracemalloc.start()
    try:
        alignment(y, x, memory_mb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 2**20 < memory_mb


def test_data_that_fits_into_memory_is_not_copied():
    values = np.random.default_rng(6).normal(size=(4, 1200, 2048)).astype(np.float32)
    tracemalloc.start()
    try:
        with threadpool_limits(1):
            alignment(values, values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < values.nbytes / 2


def test_the_number_of_threads_changes_no_number(space):
    y, x = (values.astype(np.float32) for values in related(n=1100, features=12))
    found = []
    for threads in (1, 3):
        with threadpool_limits(threads):
            found.append(alignment(y, x).debiased)
    np.testing.assert_array_equal(*found)


CHOICES, EXAMPLES = 4, 2985  # CosmosQA's validation examples


def rows_of_choices(rng, prompt, own):
    """[1, rows, 768]: each example's prompt, the same for its choices, and each row's own part."""
    prompts = np.repeat(rng.standard_normal((EXAMPLES, 768), np.float32), CHOICES, axis=0)
    return (prompt * prompts + own * rng.standard_normal(prompts.shape, np.float32))[None]


@pytest.mark.parametrize("share", (0.5, 0.8, 0.95))
def test_unrelated_layers_of_multiple_choice_are_unrelated(share):
    """Whatever share of the variance comes from the prompt that an example's rows share."""
    rng = np.random.default_rng(7)
    y, x = (rows_of_choices(rng, share**0.5, (1 - share) ** 0.5) for _ in range(2))
    assert abs(alignment(y, x, choices=CHOICES).debiased.item()) < 0.01
    # Compared as if rows were independent examples, they would seem alike.
    assert alignment(y[:, :8000], x[:, :8000]).debiased.item() > 0.03


def test_layers_that_share_which_choice_is_right_are_alike():
    """Neither averaged vectors nor the right choices' would show what fine-tuning is about."""
    rng = np.random.default_rng(8)
    gold = np.arange(EXAMPLES) * CHOICES + rng.integers(CHOICES, size=EXAMPLES)
    layers = []
    for feature in (0, 1):
        layer = rows_of_choices(rng, 0.2, 0.3)
        layer[0, gold, feature] += 20
        layers.append(layer)
    y, x = layers
    assert alignment(y, x, choices=CHOICES).debiased.item() > 0.9
    averaged = (own.reshape(1, EXAMPLES, CHOICES, 768).mean(2) for own in layers)
    assert alignment(*averaged).debiased.item() == pytest.approx(0, abs=0.01)
    assert alignment(y[:, gold], x[:, gold]).debiased.item() == pytest.approx(0, abs=0.01)


def test_rows_that_are_no_whole_examples_are_refused():
    with pytest.raises(ValueError, match="10 rows do not make whole examples of 4 choices"):
        alignment(np.ones((2, 10, 3)), np.ones((2, 10, 3)), choices=4)


def test_a_table_of_cka_needs_no_torch(tmp_path):
    """Workers that compare states start fast and small: torch is never imported."""
    code = f"""
import sys
import h5py, json
import numpy as np
from strata.analysis import activations, cka, cka_tables
from strata.study.settings import CkaSettings
path = {str(tmp_path / "state.h5")!r}
with h5py.File(path, "w") as file:
    about = {{"poolings": json.dumps(["raw"]), "choices": 1}}
    file.attrs.update({{"schema_version": activations.SCHEMA_VERSION, **about}})
    file["cosine"] = file["angle"] = np.zeros((2, 60), np.float32)
    file["raw"] = np.random.default_rng(0).normal(size=(2, 60, 4))
    file["depth_raw"] = [1, 2]
    file["label"] = file["example_id"] = np.arange(60)
with activations.Activations.open(path) as y:
    table = cka_tables.cka_table(y, y, {{"model": "tiny"}}, CkaSettings("positions", 5, 64))
assert len(table) == 8
print("torch" in sys.modules, "transformers" in sys.modules)
"""
    scripts = Path(similarity.__file__).parents[2]
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=scripts)
    assert printed.split() == ["False", "False"]
