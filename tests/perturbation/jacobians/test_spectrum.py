"""Spectra of known matrices."""

import numpy as np
import pytest

from transformer_dynamics.perturbation import (
    spectrum,
)
from transformer_dynamics.perturbation.jacobians.normality import (
    henrici,
    random_complex_share,
    symmetric_energy,
)

RNG = np.random.default_rng(0)


ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]])


def eig(matrix):
    return np.linalg.eigvals(matrix)


def test_a_gaussian_matrix():
    n = 400
    matrix = RNG.standard_normal((n, n))
    assert henrici(matrix, eig(matrix)) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert symmetric_energy(matrix) == pytest.approx(0.5 * (1 + 1 / n), abs=0.01)
    found = spectrum(matrix[np.newaxis])
    share = float(found["complex_share"].sel(reading="step")[0])
    assert share == pytest.approx(random_complex_share(n), abs=0.03)
    assert random_complex_share(n) == pytest.approx(1 - np.sqrt(2 / (np.pi * n)))


def test_the_spectrum_of_a_rotation_by_hand():
    found = spectrum(ROTATION[np.newaxis])
    assert found["eigenvalue_real"].values[0] == pytest.approx([0.6, 0.6])
    assert sorted(found["eigenvalue_imaginary"].values[0]) == pytest.approx([-0.8, 0.8])
    step, update = (found.sel(reading=reading).isel(step=0) for reading in ("step", "update"))
    assert float(step["spectral_radius"]) == pytest.approx(1)
    assert float(step["numerical_abscissa"]) == pytest.approx(0.6)
    assert float(step["complex_share"]) == 1
    assert float(step["imaginary_weight"]) == pytest.approx(0.8)
    assert float(update["norm"]) == pytest.approx(np.linalg.norm(ROTATION - np.eye(2)))
    assert float(update["spectral_radius"]) == pytest.approx(np.hypot(0.4, 0.8))
    assert float(update["numerical_abscissa"]) == pytest.approx(-0.4)


def test_a_zero_update_is_undefined_and_not_zero():
    found = spectrum(np.eye(3)[np.newaxis]).sel(reading="update")
    assert np.isnan(found["symmetric_energy"]).all()
    assert np.isnan(found["henrici"]).all()
