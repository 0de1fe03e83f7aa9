"""Flow fields of systems whose answers are known, and of a tiny model."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import contraction
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation import (
    flow_field,
)


def test_the_field_of_a_contraction_points_to_the_origin():
    result = flow_field([contraction(0.5)], n_texts=3, n=3, n_sites=2).sel(system="model")
    # From x to x/4: the displacement is -3/4 of the position, up to a constant of the plane
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


def test_the_field_of_a_model_is_finite_and_drawn():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(5))
    pair = td.perturbation.systems(model, recording, n_twins=1)
    fields = flow_field(pair, n_texts=2, n=2)
    assert [drawing.figure() for drawing in fields.td.drawings]
    moved = fields["displacement"].sel(system="untrained")
    assert np.isfinite(moved).all()


def test_bad_input():
    with pytest.raises(InputError, match="n_sites=9"):
        flow_field([contraction(0.5)], n_texts=2, n_sites=9)
