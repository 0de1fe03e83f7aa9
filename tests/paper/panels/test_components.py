"""Panels 4A to 4C: a plane, and the two denominators."""

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.paper import Condition
from transformer_dynamics.paper.panels.component_variance import panel_4c
from transformer_dynamics.paper.panels.components import panel_4a, panel_4b
from transformer_dynamics.recording.recording import Recording


def model_alone(recording):
    return [Condition("model", recording)]


def test_4_a_plane_is_held_by_two_components_whatever_the_final_site_does():
    generator = np.random.default_rng(0)
    plane = generator.standard_normal((40, 6, 2)) * [3.0, 1.0] @ np.eye(2, 8)
    final = 100 * generator.standard_normal((40, 1, 1)) * np.eye(8)[7]
    sites = [f"{layer}.{kind}" for layer in range(3) for kind in ("pre_attn", "pre_mlp")]
    recording = Recording.from_array(
        np.concatenate([plane, final], axis=1), sites=[*sites, "final"]
    )
    alone = model_alone(recording)
    paths = panel_4a(alone).sel(condition="model")
    assert float(paths["explained"].sum()) == pytest.approx(1)
    assert paths.sizes["site"] == 6
    assert float(paths["angle"][0]) == pytest.approx(90, abs=1)
    np.testing.assert_allclose(panel_4b(alone)["cumulative"].values[0, 1:], 1)
    shares = panel_4c(alone).sel(condition="model", count=2)
    for name in ("about_global_mean", "about_site_mean"):
        np.testing.assert_allclose(shares[name], 1)


def test_4c_has_the_two_denominators_of_the_pooled_components():
    recording = synthetic.random_walk(n_samples=60, n_sites=9, n_units=16)
    found = panel_4c(model_alone(recording)).sel(condition="model", count=2)
    expected = pca(recording, n_components=2)
    for name in ("global", "site"):
        np.testing.assert_allclose(
            found[f"about_{name}_mean"], expected[f"explained_about_{name}_mean"], rtol=1e-4
        )
