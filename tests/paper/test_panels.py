"""The panels: known answers on synthetic recordings, and every panel of a tiny model."""

import numpy as np
import pytest
import xarray as xr

import looks
import stored
import tiny
import transformer_dynamics as td
from known import contraction
from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained
from transformer_dynamics.paper import Condition, paper_conditions
from transformer_dynamics.paper import figure_4 as fourth
from transformer_dynamics.paper.figure_1 import panel_1c, panel_1d, panel_1e, panel_1f, panel_1h
from transformer_dynamics.paper.figure_2 import panel_2a, panel_2b
from transformer_dynamics.paper.figure_3 import panel_3a
from transformer_dynamics.paper.figure_4 import panel_4a, panel_4b, panel_4c, panel_4d
from transformer_dynamics.paper.teleport import HORIZON, PROMPT, teleport_prompt
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import PANELS
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

FIGURES = {"1": "BCDEFGH", "2": "AB", "3": "ABCD", "4": "ABCD"}


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


def test_every_panel_of_the_paper_is_there():
    assert list(PANELS.all()) == [
        *(f"paper.{figure}{panel}" for figure, panels in FIGURES.items() for panel in panels),
        "paper.table",
    ]


def test_conditions_are_the_model_and_its_controls_and_all_with_weights_have_the_prompt(conditions):
    assert [each.name for each in conditions] == [
        "model",
        "shuffled_tokens",
        "untrained",
        "random_walk",
    ]
    assert [each.flow is not None for each in conditions] == [True, True, True, False]
    ids = tiny.tokenizer()(PROMPT)["input_ids"]
    clean = td.record(tiny.model(), [ids]).values[0]
    np.testing.assert_allclose(conditions[0].flow.clean, clean, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
@pytest.mark.parametrize("name", list(PANELS.all()))
def test_every_panel_is_stamped_storable_and_drawable(name, conditions, tmp_path):
    few = {"n_shuffles": 5, "n_draws": 3} if name == "paper.2B" else {}
    result = PANELS.get(name).function(conditions, **few)
    assert result.attrs["measure"] == name
    assert PANELS.get(name).reports
    for variable in result.data_vars.values():
        assert "units" in variable.attrs or variable.dtype.kind in "biO", variable.name
    stored.comes_back(result, tmp_path)
    assert result.td.drawings
    for drawing in result.td.drawings:
        looks.complete(drawing)
    if name not in ("paper.4D", "paper.table"):
        names = [each.name for each in conditions]
        assert result["condition"].values.tolist() == names


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


def test_1e_and_1f_of_a_line_and_a_walk(walk):
    line = model_alone(synthetic.line(n_samples=20, speed=2.5))
    speed = panel_1f(line).sel(condition="model")
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(speed[f"speed{end}"], 2.5)
    cosine = panel_1e(walk).sel(condition="model")
    steps = np.arange(1, 32)
    assert (cosine["cosine_low"] < cosine["cosine"]).all()
    np.testing.assert_allclose(cosine["cosine"], np.sqrt(steps / (steps + 1)), atol=0.02)


def test_1h_of_a_walk_has_the_information_of_its_correlation(walk):
    found = panel_1h(walk).sel(condition="model")
    exact = 0.5 * np.log(np.arange(1, 32) + 1)
    # Ranks of a finite sample bound the estimate; here by little in the first steps.
    np.testing.assert_allclose(found["copula"].values[:10], exact[:10], atol=0.03)
    # The kernel estimate smooths; it loses more the more there is.
    np.testing.assert_allclose(found["kde"].values[:3], exact[:3], atol=0.12)


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


def test_3a_has_the_widths_of_the_paper():
    recording = Recording.from_array(np.random.default_rng(0).standard_normal((9, 4, 576)))
    widths = panel_3a(model_alone(recording))["width"].values
    half = [576, 307, 164, 87, 46, 25, 13, 7, 4]
    assert widths.tolist() == [*half, 2, *half[::-1]]


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
    axes = fourth.pca(recording, n_components=2)
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


def test_random_walk_is_one_of_the_conditions_without_a_model():
    recording = synthetic.random_walk(n_samples=5, n_sites=6, n_units=4)
    names = [each.name for each in paper_conditions(recording)]
    assert names == ["model", "random_walk"]
    assert isinstance(panel_1f(paper_conditions(recording)), xr.Dataset)
