"""Perturbed states: each kind keeps what its definition says."""

import numpy as np
import pytest

from known import N_UNITS
from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.states.displacement import displaced, grid_scores

AXES = PrincipalAxes(np.zeros(N_UNITS), np.eye(N_UNITS)[:2], np.ones(2), 2.0)


def test_displacements_keep_what_they_say():
    generator = np.random.default_rng(0)
    clean, others = generator.standard_normal(N_UNITS), generator.standard_normal((9, N_UNITS))
    grid = grid_scores(AXES.project(others), 3)
    perturbed = {
        kind: displaced(kind, clean, grid, AXES, others, generator)
        for kind in ("grid", "shift", "random", "towards")
    }
    np.testing.assert_array_equal(perturbed["grid"][:, 2:], 0.0)  # the part off the plane is erased
    np.testing.assert_allclose(perturbed["shift"][:, 2:], np.tile(clean[2:], (9, 1)))
    np.testing.assert_allclose(AXES.project(perturbed["shift"]), grid)
    sizes = np.linalg.norm(perturbed["shift"] - clean, axis=1)
    for kind in ("random", "towards"):
        np.testing.assert_allclose(np.linalg.norm(perturbed[kind] - clean, axis=1), sizes)
    aims = (perturbed["towards"] - clean) / sizes[:, None]
    cosines = aims @ ((others - clean) / np.linalg.norm(others - clean, axis=1)[:, None]).T
    np.testing.assert_allclose(cosines.max(axis=1), 1.0)


def test_nowhere_to_go_towards_is_said():
    clean = np.ones(N_UNITS)
    with pytest.raises(InputError, match="all equal the clean one"):
        displaced("towards", clean, np.ones((4, 2)) * 3, AXES, np.ones((5, N_UNITS)), None)
