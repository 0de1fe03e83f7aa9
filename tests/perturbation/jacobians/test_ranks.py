"""Ranks of known singular values and of products."""

import numpy as np
import pytest
import scipy.linalg

from transformer_dynamics.perturbation import (
    composed_ranks,
    effective_rank,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        ([1.0, 1.0, 1.0], (3, 3, 3)),
        ([5.0, 0.0, 0.0], (1, 1, 1)),
        ([2.0, 1.0], (np.exp(np.log(3) - 2 / 3 * np.log(2)), 25 / 17, 5 / 4)),
    ],
)
def test_ranks_of_known_singular_values(values, ranks):
    assert list(effective_rank(np.array(values)).values()) == pytest.approx(ranks)


def test_composed_ranks_equal_those_of_the_product():
    matrices = RNG.standard_normal((4, 6, 6))
    ranks, values = composed_ranks(matrices)
    product = np.linalg.multi_dot(matrices[::-1])
    expected = scipy.linalg.svdvals(product)
    np.testing.assert_allclose(values, expected / expected[0], rtol=1e-8)
    for name, rank in effective_rank(expected).items():
        assert ranks[name][-1] == pytest.approx(rank, rel=1e-8)
    between = np.linalg.multi_dot(matrices[2::-1])
    for name, rank in effective_rank(scipy.linalg.svdvals(between)).items():
        assert ranks[name][2] == pytest.approx(rank, rel=1e-8)
    assert ranks["effective_rank"][0] > ranks["effective_rank"][-1]
