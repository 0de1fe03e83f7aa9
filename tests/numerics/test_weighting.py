"""Weighted means over samples: those of the matrix product, whatever samples share a weight."""

import numpy as np
import pytest

from transformer_dynamics.numerics.weighting import SampleWeights
from transformer_dynamics.stats.bootstrap import left_out_weights, text_weights, uniform_weights

VALUES = np.random.default_rng(0).standard_normal((12, 5))
GROUPS = {
    "each sample its own": np.arange(12),
    "in turn": np.arange(12) % 3,
    "of unequal size": np.array([0] * 7 + [1] * 4 + [2]),
    "one": np.zeros(12, dtype=int),
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_means_are_those_of_the_matrix_product(groups):
    weights = np.concatenate([uniform_weights(12), text_weights(groups, 20, seed=1)])
    means = SampleWeights(weights).means(VALUES)
    np.testing.assert_allclose(means, weights @ VALUES, atol=1e-14)
    plain = SampleWeights(uniform_weights(12)).means(VALUES)
    np.testing.assert_allclose(plain[0], VALUES.mean(axis=0), atol=1e-14)


def test_samples_of_a_group_are_added_first():
    assert SampleWeights(text_weights(GROUPS["in turn"], 20)).weights.shape == (20, 3)
    assert SampleWeights(text_weights(np.arange(12), 20)).weights.shape == (20, 12)


def test_a_draw_without_weights_is_undefined_and_no_other_one_is():
    weights = np.concatenate([uniform_weights(12), left_out_weights(GROUPS["one"])])
    means = SampleWeights(weights).means(VALUES)
    np.testing.assert_allclose(means[0], VALUES.mean(axis=0), atol=1e-14)
    assert np.isnan(means[1]).all()
