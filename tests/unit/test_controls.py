"""What the similarity of depths consists of: by other formulas, and where the answer is known."""

import json

import h5py
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors

from strata.analysis import control_tables
from strata.analysis.activations import SCHEMA_VERSION, Activations
from strata.analysis.cka import cka
from strata.analysis.control_tables import controls_table
from strata.analysis.controls import combined, depth_parts, label_correlation, pair_parts, step_part
from strata.analysis.representations import Representation, half_weights
from strata.runtime.errors import StrataError

CKAS = ("cka", "cka_without_pc1", "cka_within_classes", "cka_without_largest")
PAIRED = (*CKAS, "neighbours", "procrustes")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def represented(vectors, classes=None, halves=2):
    classes = np.arange(len(vectors)) % 2 if classes is None else classes
    return Representation(vectors, classes, half_weights(len(vectors), halves))


def compared(y, x, classes=None, halves=2):
    """measure -> what is measured of two representations."""
    parts = pair_parts(represented(y, classes, halves), represented(x, classes, halves))
    return {name: combined([part]) for name, part in parts.items()}


def values(y, x, classes=None):
    return {name: measured.value for name, measured in compared(y, x, classes).items()}


def alone(vectors, label, is_class=True):
    parts = depth_parts(represented(vectors), label, is_class)
    return {name: combined([part]).value for name, part in parts.items()}


def song(x, y):
    """Unbiased HSIC (Song et al. 2012, equation 5), written out."""
    n, one = len(x), np.ones(len(x))
    k, l = (a @ a.T * (1 - np.eye(n)) for a in (x, y))
    total = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ l) + total - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def without_first(x):
    left, singular, right = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return (left[:, 1:] * singular[1:]) @ right[1:]


# ---------------------------------------------------------------- by other formulas


@pytest.fixture(params=[(60, 12), (40, 90)], ids=["tall", "wide"])
def pair(request):
    """Two representations of different widths that share a part, with a much larger mean."""
    n, features = request.param
    y, x = noise(n, features), noise(n, 2 * features, seed=1)
    x[:, :features] += y
    return y + 20, x - 30


