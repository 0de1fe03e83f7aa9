"""Perturbed states followed over depth: known answers on linear systems."""

import numpy as np
import pytest

from known import N_UNITS
from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation import track_states
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

AXES = PrincipalAxes(np.zeros(N_UNITS), np.eye(N_UNITS)[:2], np.ones(2), 2.0)


STATES = np.array([[1.0, 2.0, 0.0, 5.0], [0.0, -3.0, 1.0, 1.0]])


def test_zero_update_recovers_nothing_and_yet_falls_relative_to_a_growing_norm():
    grown = LinearFlowMap(np.stack([3.0 * np.eye(N_UNITS)] * 4))
    found = track_states(zero_update(grown), STATES, "1.state", axes=AXES, tokens=False)
    np.testing.assert_allclose(found["recovery_ratio"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["plane_recovery_ratio"], 1.0, rtol=1e-12)
    expected = np.repeat([3.0 ** -np.arange(4)], 2, axis=0)
    np.testing.assert_allclose(found["relative_recovery"], expected, rtol=1e-12)


def test_a_contraction_recovers_by_half_at_each_step():
    flow = LinearFlowMap.contraction(6, N_UNITS, 0.5)
    found = track_states(flow, STATES, "2.state", axes=AXES, tokens=False)
    expected = np.repeat([0.5 ** np.arange(4)], 2, axis=0)
    for name in ("recovery_ratio", "plane_recovery_ratio"):
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)
    np.testing.assert_allclose(found["relative_recovery"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["distance"][:, 0], np.linalg.norm(STATES - 0.25, axis=1))


def test_what_leaves_the_plane_is_seen_in_all_dimensions_only():
    # The first unit is moved into the third, which lies outside the plane.
    matrix = np.eye(N_UNITS)
    matrix[[0, 2]] = matrix[[2, 0]]
    flow = LinearFlowMap([matrix])
    states = flow.clean[0] + [[2.0, 1.0, 0.0, 0.0]]
    found = track_states(flow, states, "0.state", axes=AXES, tokens=False).isel(state=0, site=-1)
    assert float(found["recovery_ratio"]) == pytest.approx(1.0)
    assert float(found["plane_recovery_ratio"]) == pytest.approx(1 / np.sqrt(5))


def test_a_state_put_where_it_stands_has_no_ratio_and_says_so():
    flow = LinearFlowMap.contraction(3, N_UNITS, 0.5)
    with pytest.warns(UndefinedWarning, match=r"3 of 3 values of recovery_ratio.*equals the clean"):
        found = track_states(flow, flow.clean[:1], "0.state", axes=AXES, tokens=False)
    assert np.isnan(found["recovery_ratio"]).all()
    assert (found["distance"] == 0).all()
