"""The boundary between early and late layers, on maps made to have one, two and no blocks."""

import numpy as np
import pytest

from strata.analysis.blocks import boundary as boundary_of
from strata.analysis.blocks import contrasts
from strata.study.settings import Sampling


def boundary(values, resamples=1000):
    return boundary_of(values, Sampling(resamples, 0.95))


def symmetric(values, noise=0.0, seed=0):
    values = values + noise * np.random.default_rng(seed).standard_normal(values.shape)
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1.0)
    return values


def two_blocks(layers=12, end=7, noise=0.02):
    late = np.arange(layers) >= end
    return symmetric(np.where(late[:, None] == late[None, :], 0.9, 0.2), noise)


def gradient(layers=12, noise=0.0):
    """Neighbours are alike, and less so the farther apart: no blocks."""
    apart = np.abs(np.subtract.outer(np.arange(layers), np.arange(layers)))
    return symmetric(np.exp(-apart / 4), noise)


@pytest.mark.parametrize("end", [2, 5, 7, 10])
def test_two_blocks_are_found_where_they_are(end):
    found = boundary(two_blocks(end=end))
    assert found.depth == end and found.blocks and found.p < 0.01
    assert found.strength == pytest.approx(0.7, abs=0.05)


def test_two_blocks_on_top_of_a_gradient():
    values = 0.5 * two_blocks(noise=0) + 0.5 * gradient()
    found = boundary(symmetric(values, 0.02))
    assert found.depth == 7 and found.blocks


def test_one_block_is_no_boundary():
    hits = [
        boundary(symmetric(np.full((12, 12), 0.8), 0.05, seed), 200).blocks for seed in range(20)
    ]
    assert sum(hits) <= 3  # at 95 % confidence one in twenty is expected


def test_a_gradient_has_contrast_but_no_blocks():
    clean = boundary(gradient())
    assert clean.strength > 0.2 and not clean.blocks and clean.p == 1
    hits = [boundary(symmetric(gradient(), 0.05, seed), 200).blocks for seed in range(20)]
    assert sum(hits) <= 3


def test_contrast_by_hand():
    values = np.array([[1, 0.8, 0.1], [0.8, 1, 0.3], [0.1, 0.3, 1]])
    # After depth 2: within (1,2) = 0.8, across (1,3), (2,3) = 0.2 in the mean.
    assert contrasts(values) == pytest.approx([0.3 - 0.45, 0.8 - 0.2])
    assert boundary(values).depth == 2


def test_undefined_depths_are_left_out():
    values = two_blocks()
    values[0, :] = values[:, 0] = np.nan
    assert boundary(values).depth == 7


@pytest.mark.parametrize("layers", [1, 2])
def test_too_few_layers_have_no_boundary(layers):
    assert boundary(np.eye(layers)) is None
    assert boundary(np.full((4, 4), np.nan)) is None


def test_the_diagonal_counts_for_nothing():
    values = two_blocks()
    other = values.copy()
    np.fill_diagonal(other, -5)
    assert boundary(values) == boundary(other)
