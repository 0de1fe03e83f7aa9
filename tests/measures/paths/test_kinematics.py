import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import paired_cosine_distances

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.measures.paths.steps import cosine, norm, speed
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.plots.backend.depth import mean_with_band
from transformer_dynamics.plots.paths.kinematics import draw_kinematics
from transformer_dynamics.recording.recording import Recording

STATES = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(3, 6), st.just(3)),
    elements=st.floats(-10, 10, width=16),
)


def walk(n_samples, n_sites, n_units, seed=0):
    steps = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units))
    return steps.cumsum(axis=1).astype(np.float32)


def measured(values, **kwargs):
    return kinematics(Recording.from_array(np.asarray(values), **kwargs))


def test_uniform_motion_has_constant_speed_and_no_acceleration():
    velocity = np.array([3.0, 0.0, 4.0])
    line = (1 + np.arange(6))[np.newaxis, :, np.newaxis] * velocity
    result = measured(line)
    np.testing.assert_allclose(result["norm"], 5 * np.arange(1, 7)[np.newaxis])
    np.testing.assert_allclose(result["speed"], 5)
    np.testing.assert_allclose(result["relative_speed"], 1 / np.arange(1, 6)[np.newaxis])
    np.testing.assert_allclose(result["acceleration"], 0, atol=1e-14)
    np.testing.assert_allclose(result["second_difference"], 0, atol=1e-14)
    np.testing.assert_allclose(result["cosine"], 1)


def test_square_turns_without_accelerating():
    square = np.array([[[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]])
    result = measured(square)
    np.testing.assert_allclose(result["speed"], 2)
    np.testing.assert_allclose(result["acceleration"], 0, atol=1e-15)
    np.testing.assert_allclose(result["second_difference"], 2 * np.sqrt(2))
    np.testing.assert_allclose(result["cosine"], 0, atol=1e-15)


def test_ping_pong_through_the_origin_reverses():
    result = measured(np.array([[[2.0], [-2.0], [2.0]]]))
    np.testing.assert_allclose(result["cosine"], -1)
    np.testing.assert_allclose(result["relative_speed"], 2)
    np.testing.assert_allclose(result["second_difference"], 8)


def test_geometric_growth_accelerates_by_its_own_factor():
    growth = 2.0 ** np.arange(6)[np.newaxis, :, np.newaxis] * np.array([0.6, 0.8])
    result = measured(growth)
    np.testing.assert_allclose(result["speed"][0], 2.0 ** np.arange(5))
    np.testing.assert_allclose(result["acceleration"][0], 2.0 ** np.arange(4))
    np.testing.assert_allclose(result["relative_speed"], 1)


def test_random_walk_follows_its_closed_forms():
    values = walk(100, 41, 400)
    result = measured(values)
    states = np.arange(1, 41)
    expected = np.sqrt(states / (states + 1))
    np.testing.assert_allclose(result["cosine"].mean("sample"), expected, atol=0.005)
    np.testing.assert_allclose(result["speed"].mean(), 20, rtol=0.01)
    np.testing.assert_allclose(result["second_difference"].mean(), 20 * np.sqrt(2), rtol=0.01)
    assert abs(float(result["acceleration"].mean())) < 0.02


def test_agrees_with_independent_libraries():
    values = np.random.default_rng(1).standard_normal((7, 5, 11)).astype(np.float32)
    stream = values.astype(np.float64)
    result = measured(values)
    for sample, path in enumerate(stream):
        np.testing.assert_allclose(
            result["norm"][sample], cdist(path, np.zeros((1, 11)))[:, 0], rtol=1e-14
        )
        np.testing.assert_allclose(result["speed"][sample], np.diag(cdist(path, path), 1))
        np.testing.assert_allclose(
            result["cosine"][sample], 1 - paired_cosine_distances(path[:-1], path[1:]), atol=1e-14
        )
        steps = np.diff(path, axis=0)
        np.testing.assert_allclose(
            result["second_difference"][sample], np.diag(cdist(steps, steps), 1)
        )


def test_kernels_and_measure_agree():
    values = walk(5, 6, 8)
    result = measured(values)
    for kernel in (norm, speed, cosine):
        array = kernel(values)
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, result[kernel.__name__])


def test_squares_are_accumulated_in_float64():
    values = np.array([[[1e30, 0], [1e30, 3e30], [-1e30, 3e30]]], dtype=np.float32)
    np.testing.assert_allclose(speed(values), [[3e30, 2e30]], rtol=1e-6)
    np.testing.assert_allclose(cosine(values), [[10**-0.5, 0.8]], rtol=1e-6)


def test_any_memory_layout_gives_the_same():
    values = walk(6, 5, 4)
    for layout in (np.asfortranarray(values), values.transpose(1, 0, 2).copy().transpose(1, 0, 2)):
        np.testing.assert_array_equal(speed(layout), speed(values))
        np.testing.assert_array_equal(cosine(layout), cosine(values))


