"""Decompositions without Python's lock are those of scipy, to the last bit."""

import numpy as np
import pytest
import scipy.linalg

from transformer_dynamics.numerics.linalg.lapack import schur, top_eigh, top_eigvalsh
from transformer_dynamics.numerics.parallel import map_in_threads

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 64, 200])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_schur_form_is_that_of_scipy(n, order):
    matrix = np.asarray(RNG.standard_normal((n, n)), order=order)
    before = matrix.copy()
    for found, expected in zip(schur(matrix), scipy.linalg.schur(matrix), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize(("n", "n_largest"), [(1, 1), (5, 2), (64, 64), (200, 3)])
def test_the_largest_eigenpairs_are_those_of_scipy(n, n_largest):
    states = RNG.standard_normal((n, n))
    product = states.T @ states
    subset = {"subset_by_index": [n - n_largest, n - 1]}
    expected = scipy.linalg.eigh(product, **subset)
    for found, one in zip(top_eigh(product, n_largest), expected, strict=True):
        np.testing.assert_array_equal(found, one)
    values = scipy.linalg.eigh(product, eigvals_only=True, **subset)
    np.testing.assert_array_equal(top_eigvalsh(product, n_largest), values)


def test_threads_do_not_change_each_other():
    matrices = RNG.standard_normal((24, 60, 60))
    for (triangle, _), matrix in zip(map_in_threads(schur, matrices), matrices, strict=True):
        np.testing.assert_array_equal(triangle, scipy.linalg.schur(matrix)[0])


@pytest.mark.parametrize("function", [schur, lambda matrix: top_eigh(matrix, 1)])
def test_what_has_no_decomposition_is_refused(function):
    for bad in (np.array([[np.nan, 0.0], [0.0, 1.0]]), np.array([[np.inf]])):
        with pytest.raises(ValueError, match="infs or NaNs"):
            function(bad)
    for bad in (np.ones((2, 3)), np.ones(3), np.empty((0, 0))):
        with pytest.raises(ValueError, match="it is square"):
            function(bad)
    with pytest.raises(ValueError, match="n_largest=3 for a matrix of 2 units"):
        top_eigh(np.eye(2), 3)
