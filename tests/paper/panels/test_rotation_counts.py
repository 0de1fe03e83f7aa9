"""Panels 2A and 2B: walks and sines."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.paper import Condition
from transformer_dynamics.paper.panels.portraits import panel_2a
from transformer_dynamics.paper.panels.rotation_counts import panel_2b


def model_alone(recording):
    return [Condition("model", recording)]


@pytest.fixture(scope="module")
def walk():
    return model_alone(synthetic.random_walk(n_samples=400, n_sites=32, n_units=48))


def test_2_walks_turn_as_walks_do_and_permuted_points_either_way():
    recording = synthetic.random_walk(n_samples=1, n_sites=64, n_units=600)
    found = panel_2b(model_alone(recording), n_shuffles=50, n_draws=5).sel(condition="model")
    assert float(found["count"].mean()) == pytest.approx(-0.1765 * 62, abs=0.3)
    assert float(found["plain_walk"]) == pytest.approx(-0.1765 * 62)
    permuted = found.sel(null="permuted_points")
    assert float(permuted["null_mean"]) == pytest.approx(0, abs=0.1)
    assert float(permuted["null_magnitude"]) > 2
    # Flipped signs leave a walk a walk.
    flipped = float(found["null_mean"].sel(null="sign_flipped_increments"))
    assert flipped == pytest.approx(float(found["count"].mean()), abs=0.4)


def test_2_portraits_of_sines_turn_by_their_cycles():
    found = panel_2a(model_alone(synthetic.rotation(n_sites=64, turns=3.0))).sel(condition="model")
    np.testing.assert_allclose(found["portrait_count"], -3, rtol=0.1)
