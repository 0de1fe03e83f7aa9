"""Flows whose every answer is known."""

import numpy as np
import pytest

from transformer_dynamics.errors import InputError
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

STATES = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]])


def test_a_zero_update_keeps_every_distance():
    flow = LinearFlowMap.zero_update(5, 3)
    carried = flow.advance(STATES, start="0.state", stop="4.state")
    assert carried.shape == (2, 5, 3)
    np.testing.assert_array_equal(carried, np.repeat(STATES[:, None], 5, axis=1))


def test_a_contraction_halves_at_each_step():
    flow = LinearFlowMap.contraction(6, 3, 0.5)
    carried = flow.advance(STATES, start="1.state", stop="5.state")
    distance = np.linalg.norm(carried - flow.clean[1:], axis=2)
    np.testing.assert_allclose(distance / distance[:, :1], [0.5 ** np.arange(5)] * 2, rtol=1e-12)


def test_a_rotation_keeps_the_norm_and_turns_by_its_angle():
    flow = LinearFlowMap.rotation(4, np.pi / 2, first=[1.0, 0.0])
    np.testing.assert_allclose(flow.clean, [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-15)
    np.testing.assert_allclose(flow.jacobian("0.state", "1.state"), [[0, -1], [1, 0]], atol=1e-15)


def test_a_residual_stack_of_known_weights():
    weights = np.random.default_rng(0).standard_normal((4, 3, 3))
    flow = LinearFlowMap.residual(weights)
    expected = np.linalg.multi_dot([np.eye(3) + each for each in weights[3:0:-1]])
    jacobian = flow.jacobian("1.state", "4.state")
    np.testing.assert_allclose(jacobian, expected, rtol=1e-12)
    np.testing.assert_allclose(flow.jvp(STATES, "1.state", "4.state"), STATES @ expected.T)
    np.testing.assert_allclose(flow.vjp(STATES, "1.state", "4.state"), STATES @ expected)
    moved = flow.advance(flow.clean[1] + STATES, start="1.state", stop="4.state")[:, -1]
    np.testing.assert_allclose(moved - flow.clean[4], STATES @ expected.T)


def test_states_of_several_starts_follow_the_algebra():
    matrices = np.random.default_rng(1).standard_normal((3, 3, 3))
    flow = LinearFlowMap(matrices, np.ones((3, 3)))
    given = {"2.state": STATES, "0.state": STATES[:1], "3.state": STATES}
    found = flow.advance_many(given, "3.state")
    assert [each.shape for each in found.values()] == [(2, 2, 3), (1, 4, 3), (2, 1, 3)]
    np.testing.assert_allclose(found["2.state"][:, -1], STATES @ matrices[2].T + 1)
    expected = STATES[:1]
    for matrix in matrices:
        expected = expected @ matrix.T + 1
    np.testing.assert_allclose(found["0.state"][:, -1], expected)
    given = {"0.state": STATES, "2.state": STATES}
    kept = flow.advance_many(given, "3.state", keep=["1.state", "3.state"])
    assert {start: each.shape[1] for start, each in kept.items()} == {"0.state": 2, "2.state": 1}
    np.testing.assert_array_equal(kept["2.state"][:, 0], found["2.state"][:, -1])


def test_linearized_steps_of_known_weights():
    shear, diagonal = np.array([[2.0, 5.0], [0.0, 3.0]]), np.diag([2.0, 7.0])
    flow = LinearFlowMap([shear, np.eye(2), diagonal], [[1.0, 0.0]] * 3)
    steps = [("0.state", "1.state"), ("2.state", "3.state")]
    ends, pull_back = flow.linearize_steps(steps, [[1.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(ends, [[8, 3], [5, 21]])
    np.testing.assert_allclose(pull_back(np.array([[0.0, 1.0], [1.0, 1.0]])), [[0, 3], [2, 7]])


@pytest.mark.parametrize(
    ("steps", "n_states"),
    [
        ([("0.state", "2.state"), ("1.state", "3.state")], 2),
        ([("2.state", "3.state"), ("0.state", "1.state")], 2),
        ([("0.state", "1.state")], 2),
    ],
)
def test_steps_that_overlap_or_lack_a_state_are_refused(steps, n_states):
    flow = LinearFlowMap(np.stack([np.eye(2)] * 3))
    with pytest.raises(InputError, match="no step begins before the previous one ends"):
        flow.linearize_steps(steps, np.ones((n_states, 2)))
    with pytest.raises(InputError, match="ends behind its start"):
        flow.linearize_steps([("1.state", "1.state")], np.ones((1, 2)))


def test_a_start_without_a_stop_is_refused():
    flow = LinearFlowMap.contraction(4, 3, 0.5)
    with pytest.raises(InputError, match=r"no stop for \['1.state'\]"):
        flow.jvp_many({"1.state": STATES}, {"0.state": "2.state"})


def test_a_jacobian_is_labeled_with_outputs_in_rows():
    flow = LinearFlowMap([np.array([[2.0, 5.0], [0.0, 3.0]])], name="shear")
    jacobian = flow.jacobian("0.state", "1.state")
    assert jacobian.dims == ("output_unit", "input_unit")
    assert float(jacobian.sel(output_unit=0, input_unit=1)) == 5
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(jacobian)), [2, 3])
    ends = [jacobian.attrs[name] for name in ("start", "stop", "flow")]
    assert ends == ["0.state", "1.state", "shear"]


def test_offsets_move_the_state_and_not_the_jacobian():
    matrices = np.stack([2.0 * np.eye(2)] * 2)
    flow = LinearFlowMap(matrices, [[1.0, 0.0], [0.0, 1.0]], first=[0.0, 0.0])
    np.testing.assert_array_equal(flow.clean, [[0, 0], [1, 0], [2, 1]])
    np.testing.assert_array_equal(flow.jacobian("0.state", "2.state"), 4 * np.eye(2))


def test_only_the_sites_asked_for_are_returned_in_order_of_depth():
    flow = LinearFlowMap.contraction(4, 3, 0.5)
    kept = flow.advance(STATES, start="0.state", stop="3.state", keep=["3.state", "1.state"])
    whole = flow.advance(STATES, start="0.state", stop="3.state")
    np.testing.assert_array_equal(kept, whole[:, [1, 3]])


def test_nothing_given_is_changed():
    given = STATES.copy()
    flow = LinearFlowMap.zero_update(3, 3)
    flow.advance(given, start="0.state", stop="0.state")[:] = 7
    flow.jvp(given, "0.state", "0.state")[:] = 7
    np.testing.assert_array_equal(given, STATES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearFlowMap(np.eye(3)), "matrices of shape"),
        (lambda: LinearFlowMap(np.ones((2, 3, 3)), np.ones((1, 3))), "offsets of shape"),
        (lambda: LinearFlowMap.zero_update(3, 3, first=[1.0]), "first state"),
        (
            lambda: LinearFlowMap.zero_update(3, 3).log_probabilities(STATES, "0.state"),
            "has no tokens",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
