"""Panel 4D: a contraction, a translation, and a missing flow map."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from known import contraction
from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained
from transformer_dynamics.paper import Condition, paper_conditions
from transformer_dynamics.paper.panels.replacement import panel_4d
from transformer_dynamics.paper.teleport import HORIZON, teleport_prompt
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap


def model_alone(recording):
    return [Condition("model", recording)]


@pytest.fixture(scope="module")
def walk():
    return model_alone(synthetic.random_walk(n_samples=400, n_sites=32, n_units=48))


@pytest.fixture(scope="module")
def conditions():
    model = tiny.model()
    recording = td.record(model, tiny.words(tiny.token_lists(14)))
    controls = {
        "untrained": untrained(recording, model=model),
        "shuffled_tokens": shuffled_tokens(recording, model=model),
    }
    return paper_conditions(recording, controls, model=model)


def test_4d_replaces_the_state_and_a_contraction_brings_it_back():
    system = contraction(0.5)
    recording = system.recording
    flow = system.flow(0)
    conditions = [Condition("model", recording, flow)]
    found = panel_4d(conditions)
    model = found.sel(condition="model", range="fixed")
    assert model["point_score"].min() == -15
    assert model["point_score"].max() == 15
    for start in found["start"].values:
        place = flow.sites.index(start)
        error = model["squared_error"].sel(start=start).values[place:]
        np.testing.assert_allclose(error / error[0], 0.25 ** np.arange(error.size), rtol=1e-6)
    ignoring = found["squared_error"].sel(condition="zero_update", start=flow.sites[0])
    np.testing.assert_allclose(ignoring, np.repeat(ignoring[:, :1], len(flow.sites), axis=1))
    own = found.sel(condition="model", range="own", start=flow.sites[0])["point_score"]
    axes = pca(recording, n_components=2)
    scores = (recording.values[:, 0] - axes["mean"].values) @ axes["loading"].values.T
    np.testing.assert_allclose(own.max("point"), scores.max(axis=0))


def test_4d_arrows_are_displacements_over_twelve_sublayers():
    # Every step moves the state by one along the first unit.
    n_sites, moved = 20, np.array([1.0, 0.0, 0.0])
    recording = Recording.from_array(
        np.random.default_rng(0).standard_normal((30, n_sites, 3)) * [3.0, 2.0, 0.1]
    )
    flow = LinearFlowMap(np.stack([np.eye(3)] * (n_sites - 1)), np.tile(moved, (n_sites - 1, 1)))
    found = teleport_prompt(flow, recording, pca(recording, n_components=2))
    loading = pca(recording, n_components=2)["loading"].values
    for start, stop in zip(found["start"].values, found["stop"].values, strict=True):
        n_steps = min(HORIZON, n_sites - 1 - flow.sites.index(start))
        assert flow.sites.index(stop) - flow.sites.index(start) == n_steps
        arrows = found["displacement"].sel(start=start, range="fixed")
        np.testing.assert_allclose(arrows, np.tile(n_steps * loading @ moved, (100, 1)), atol=1e-9)


def test_4d_without_a_flow_map_says_what_it_needs(walk):
    with pytest.raises(InputError, match="causal model with a tokenizer"):
        panel_4d(walk)
