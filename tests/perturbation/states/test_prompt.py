"""Teleport of one prompt: as by hand, as the perturbation of many texts, and refused arguments."""

import numpy as np
import pytest
import xarray as xr

import looks
import stored
import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.principal_axes import PrincipalAxes
from transformer_dynamics.perturbation.states.displacement import grid_scores, plane_of
from transformer_dynamics.perturbation.states.prompt import teleport
from transformer_dynamics.perturbation.systems import systems
from transformer_dynamics.storage.attributes import attribute

TEXTS = tiny.token_lists(8)
START = "1.pre_mlp"


@pytest.fixture(scope="module")
def model():
    return tiny.model()


@pytest.fixture(scope="module")
def recording(model):
    return td.record(model, TEXTS)


def test_one_prompt_has_the_numbers_of_the_perturbation_of_many_texts(model, recording):
    many = td.perturbation.teleport(
        systems(model, recording, n_twins=1), n_texts=8, kinds=["grid"], starts=[START], n=4
    )
    one = teleport(model, TEXTS[3], at=START, plane=recording, n=4)
    assert set(one.data_vars) == set(many.data_vars)
    assert one["system"].values.tolist() == ["model", "zero_update"]
    for name in one.data_vars:
        if not name.startswith("example"):
            expected = many[name].sel(system=one["system"].values).isel(sample=[3])
            assert one[name].dims == expected.dims
            np.testing.assert_allclose(one[name], expected, rtol=1e-9)


def test_axes_give_the_grid_of_the_paper(model, recording):
    axes = plane_of(recording)
    result = teleport(model, TEXTS[0], at=[START, "2.pre_attn"], plane=axes, n=3)
    flow = model.flow_map(TEXTS[0])
    corners = np.array([[-15.0, -15.0], [15.0, 15.0]])
    states = grid_scores(corners, 3) @ axes.components + axes.mean
    distance = np.linalg.norm(flow.advance(states, START) - flow.clean[3:], axis=2)
    expected = np.exp(np.log(distance).mean(axis=0))
    found = result["distance"].sel(system="model", kind="grid", start=START).isel(sample=0)
    assert np.isnan(found[:3]).all()
    np.testing.assert_allclose(found[3:], expected, rtol=1e-9)
    assert result["start"].values.tolist() == [START, "2.pre_attn"]
    given = teleport(model, TEXTS[0], at=START, plane=recording, n=3, half_range=15.0)
    of_all = result["distance"].sel(start=[START])
    np.testing.assert_allclose(given["distance"], of_all, rtol=1e-6)


def test_the_result_says_how_it_was_made_is_storable_and_drawable(model, recording, tmp_path):
    result = teleport(model, "w1 w2 w3", at=START, plane=recording, n=2)
    assert result.attrs["prompt"] == "w1 w2 w3"
    assert attribute(result, "parameters") == {"at": START, "n": 2, "half_range": None}
    stored.comes_back(result, tmp_path)
    for drawing in result.td.drawings:
        looks.complete(drawing)
    assert result.td.plot().get_title()
    xr.testing.assert_identical(result, teleport(model, "w1 w2 w3", at=START, plane=recording, n=2))


WIDE = PrincipalAxes(np.zeros(5), np.eye(5)[:2], np.ones(2), 2.0)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("w1 w2", {"at": "7.nowhere"}, r"'7.nowhere'.*td.teleport\(model, prompt, at="),
        ("w1 w2", {"at": []}, "one or more sites"),
        ("", {}, "no tokens"),
        ([], {}, "no tokens"),
        ("w1 w2", {"plane": WIDE}, "in 5 units; the model's states have 16"),
        ("w1 w2", {"plane": "pca"}, "of type str"),
        ("w1 w2", {"half_range": -1.0}, "half_range=-1.0; it is positive"),
        ("w1 w2", {"n": 1}, "at least 2 points"),
    ],
)
def test_bad_input(model, recording, prompt, options, message):
    with pytest.raises(InputError, match=message):
        teleport(model, prompt, **{"at": START, "plane": recording, **options})


def test_a_recording_of_another_width_is_refused(model):
    other = td.Recording.from_array(
        np.random.default_rng(0).standard_normal((5, len(model.sites), 7)), sites=model.sites
    )
    with pytest.raises(InputError, match="in 7 units"):
        teleport(model, "w1 w2", at=START, plane=other)
