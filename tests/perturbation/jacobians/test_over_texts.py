"""Jacobians over many texts of known systems, and their random controls."""

import numpy as np
import pytest
import scipy.linalg

from known import system
from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.nulls.flow_maps import random_updates
from transformer_dynamics.perturbation import (
    jacobians,
    lyapunov_exponents,
    step_jacobians,
)
from transformer_dynamics.perturbation.jacobians.normality import (
    symmetric_energy,
)
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]])


ROTATIONS = scipy.linalg.block_diag(ROTATION, ROTATION)


def test_random_updates_keep_size_and_trace_and_nothing_else():
    given = np.eye(50) * 1.3 + np.triu(RNG.standard_normal((3, 50, 50)))
    drawn = random_updates(given, seed=1)
    np.testing.assert_allclose(
        np.linalg.norm(drawn - np.eye(50), axis=(1, 2)),
        np.linalg.norm(given - np.eye(50), axis=(1, 2)),
    )
    np.testing.assert_allclose(np.trace(drawn, axis1=1, axis2=2), np.trace(given, axis1=1, axis2=2))
    assert abs(np.corrcoef(drawn.ravel(), given.ravel())[0, 1]) < 0.5
    assert np.array_equal(drawn, random_updates(given, seed=1))
    assert not np.array_equal(drawn, random_updates(given, seed=2))


def test_steps_of_a_linear_flow_are_its_matrices():
    matrices = RNG.standard_normal((5, 4, 4))
    np.testing.assert_allclose(step_jacobians(LinearFlowMap(matrices)), matrices)


def test_exponents_are_those_of_the_model_and_one_twin():
    names = ["model", "untrained", "untrained 1"]
    systems = [system(np.eye(4) + 0.3 * RNG.standard_normal((5, 4, 4)), name) for name in names]
    result = jacobians(systems, n_texts=3)
    exponents = result["lyapunov_exponent"]
    assert exponents.sel(system=["model", "untrained"]).notnull().all()
    assert exponents.sel(system="untrained 1").isnull().all()
    # What claims compare is there for every twin.
    for name in ("effective_rank", "traceless_symmetric_energy"):
        assert result[name].notnull().all()


def test_jacobians_of_known_systems():
    matrices = np.eye(4) + 0.3 * RNG.standard_normal((5, 4, 4))
    result = jacobians([system(matrices)], n_texts=3)
    names = ["model", "random_updates", "spectrum_matched_updates"]
    assert result["system"].values.tolist() == names
    model = result.sel(system="model").isel(sample=1)
    np.testing.assert_allclose(
        model["symmetric_energy"].sel(reading="update"), symmetric_energy(matrices - np.eye(4))
    )
    np.testing.assert_allclose(model["lyapunov_exponent"], lyapunov_exponents(matrices))
    traceless = matrices - np.eye(4)
    traceless -= np.trace(traceless, axis1=1, axis2=2)[:, None, None] / 4 * np.eye(4)
    np.testing.assert_allclose(model["traceless_symmetric_energy"], symmetric_energy(traceless))
    sizes = result["norm"].sel(reading="update")
    np.testing.assert_allclose(sizes.sel(system="model"), sizes.sel(system="random_updates"))
    drawn = result.sel(system="spectrum_matched_updates")["traceless_symmetric_energy"]
    assert not np.allclose(drawn, model["traceless_symmetric_energy"], atol=0.05)


def test_alignment_between_layers_is_beyond_spectrum_matched_updates():
    # Every layer shrinks the same 12 of 16 directions: together they leave 4.
    matrices = np.stack([np.diag([1.0] * 4 + [0.3] * 12)] * 5)
    last = jacobians([system(matrices)], n_texts=4)["effective_rank"].isel(step=-1)
    assert float(last.sel(system="model").mean()) == pytest.approx(4, rel=0.1)
    assert float(last.sel(system="spectrum_matched_updates").min()) > 6


def test_steps_without_a_traceless_update_are_nan_with_one_warning():
    with pytest.warns(
        UndefinedWarning, match="9 of 18 steps .* multiples of the identity"
    ) as caught:
        result = jacobians([system(np.stack([0.5 * np.eye(4), ROTATIONS]))], n_texts=3)
    assert len(caught) == 1
    energy = result["traceless_symmetric_energy"]
    np.testing.assert_array_equal(np.isnan(energy.sel(system="model"))[0], [True, False])
