"""Means in bootstrap draws, added up over pieces, against the weights of all samples."""

import numpy as np
import pytest

from transformer_dynamics.measures.massive.draws import Draws
from transformer_dynamics.stats.bootstrap import text_weights


@pytest.mark.parametrize("ends", [(90,), (1, 40, 90)])
def test_means_are_those_of_weights_over_defined_values(ends):
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 25, 90)
    values = rng.standard_normal((90, 4))
    values[rng.random((90, 4)) < 0.2] = np.nan
    values[:50, 0] = 1.5  # pieces with and without undefined values
    values[50:, 0] = 2.5
    pieces = [slice(start, stop) for start, stop in zip((0, *ends), ends, strict=False)]
    found = Draws(texts, 30, seed=3).means((rows, values[rows]) for rows in pieces)
    weights = np.concatenate([np.full((1, 90), 1 / 90), text_weights(texts, 30, seed=3)])
    defined = ~np.isnan(values)
    expected = (weights @ np.where(defined, values, 0)) / (weights @ defined)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_value_that_is_never_defined_has_no_mean():
    means = Draws(np.arange(3), 2, seed=0).means([(slice(0, 3), np.full((3, 1), np.nan))])
    assert np.isnan(means).all()
