"""Panels 1E and 1F of a line and a walk."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.paper import Condition
from transformer_dynamics.paper.panels.kinematics import panel_1e, panel_1f


def model_alone(recording):
    return [Condition("model", recording)]


@pytest.fixture(scope="module")
def walk():
    return model_alone(synthetic.random_walk(n_samples=400, n_sites=32, n_units=48))


def test_1e_and_1f_of_a_line_and_a_walk(walk):
    line = model_alone(synthetic.line(n_samples=20, speed=2.5))
    speed = panel_1f(line).sel(condition="model")
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(speed[f"speed{end}"], 2.5)
    cosine = panel_1e(walk).sel(condition="model")
    steps = np.arange(1, 32)
    assert (cosine["cosine_low"] < cosine["cosine"]).all()
    np.testing.assert_allclose(cosine["cosine"], np.sqrt(steps / (steps + 1)), atol=0.02)
