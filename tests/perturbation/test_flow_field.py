"""Flow fields, basins and slow points of systems whose answers are known, and of a tiny model."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import N_UNITS, contraction, system
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.perturbation import (
    basin,
    basin_profile,
    find_slow_points,
    flow_field,
    slow_points,
)
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


def test_the_field_of_a_contraction_points_to_the_origin():
    result = flow_field([contraction(0.5)], n_texts=3, n=3, n_sites=2).sel(system="model")
    # From x to x/4: the displacement is -3/4 of the place, the plane's own center apart.
    moved, places = result["displacement"].values, result["point_score"].values
    for site in range(len(moved)):
        expected = -0.75 * (places[site] - places[site][0])
        np.testing.assert_allclose(moved[site] - moved[site][0], expected, atol=1e-9)
    assert result["site"].values.tolist() == ["0.state", "1.state", "2.state", "3.state"]


def test_a_field_is_drawn_with_its_depth_as_a_slider():
    (drawing,) = flow_field([contraction(0.5)], n_texts=2, n=2).td.drawings
    figure = drawing.figure()
    assert [step.label for step in figure.layout.sliders[0].steps] == list(drawing.labels)
    assert sum(bool(trace.visible) for trace in figure.data) == 1
    assert "2.state" in drawing.plot().get_title()


def test_everything_is_inwards_in_a_contraction_and_nothing_in_an_expansion():
    aims = RNG.standard_normal((8, N_UNITS))
    for factor, share in ((0.5, 1.0), (1.0, 0.0), (2.0, 0.0)):
        flow = LinearFlowMap.contraction(4, N_UNITS, factor)
        found = basin_profile(flow, "0.state", "2.state", directions=aims, radii=[0.1, 1.0, 10.0])
        np.testing.assert_array_equal(found, share)


def test_half_of_a_saddle_is_inwards():
    flow = LinearFlowMap([np.diag([0.5, 1.5])])
    aims = RNG.standard_normal((4000, 2))
    found = basin_profile(flow, "0.state", "1.state", directions=aims, radii=[1.0])
    assert found[0] == pytest.approx(0.5, abs=0.03)


def test_a_basin_that_nobody_leaves_has_no_width():
    with pytest.warns(UndefinedWarning, match="does not cross one half"):
        result = basin([contraction(0.5)], n_texts=2, n_directions=4, radii=[0.1, 1.0])
    assert np.isnan(result["width"]).all()
    assert (result["inward_share"].sel(system="model") == 1).all()
    assert (result["inward_share"].sel(system="zero_update") == 0).all()
    assert [drawing.figure() for drawing in result.td.drawings]


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
    fields = flow_field(pair, n_texts=2, n=2)
    assert [drawing.figure() for drawing in [*points.td.drawings, *fields.td.drawings]]
    moved = fields["displacement"].sel(system="untrained")
    assert np.isfinite(moved).all()


def test_bad_input():
    with pytest.raises(InputError, match="n_sites=9"):
        flow_field([contraction(0.5)], n_texts=2, n_sites=9)
    flow = system(np.stack([np.eye(2)] * 6)).flow(0)
    with pytest.raises(InputError, match="one at least"):
        find_slow_points(flow, "0.state", "1.state", np.zeros(2), max_iterations=0)