@given(STATES, st.floats(0.125, 8), st.integers(0, 2**16))
@settings(max_examples=60)
def test_rotation_scale_and_shift(values, scale, seed):
    rotation = ortho_group.rvs(3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        moved = measured(scale * values @ rotation)
        result = measured(values)
    for name in ("norm", "speed", "acceleration", "second_difference"):
        np.testing.assert_allclose(moved[name], scale * result[name], atol=1e-10)
    for name in ("cosine", "relative_speed"):
        np.testing.assert_allclose(moved[name], result[name], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(speed(values + 5.0), result["speed"], atol=1e-10)
    # The triangle inequality: the speed changes by no more than the velocity does.
    assert (np.abs(result["acceleration"]) <= result["second_difference"] + 1e-10).all()


@pytest.mark.parametrize(
    ("zero_site", "cosine_nan", "relative_nan"),
    [(0, [0], [0]), (1, [0, 1], [1]), (3, [2], [])],
)
def test_zero_states_are_undefined_with_one_warning(zero_site, cosine_nan, relative_nan):
    values = np.ones((2, 4, 3), dtype=np.float32)
    values[1, zero_site] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measured(values)
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.flatnonzero(np.isnan(result["cosine"][1])).tolist() == cosine_nan
    assert np.flatnonzero(np.isnan(result["relative_speed"][1])).tolist() == relative_nan
    assert np.isfinite(result["cosine"][0]).all()
    for name in ("norm", "speed", "acceleration", "second_difference"):
        assert np.isfinite(result[name]).all()
    assert f"{len(cosine_nan)} of 6 values of cosine" in str(caught[0].message)


def test_the_warning_points_at_the_caller():
    values = np.zeros((1, 3, 2))
    recording = Recording.from_array(values)
    for call in (lambda: cosine(values), lambda: kinematics(recording)):
        with pytest.warns(UndefinedWarning, match="length zero") as caught:
            call()
        assert len(caught) == 1
        assert caught[0].filename == __file__


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_states_that_are_not_finite_stay_where_they_are(bad):
    values = walk(3, 4, 5)
    values[1, 2, 0] = bad
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measured(values)
        drawings = draw_kinematics(result)
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.isfinite(result["cosine"][[0, 2]]).all()
    assert np.isnan(result["cosine"][1]).values.tolist() == [False, True, True]
    assert np.isfinite(drawings[2].series[0].y).all()


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (norm, (3, 4)),
        (norm, (3, 0, 4)),
        (speed, (3, 1, 4)),
        (speed, (4, 3)),
        (cosine, (3, 1, 4)),
        (cosine, (2, 3, 4, 5)),
    ],
)
def test_wrong_shapes_are_refused(kernel, shape):
    with pytest.raises(ValueError, match=r"\(sample, site, unit\) with at least"):
        kernel(np.ones(shape))


def test_one_site_is_refused():
    with pytest.raises(ValueError, match="at least 2 sites"):
        measured(np.ones((3, 1, 4)))


def test_two_sites_have_steps_but_no_turns():
    result = measured(walk(3, 2, 4))
    assert dict(result.sizes) == {"sample": 3, "site": 2, "step": 1, "turn": 0}
    assert len(draw_kinematics(result)) == 5


def test_the_recording_is_not_changed():
    values = walk(3, 4, 5)
    before = values.copy()
    measured(values)
    np.testing.assert_array_equal(values, before)


def test_coordinates_attrs_and_stamp():
    result = measured(walk(3, 5, 4), sites=transformer_labels(2))
    assert result["step"].values.tolist() == ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp"]
    assert result["step_kind"].values.tolist() == ["attention", "mlp"] * 2
    assert result["turn"].values.tolist() == ["0.pre_mlp", "1.pre_attn", "1.pre_mlp"]
    assert result["norm"].sel(site="final").shape == (3,)
    units = {name: result[name].attrs["units"] for name in result.data_vars}
    assert units == {
        "norm": "stream units",
        "speed": "stream units per step",
        "relative_speed": "1 per step",
        "acceleration": "stream units per step^2",
        "second_difference": "stream units per step^2",
        "cosine": "1",
    }
    for name in result.data_vars:
        assert result[name].attrs["pooling"].startswith("none")
        assert "neither normalized" in result[name].attrs["vectors"]
    assert result.attrs["measure"] == "paths.kinematics"


def test_drawings_tell_attention_from_mlp():
    values = walk(30, 5, 4)
    result = measured(values, sites=transformer_labels(2))
    lines = draw_kinematics(result)
    assert [drawing.y_scale for drawing in lines] == ["log", "linear", "linear", "log", "linear"]
    for drawing in lines[:3]:
        _, attention, mlp = drawing.series[:3]
        assert (attention.markers, mlp.markers) == (True, True)
        assert attention.x.tolist() == [0, 2]
        assert mlp.x.tolist() == [1, 3]
    np.testing.assert_allclose(lines[0].series[0].y, result["speed"].mean("sample"))
    np.testing.assert_allclose(lines[0].series[2].y, result["speed"].mean("sample")[[1, 3]])
    walk_curve = lines[2].series[-1]
    assert walk_curve.role == "reference"
    np.testing.assert_allclose(walk_curve.y[[0, 3]], [0.5**0.5, 0.8**0.5])
    assert lines[4].series[0].x.tolist() == [1, 2, 3]
    for drawing in lines:
        assert drawing.plot().get_ylabel() == drawing.y_label
        assert len(drawing.figure().data) >= len(drawing.series)


def test_without_transformer_sites_no_kinds_are_drawn():
    speed_lines, _, cosine_lines, *_ = draw_kinematics(measured(walk(3, 4, 5)))
    assert len(speed_lines.series) == 1
    assert len(cosine_lines.series) == 2


def test_band_leaves_undefined_samples_out():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    line = mean_with_band("speed", values, labels=["a", "b"])
    np.testing.assert_array_equal(line.y, [2.0, np.nan])
    np.testing.assert_allclose([line.low[0], line.high[0]], [1.1, 2.9])
