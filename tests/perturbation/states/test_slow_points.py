"""Slow points of linear maps, and of a tiny model."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import system
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation import (
    find_slow_points,
    slow_points,
)
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


def test_the_slow_point_of_a_linear_map_is_its_fixed_point():
    matrix, offset = 0.4 * RNG.standard_normal((3, 3)), np.array([1.0, -2.0, 0.5])
    flow = LinearFlowMap([matrix], [offset], first=RNG.standard_normal(3))
    begun = RNG.standard_normal((2, 3))
    found = find_slow_points(flow, "0.state", "1.state", begun)
    expected = np.linalg.solve(np.eye(3) - matrix, offset)
    np.testing.assert_allclose(found["state"], [expected] * 2, rtol=1e-5)
    assert (found["speed"] < 1e-5 * found["initial_speed"]).all()
    assert found["converged"].all()
    np.testing.assert_allclose(found["moved"], np.linalg.norm(expected - begun, axis=1), rtol=1e-5)


def test_a_translation_has_no_fixed_point_and_none_is_claimed():
    flow = LinearFlowMap([np.eye(2)], [[3.0, 4.0]])
    found = find_slow_points(flow, "0.state", "1.state", np.zeros((1, 2)))
    assert float(found["speed"][0]) == pytest.approx(5.0)


def test_on_a_model_speed_falls_and_figures_are_drawn():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(5))
    pair = td.perturbation.systems(model, recording, n_twins=1)
    points = slow_points(pair, n_texts=2, max_iterations=5)
    assert (points["speed_ratio"] <= 1).all()
    assert [drawing.figure() for drawing in points.td.drawings]


def test_bad_input():
    flow = system(np.stack([np.eye(2)] * 6)).flow(0)
    with pytest.raises(InputError, match="one at least"):
        find_slow_points(flow, "0.state", "1.state", np.zeros(2), max_iterations=0)
