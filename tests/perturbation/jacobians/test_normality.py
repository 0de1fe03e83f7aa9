"""Symmetry and normality of known matrices."""

import numpy as np
import pytest

from transformer_dynamics.perturbation.jacobians.normality import (
    henrici,
    schur_surrogate,
    symmetric_energy,
    traceless_symmetric_energy,
)
from transformer_dynamics.perturbation.jacobians.spectrum import spectrum

RNG = np.random.default_rng(0)


ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]])


def eig(matrix):
    return np.linalg.eigvals(matrix)


def commutator_norm(matrix):
    norms = spectrum(matrix[np.newaxis])["commutator_norm"].sel(reading="step")
    assert norms.item() == pytest.approx(
        np.linalg.norm(matrix @ matrix.T - matrix.T @ matrix) / np.linalg.norm(matrix) ** 2,
        abs=1e-12,
    )
    return norms.item()


@pytest.mark.parametrize(
    ("matrix", "departure"),
    [
        (np.diag([1.0, 5.0]), 0.0),
        (ROTATION, 0.0),
        (np.array([[2.0, 1.0], [1.0, 7.0]]), 0.0),
        (np.array([[1.0, 3.0], [0.0, 1.0]]), 3 / np.sqrt(11)),
    ],
)
def test_henrici_of_known_matrices(matrix, departure):
    # The double eigenvalue of a shear is found to the root of the precision only.
    assert henrici(matrix, eig(matrix)) == pytest.approx(departure, abs=1e-7)
    assert (commutator_norm(matrix) < 1e-12) == (departure == 0)


def test_symmetric_energy_of_a_rotation_and_of_a_symmetric_matrix():
    assert symmetric_energy(np.array([[0.0, 2.0], [-2.0, 0.0]])) == 0
    assert symmetric_energy(ROTATION) == pytest.approx(0.36)
    assert symmetric_energy(np.array([[1.0, 2.0], [2.0, 5.0]])) == 1


def test_traceless_symmetric_energy_of_known_matrices():
    shift = 5 * np.eye(2)
    assert traceless_symmetric_energy(shift + np.array([[0.0, 2.0], [-2.0, 0.0]])) == 0
    assert traceless_symmetric_energy(shift + np.diag([1.0, -1.0])) == pytest.approx(1)
    n = 300
    gaussian = RNG.standard_normal((n, n))
    for multiple in (0.0, 40.0):
        found = traceless_symmetric_energy(multiple * np.eye(n) + gaussian)
        assert found == pytest.approx(0.5 + 1 / (2 * n), abs=0.01)
    matrices = np.stack([np.zeros((3, 3)), 0.3 * np.eye(3), np.diag([1.0, 0.0, 0.0])])
    np.testing.assert_allclose(traceless_symmetric_energy(matrices), [np.nan, np.nan, 1])


def test_the_schur_surrogate_is_normal_with_the_same_eigenvalues():
    matrix = RNG.standard_normal((9, 9))
    surrogate = schur_surrogate(matrix)
    assert commutator_norm(surrogate) < 1e-12
    kinds = [np.sort_complex(np.linalg.eigvals(each)) for each in (matrix, surrogate)]
    np.testing.assert_allclose(kinds[0], kinds[1], atol=1e-10)
