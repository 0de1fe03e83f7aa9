"""Panels 1C, 1D and 1H: closed forms of a walk, and pairs within and across layers."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.paper import Condition
from transformer_dynamics.paper.panels.correlation_histogram import panel_1d
from transformer_dynamics.paper.panels.information import panel_1h
from transformer_dynamics.paper.panels.unit_continuity import panel_1c
from transformer_dynamics.recording.recording import Recording


def model_alone(recording):
    return [Condition("model", recording)]


@pytest.fixture(scope="module")
def walk():
    return model_alone(synthetic.random_walk(n_samples=400, n_sites=32, n_units=48))


def test_1c_of_a_walk_follows_its_closed_form(walk):
    found = panel_1c(walk)["mean"].sel(condition="model")
    steps = np.arange(1, 32)
    np.testing.assert_allclose(found, np.sqrt(steps / (steps + 1)), atol=0.02)


def test_1d_tells_steps_within_a_layer_from_those_across():
    # Attention keeps every unit, the MLP draws it anew.
    generator = np.random.default_rng(0)
    states = np.repeat(generator.standard_normal((300, 3, 20)), 2, axis=1)
    sites = [f"{layer}.{kind}" for layer in range(3) for kind in ("pre_attn", "pre_mlp")]
    found = panel_1d(model_alone(Recording.from_array(states, sites=sites))).sel(condition="model")
    means = dict(zip(found["pairs"].values.tolist(), found["mean"].values, strict=True))
    assert means["adjacent, within a layer"] == pytest.approx(1)
    assert means["adjacent, across layers"] == pytest.approx(0, abs=0.02)
    assert means["adjacent"] == pytest.approx(3 / 5, abs=0.02)
    assert means["all"] == pytest.approx(3 / 15, abs=0.02)
    np.testing.assert_allclose(found["share"].sum("bin"), 1)
    assert found["share"].sel(pairs="adjacent, within a layer").values[-1] == 1


def test_1h_of_a_walk_has_the_information_of_its_correlation(walk):
    found = panel_1h(walk).sel(condition="model")
    exact = 0.5 * np.log(np.arange(1, 32) + 1)
    # Ranks of a finite sample bound the estimate; here by little in the first steps.
    np.testing.assert_allclose(found["copula"].values[:10], exact[:10], atol=0.03)
    # The kernel estimate smooths; it loses more the more there is.
    np.testing.assert_allclose(found["kde"].values[:3], exact[:3], atol=0.12)