def test_ckas_are_those_of_the_formulas_written_out(pair):
    y, x = pair
    classes = np.repeat([0, 1, 2], [len(y) // 2, len(y) - len(y) // 2 - 3, 3])  # three are too few
    found = compared(y, x, classes)
    assert found["cka"].value == pytest.approx(cka(y, x, debiased=True), abs=1e-10)
    bare = cka(without_first(y), without_first(x), debiased=True)
    assert found["cka_without_pc1"].value == pytest.approx(bare, abs=1e-10)

    def within(a, b):
        of_classes = [classes == c for c in (0, 1)]
        return sum(of.sum() * song(a[of] - a.mean(0), b[of] - b.mean(0)) for of in of_classes)

    expected = within(y, x) / np.sqrt(within(y, y) * within(x, x))
    assert found["cka_within_classes"].value == pytest.approx(expected, abs=1e-10)
    assert found["cka_within_classes"].n == len(y) - 3


def test_the_largest_are_those_of_either_depth(pair):
    y, x = pair
    far = set()
    for z in (y, x):
        norms = np.linalg.norm(z - z.mean(0), axis=1)
        far |= set(np.argsort(norms)[-int(np.ceil(0.05 * len(z))) :])
    kept = [row for row in range(len(y)) if row not in far]
    found = compared(y, x)["cka_without_largest"]
    assert found.value == pytest.approx(cka(y[kept], x[kept], debiased=True), abs=1e-10)
    assert found.n == len(kept)


def test_neighbours_are_sklearns(pair):
    def nearest(z):
        return NearestNeighbors(n_neighbors=10, metric="cosine").fit(z).kneighbors()[1]

    shared = [len(set(a) & set(b)) / 10 for a, b in zip(*map(nearest, pair), strict=True)]
    found = compared(*pair)["neighbours"]
    assert found.value == pytest.approx(np.mean(shared), abs=1e-12)
    assert found.chance == pytest.approx(10 / (len(pair[0]) - 1))


def test_procrustes_is_what_the_best_rotation_makes_alike(pair):
    x = pair[1]
    centred = [z - z.mean(0) for z in (x, x + 2 * noise(*x.shape, seed=5))]
    a, b = (z / np.linalg.norm(z) for z in centred)
    rotation, _ = orthogonal_procrustes(a, b)
    distance = np.linalg.norm(a @ rotation - b) ** 2
    assert values(*centred)["procrustes"] == pytest.approx(1 - distance / 2, abs=1e-10)


def test_components_are_sklearns(pair):
    y, classes = pair[0], np.arange(len(pair[0])) % 3
    found = alone(y, classes)
    components = PCA(random_state=0).fit(y)
    share = components.explained_variance_ratio_
    assert found["pc1_share"] == pytest.approx(share[0], abs=1e-10)
    covariance = np.cov(y.T)
    ratio = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    assert found["participation_ratio"] == pytest.approx(ratio, rel=1e-10)
    scores = components.transform(y)[:, 0]
    dummies = np.eye(3)[classes]
    explained = LinearRegression().fit(dummies, scores).score(dummies, scores)
    assert found["pc1_label"] == pytest.approx(np.sqrt(explained), abs=1e-9)
    target = noise(len(y), seed=3) + 0.1 * scores
    by_number = alone(y, target, is_class=False)["pc1_label"]
    assert by_number == pytest.approx(abs(pearsonr(scores, target).statistic), abs=1e-10)


def test_chance_of_a_labels_correlation():
    """Its square is that of unrelated scores, on average."""
    classes = np.arange(40) % 4
    squares = [label_correlation(noise(40, seed=s), classes, True) ** 2 for s in range(400)]
    part = depth_parts(represented(noise(40, 5)), classes, True)["pc1_label"]
    assert part.chance**2 == pytest.approx(np.mean(squares), rel=0.1)


def test_a_step_is_relative_to_the_vector():
    before, move = noise(30, 8), noise(30, 8, seed=1)
    steps = [np.linalg.norm(m) / np.linalg.norm(b) for m, b in zip(move, before, strict=True)]
    part = step_part(represented(before), represented(before + move))
    assert combined([part]).value == pytest.approx(np.mean(steps))
    assert combined([step_part(represented(before), represented(3 * before))]).value == 2


# ---------------------------------------------------------------- where the answer is known


def label_only(n=1000, features=100, seed=0):
    """A layer that has only the label in common with another seed's layer, and the labels."""
    rng = np.random.default_rng(seed)
    labels, direction = np.arange(n) % 2, rng.normal(size=features)
    far = 10 * np.sqrt(features) * direction / np.linalg.norm(direction)
    return rng.normal(size=(n, features)) + labels[:, None] * far, labels


def test_layers_that_share_the_label_alone():
    """CKA of 0.99 and more between layers, though the second keeps nothing of the first."""
    y, labels = label_only(seed=0)
    x, _ = label_only(seed=1)
    found = values(y, x, labels)
    assert found["cka"] > 0.99 and found["cka_without_largest"] > 0.99
    assert abs(found["cka_within_classes"]) < 0.01 and abs(found["cka_without_pc1"]) < 0.01
    assert found["neighbours"] < 0.04
    of_one = alone(y, labels)
    assert of_one["pc1_label"] > 0.99 and of_one["pc1_share"] > 0.9
    assert of_one["participation_ratio"] < 1.2


def test_layers_that_share_few_examples_far_away():
    y, x = noise(500, 50), noise(500, 50, seed=1)
    y[:20, 0] += 100
    x[:20, 3] -= 100
    found = values(y, x)
    assert found["cka"] > 0.99 and found["cka_within_classes"] > 0.99
    assert abs(found["cka_without_largest"]) < 0.02


def test_layers_that_share_one_example_far_away():
    """Debiased CKA leaves the diagonal out, and the biased one does not."""
    y, x = noise(500, 50), noise(500, 50, seed=1)
    y[0, 0] += 1000
    x[0, 3] -= 1000
    found = values(y, x)
    assert cka(y, x) > 0.99 and values(y, x)["procrustes"] > 0.9
    assert abs(found["cka_without_largest"]) < 0.02


def test_a_rotation_and_a_scale_change_nothing():
    y = noise(200, 30) * np.geomspace(5, 0.1, 30)
    rotation, _ = np.linalg.qr(noise(30, 30, seed=1))
    for name, value in values(y, 7 * y @ rotation).items():
        assert value == pytest.approx(1, abs=1e-9), name


def test_unrelated_layers_are_at_chance():
    for n, features in ((300, 60), (300, 600)):
        found = compared(noise(n, features), noise(n, features, seed=1))
        for name in CKAS:
            assert abs(found[name].value) < 0.02 and found[name].chance == 0, name
        for name in ("neighbours", "procrustes"):
            assert found[name].value == pytest.approx(found[name].chance, abs=0.01), name
    assert found["procrustes"].value > 0.7  # it says little with few examples


def test_class_means_are_not_taken_off():
    """The means are made of the same examples: what is left of unrelated layers looks alike."""
    classes, removed, within = np.arange(200) // 4, [], []
    for seed in range(20):
        y, x = noise(2, 200, 192, seed=seed)
        left = (z - np.repeat(z.reshape(50, 4, -1).mean(1), 4, 0) for z in (y, x))
        removed.append(cka(*left, debiased=True))
        within.append(values(y, x, classes)["cka_within_classes"])
    assert np.mean(removed) > 0.1 and abs(np.mean(within)) < 0.03


def test_standard_errors_are_the_spread_of_new_examples():
    """Within 0.8 to 2.1 of it, where half of the variance is shared, and the label besides."""
    found = {name: [] for name in CKAS}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels, shared = rng.integers(0, 2, 150), rng.normal(size=(150, 20))
        y, x = (shared + rng.normal(size=(150, 20)) for _ in range(2))
        y[:, 0], x[:, 1] = y[:, 0] + 6 * labels, x[:, 1] + 6 * labels
        for name, measured in compared(y, x, labels, halves=20).items():
            if name in CKAS:
                found[name].append((measured.value, measured.se))
    for name, pairs in found.items():
        drawn, errors = np.array(pairs).T
        assert 0.8 < errors.mean() / drawn.std(ddof=1) < 2.1, name


# ---------------------------------------------------------------- where nothing varies


def test_a_layer_without_variance_has_no_values():
    varied = noise(50, 10).astype(np.float32)
    constant = np.full((50, 10), 0.1, np.float32) * (1 + 1e-7 * noise(50, 10)).astype(np.float32)
    assert all(np.isnan(list(values(varied, constant).values())))
    assert all(np.isnan(list(values(constant, varied).values())))
    assert all(np.isnan(list(alone(constant, np.arange(50) % 2).values())))


def test_where_the_first_component_is_all_nothing_is_left_without_it():
    line = (noise(50, 1) * noise(1, 10, seed=1)).astype(np.float32)
    found = values(line, line)
    assert np.isnan(found["cka_without_pc1"]) and found["cka"] == pytest.approx(1)


def test_where_classes_are_points_nothing_is_left_within_them():
    labels = np.arange(60) % 3
    points = noise(3, 10)[labels].astype(np.float32)
    found = values(points, noise(60, 10, seed=1), labels)
    assert np.isnan(found["cka_within_classes"]) and not np.isnan(found["cka"])


def test_one_label_for_all_goes_with_nothing():
    assert np.isnan(alone(noise(20, 4), np.zeros(20))["pc1_label"])


# ---------------------------------------------------------------- tables


@pytest.fixture
def stored(tmp_path):
    """Write [depths, rows, features] and labels, a row each, as an activation file, and open it."""

    def store(vectors, labels, choices=1, first=1):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file["raw"], file["label"] = vectors, labels
            file["depth_raw"] = np.arange(first, first + len(vectors))
            file["example_id"] = np.arange(len(labels)) // choices
            file["cosine"] = file["angle"] = np.zeros(vectors.shape[:2], np.float32)
            poolings = json.dumps(["raw"])
            file.attrs.update(
                {"schema_version": SCHEMA_VERSION, "choices": choices, "poolings": poolings}
            )
        return Activations.open(path)

    return store


def in_table(table, measure, depth, other=None):
    row = table[(table["measure"] == measure) & (table["depth"] == depth)]
    return row[row["other_depth"].isna() if other is None else row["other_depth"] == other]


def test_the_table_has_every_measure_of_every_depth_and_pair(stored):
    vectors, labels = noise(4, 30, 8).astype(np.float32), np.arange(30) % 2
    table = controls_table(stored(vectors, labels), {"state": "full-seed1"})
    assert list(table) == [
        "state", "pooling", "depth", "other_depth", "measure", "value", "se", "chance", "n",
        "n_examples",
    ]  # fmt: skip
    for measure in ("pc1_share", "participation_ratio", "pc1_label"):
        assert table[table["measure"] == measure]["depth"].tolist() == [1, 2, 3, 4]
    assert table[table["measure"] == "step"]["depth"].tolist() == [2, 3, 4]
    pairs = {(1, 2), (2, 3), (3, 4), (1, 4), (2, 4)}
    for measure in PAIRED:
        rows = table[table["measure"] == measure]
        assert set(zip(rows["depth"], rows["other_depth"], strict=True)) == pairs
        assert len(rows) == len(pairs)
    expected = values(vectors[1], vectors[3], labels)
    for measure in PAIRED:
        found = in_table(table, measure, 2, 4)
        assert found["value"].item() == pytest.approx(expected[measure], abs=1e-9)
        assert found["se"].notna().item() == (measure in CKAS)
    moved = np.linalg.norm(vectors[2] - vectors[1], axis=1) / np.linalg.norm(vectors[1], axis=1)
    assert in_table(table, "step", 3)["value"].item() == pytest.approx(moved.mean())


def test_of_many_examples_a_fixed_subset_is_measured(stored, monkeypatch):
    monkeypatch.setattr(control_tables, "MOST_EXAMPLES", 50)
    vectors, labels = noise(2, 90, 8), np.arange(90) % 2
    vectors[1] += vectors[0]
    table, again = (controls_table(stored(vectors, labels), {}) for _ in range(2))
    assert (table["n_examples"] == 50).all() and in_table(table, "cka", 1, 2)["n"].item() == 50
    assert table.equals(again)
    whole = values(*vectors)["cka"]
    assert 0 < abs(in_table(table, "cka", 1, 2)["value"].item() - whole) < 0.2
    vectors[:, :50] = 1  # not the first ones: files may be sorted
    table = controls_table(stored(vectors, labels), {})
    assert in_table(table, "pc1_share", 1)["value"].notna().item()


def test_too_few_examples_are_refused(stored):
    with pytest.raises(StrataError, match="has 3 examples, .* needs at least 4"):
        controls_table(stored(noise(2, 3, 8), np.arange(3)), {})


def test_a_number_as_label_has_two_classes(stored):
    """Its lower and its upper half, and layers that share only which half have CKA for no more."""
    target = np.sort(noise(600, seed=9))
    (y, _), (x, _) = label_only(600, seed=0), label_only(600, seed=1)
    order = np.argsort(np.arange(600) % 2, kind="stable")  # the far class comes last
    table = controls_table(stored(np.stack([y[order], x[order]]), target), {})
    assert in_table(table, "cka", 1, 2)["value"].item() > 0.98
    assert abs(in_table(table, "cka_within_classes", 1, 2)["value"].item()) < 0.02
    assert in_table(table, "pc1_label", 2)["value"].item() == pytest.approx(
        abs(pearsonr(np.arange(600) > 299, target).statistic), abs=0.01
    )


def choices(n, features, prompt, right, seed):
    """Rows of a layer: a share `prompt` of variance common to an example's four choices, the right
    one of which is moved by `right`."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1, features)) * np.sqrt(prompt)
    rows = common + rng.normal(size=(n, 4, features)) * np.sqrt(1 - prompt)
    direction = rng.normal(size=features) / np.sqrt(features)
    gold = np.arange(n) % 4
    rows[np.arange(n), gold] += right * np.sqrt(features) * direction
    return rows.reshape(4 * n, features), np.repeat(gold, 4)


def test_choices_of_one_prompt_are_not_independent_rows(stored):
    (y, labels), (x, _) = (choices(500, 100, 0.9, 0, seed) for seed in (1, 2))
    assert cka(y, x, debiased=True) > 0.1  # as if rows were independent
    table = controls_table(stored(np.stack([y, x]), labels, choices=4), {})
    for measure in CKAS:
        assert abs(in_table(table, measure, 1, 2)["value"].item()) < 0.01, measure
    assert in_table(table, "cka", 1, 2)[["n", "n_examples"]].to_numpy().tolist() == [[2000, 500]]
    assert in_table(table, "procrustes", 1, 2)["chance"].item() == pytest.approx(
        in_table(table, "procrustes", 1, 2)["value"].item(), abs=0.01
    )


def test_positions_are_averaged_and_their_hsics_before_the_ratio(stored):
    y, labels = choices(40, 6, 0.5, 3, seed=1)
    x = y + noise(*y.shape, seed=2) * np.tile([1, 2, 3, 4], 40)[:, None]  # less and less alike
    table = controls_table(stored(np.stack([y, x]), labels, choices=4), {})
    of_y, of_x = ([z[p::4] for p in range(4)] for z in (y, x))

    def total(a, b):
        return sum(song(i - i.mean(0), j - j.mean(0)) for i, j in zip(a, b, strict=True))

    ratio = total(of_y, of_x) / np.sqrt(total(of_y, of_y) * total(of_x, of_x))
    assert in_table(table, "cka", 1, 2)["value"].item() == pytest.approx(ratio, abs=1e-10)
    share = np.mean([alone(z, np.arange(40) % 2)["pc1_share"] for z in of_x])
    assert in_table(table, "pc1_share", 2)["value"].item() == pytest.approx(share, abs=1e-10)
    moved = np.linalg.norm(x - y, axis=1) / np.linalg.norm(y, axis=1)
    assert in_table(table, "step", 2)["value"].item() == pytest.approx(moved.mean(), abs=1e-10)


def test_layers_that_share_the_right_choice_alone(stored):
    (y, labels), (x, _) = (choices(500, 100, 0.5, 10, seed) for seed in (1, 2))
    table = controls_table(stored(np.stack([y, x]), labels, choices=4), {})
    assert in_table(table, "cka", 1, 2)["value"].item() > 0.98
    assert abs(in_table(table, "cka_within_classes", 1, 2)["value"].item()) < 0.01
    assert in_table(table, "pc1_label", 1)["value"].item() > 0.99
