"""The linear probe, against scikit-learn fitted fold by fold, and with shuffled labels."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from strata.analysis.probe import Labelling, folds_of, out_of_fold, score


class Penalised:
    """The covariance of one class with the probe's penalty, as scikit-learn asks for it."""

    def __init__(self, rows=100):
        self.rows = rows

    def get_params(self, deep=True):
        return {"rows": self.rows}

    def fit(self, vectors):
        covariance = np.cov(vectors.T, bias=True)
        self.covariance_ = covariance + np.eye(len(covariance)) * len(covariance) / self.rows
        return self


def data(classes, n, d, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    vectors = rng.standard_normal((n, d)) * rng.uniform(0.1, 10, d) + 5
    return vectors + 0.4 * rng.standard_normal((classes, d))[codes] * 5, codes


@pytest.mark.parametrize(("classes", "n", "d"), [(2, 200, 10), (3, 300, 20), (5, 250, 12)])
def test_classes_are_those_of_linear_discriminant_analysis(classes, n, d):
    vectors, codes = data(classes, n, d)
    folds = folds_of(codes, 5)
    priors = np.full(classes, 1 / classes)
    peer = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=Penalised(n * 4 // 5), priors=priors
    )
    split = PredefinedSplit(folds)
    expected = cross_val_predict(make_pipeline(StandardScaler(), peer), vectors, codes, cv=split)
    given = Labelling(codes[None])
    found = out_of_fold(vectors, given, folds)
    assert (found[0] == expected).mean() == 1
    assert score(given, found, slice(None))[0] == balanced_accuracy_score(codes, expected)


@pytest.mark.parametrize("d", [12, 300])
def test_targets_are_those_of_ridge_regression(d):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((150, d)) * rng.uniform(0.1, 10, d) + 3
    target = vectors[:, :5].sum(1) + rng.standard_normal(150)
    codes = (target > np.median(target)).astype(int)
    folds = folds_of(codes, 5)
    peer = make_pipeline(StandardScaler(), Ridge(alpha=d))
    expected = cross_val_predict(peer, vectors, target, cv=PredefinedSplit(folds))
    given = Labelling(codes[None], target[None])
    found = out_of_fold(vectors, given, folds)
    np.testing.assert_allclose(found[0], expected, rtol=1e-8)
    assert score(given, found, slice(None))[0] == pytest.approx(pearsonr(expected, target)[0])


@pytest.mark.parametrize("d", [20, 260])
def test_labellings_that_are_solved_together_are_those_solved_alone(d):
    """d = 260: by the smaller side, of 160 rows."""
    vectors, codes = data(3, 200, d)
    rng = np.random.default_rng(1)
    several = np.stack([codes, rng.permutation(codes), rng.permutation(codes)])
    folds = folds_of(codes, 5)
    together = out_of_fold(vectors, Labelling(several), folds)
    for each, found in zip(several, together, strict=True):
        np.testing.assert_array_equal(out_of_fold(vectors, Labelling(each[None]), folds)[0], found)


def test_shuffled_labels_are_at_chance_and_true_ones_above():
    vectors, codes = data(2, 400, 30)
    rng = np.random.default_rng(0)
    several = np.stack([codes, *(rng.permutation(codes) for _ in range(20))])
    given = Labelling(several)
    found = score(given, out_of_fold(vectors, given, folds_of(codes, 5)), slice(None))
    assert found[0] > 0.9 and found[1:].mean() == pytest.approx(0.5, abs=0.03)


def test_rare_classes_count_as_much_as_common_ones():
    codes = np.array([0] * 90 + [1] * 10)
    given = Labelling(codes[None])
    assert score(given, np.zeros((1, 100), int), slice(None))[0] == 0.5
    vectors = np.random.default_rng(0).standard_normal((100, 5))
    vectors[:, 0] += 2 * codes
    found = out_of_fold(vectors, given, folds_of(codes, 5))[0]
    assert (found == 1).mean() > 0.15  # of ten in a hundred: not always the common one


def test_constant_features_and_constant_predictions():
    vectors, codes = data(2, 100, 5)
    folds = folds_of(codes, 5)
    wider = np.hstack([vectors, np.full((100, 1), 3.7)])
    given = Labelling(codes[None], codes[None].astype(float))
    assert np.isfinite(out_of_fold(wider, given, folds)).all()
    assert score(given, np.full((1, 100), 0.3), slice(None))[0] == 0


def test_every_fold_has_its_share_of_every_class():
    codes = np.array([0] * 50 + [1] * 25 + [2] * 10)
    folds = folds_of(codes, 5)
    for y, size in ((0, 10), (1, 5), (2, 2)):
        assert np.bincount(folds[codes == y]).tolist() == [size] * 5
