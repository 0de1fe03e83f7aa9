import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.paths.geometry import path_geometry
from transformer_dynamics.measures.paths.polygons import tortuosity, turning_angle
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.plots.paths.geometry import draw_geometry
from transformer_dynamics.recording.recording import Recording

# Small whole numbers, so that steps are either exactly zero or of decent length.
STATES = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(3, 6), st.just(3)),
    elements=st.integers(-10, 10).map(float),
)


def measured(values, **kwargs):
    return path_geometry(Recording.from_array(np.asarray(values), **kwargs))


def polygon(n_corners):
    angle = 2 * np.pi * np.arange(n_corners) / n_corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)[np.newaxis]


@pytest.mark.parametrize(
    ("path", "angles", "length", "displacement"),
    [
        ([[0, 0], [3, 4], [9, 12], [12, 16]], [0, 0], 20, 20),
        ([[0, 0], [3, 0], [3, 4]], [np.pi / 2], 7, 5),
        ([[1, 1], [2, 1], [1, 1], [2, 1]], [np.pi, np.pi], 3, 1),
        ([[0, 0], [1, 0], [2, 1]], [np.pi / 4], 1 + 2**0.5, 5**0.5),
    ],
    ids=["straight line", "right angle", "ping-pong", "half right angle"],
)
def test_plane_paths(path, angles, length, displacement):
    result = measured(np.array([path], dtype=np.float32))
    np.testing.assert_allclose(result["turning_angle"], [angles], atol=1e-15)
    np.testing.assert_allclose(result["path_length"], [length])
    np.testing.assert_allclose(result["displacement"], [displacement])
    np.testing.assert_allclose(result["tortuosity"], [length / displacement])


def test_regular_polygon_turns_evenly():
    result = measured(polygon(12))
    np.testing.assert_allclose(result["turning_angle"], 2 * np.pi / 12)
    np.testing.assert_allclose(result["path_length"], 11 * 2 * np.sin(np.pi / 12))


def test_fine_half_circle_has_tortuosity_half_pi():
    angle = np.linspace(0, np.pi, 2001)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    np.testing.assert_allclose(tortuosity(points), np.pi / 2, rtol=1e-6)


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-6, np.pi - 1e-6, np.pi - 1e-9])
def test_angles_near_zero_and_pi_keep_their_digits(angle):
    values = np.array([[[0.0, 0.0], [1.0, 0.0], [1 + np.cos(angle), np.sin(angle)]]])
    result = turning_angle(values)[0, 0]
    assert abs(min(result, np.pi - result) - min(angle, np.pi - angle)) < 1e-15


def test_high_dimensional_random_walk_turns_by_right_angles():
    steps = np.random.default_rng(0).standard_normal((50, 31, 600))
    result = measured(steps.cumsum(axis=1).astype(np.float32))
    assert abs(float(result["turning_angle"].mean()) - np.pi / 2) < 0.004
    # |sum of 30 steps| = sqrt(30) of 30 steps' lengths
    np.testing.assert_allclose(result["tortuosity"].mean(), np.sqrt(30), rtol=0.01)


def test_independent_states_turn_by_two_thirds_pi():
    states = np.random.default_rng(0).standard_normal((50, 31, 600)).astype(np.float32)
    result = measured(states)
    assert abs(float(result["turning_angle"].mean()) - 2 * np.pi / 3) < 0.004
    np.testing.assert_allclose(result["tortuosity"].mean(), 30, rtol=0.01)


def test_agrees_with_independent_distances():
    values = np.random.default_rng(1).standard_normal((4, 6, 9))
    result = measured(values)
    for sample, path in enumerate(values):
        distance = cdist(path, path)
        steps = np.diff(path, axis=0)
        covered = np.concatenate([[0], np.cumsum(np.diag(distance, 1))])
        np.testing.assert_allclose(result["path_length_to"][sample], covered)
        np.testing.assert_allclose(result["path_length"][sample], covered[-1])
        np.testing.assert_allclose(result["displacement"][sample], distance[0, -1])
        cosine = 1 - np.diag(cdist(steps, steps, "cosine"), 1)
        np.testing.assert_allclose(result["turning_angle"][sample], np.arccos(cosine))


def test_kernels_and_measure_agree():
    values = np.random.default_rng(2).standard_normal((3, 5, 7)).astype(np.float32)
    result = measured(values)
    np.testing.assert_array_equal(turning_angle(values), result["turning_angle"])
    np.testing.assert_allclose(tortuosity(values), result["tortuosity"], rtol=1e-14)
    assert turning_angle(values).dtype == tortuosity(values).dtype == np.float64


@pytest.mark.parametrize("shape", [(4, 2), (3, 4, 2), (2, 3, 4, 2)])
def test_tortuosity_keeps_leading_axes(shape):
    points = np.random.default_rng(3).standard_normal(shape)
    result = tortuosity(points)
    assert result.shape == shape[:-2]
    last = points[(-1,) * (len(shape) - 2)]
    length = np.diag(cdist(last, last), 1).sum()
    np.testing.assert_allclose(result[(-1,) * result.ndim], length / cdist(last, last)[0, -1])


def test_tortuosity_accumulates_in_float64():
    points = np.array([[0, 0], [3e30, 0], [3e30, 4e30]], dtype=np.float32)
    np.testing.assert_allclose(tortuosity(points), 1.4)


@given(STATES, st.floats(0.125, 8), st.integers(0, 2**16))
@settings(max_examples=60)
def test_rigid_motion_scale_and_reversal(values, scale, seed):
    rotation = ortho_group.rvs(3, random_state=seed)
    # Rotated, a path that closes may miss its start by rounding; exact closure is tested below.
    values = values + np.where(np.arange(values.shape[1])[:, np.newaxis] == 0, 31.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        result, backward = measured(values), measured(values[:, ::-1])
        moving = (np.diff(values, axis=1) != 0).any(axis=2).all(axis=1)
        moved = measured(scale * (values @ rotation) + 3.0)
    for name in ("path_length", "displacement", "path_length_to"):
        np.testing.assert_allclose(moved[name], scale * result[name], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(moved["tortuosity"], result["tortuosity"], rtol=1e-9)
    # Where a step is exactly zero, rotation leaves it zero or rounding, of no direction.
    np.testing.assert_allclose(
        moved["turning_angle"][moving], result["turning_angle"][moving], atol=1e-6
    )
    np.testing.assert_allclose(backward["tortuosity"], result["tortuosity"])
    np.testing.assert_allclose(backward["turning_angle"][:, ::-1], result["turning_angle"])
    assert (result["tortuosity"] >= 1 - 1e-12).all()
    angles = result["turning_angle"].values
    assert ((angles >= 0) & (angles <= np.pi) | np.isnan(angles)).all()


@pytest.mark.parametrize(
    ("path", "tortuosity_nan", "angle_nan"),
    [
        ([[0, 0], [1, 0], [1, 1], [0, 0]], True, []),
        ([[0, 0], [0, 0], [1, 1], [2, 1]], False, [0]),
        ([[0, 0], [1, 1], [1, 1], [2, 1]], False, [0, 1]),
        ([[5, 5], [5, 5], [5, 5], [5, 5]], True, [0, 1]),
    ],
    ids=["closed", "first step zero", "middle step zero", "at rest"],
)
def test_undefined_values_are_nan_with_one_warning(path, tortuosity_nan, angle_nan):
    other = [[0, 0], [1, 0], [2, 0], [3, 1]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measured(np.array([path, other], dtype=np.float32))
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.isnan(result["tortuosity"]).values.tolist() == [tortuosity_nan, False]
    assert np.flatnonzero(np.isnan(result["turning_angle"][0])).tolist() == angle_nan
    assert np.isfinite(result["turning_angle"][1]).all()
    assert np.isfinite(result["path_length_to"]).all()
    message = str(caught[0].message)
    assert ("1 of 2 values of tortuosity" in message) == tortuosity_nan
    assert (f"{len(angle_nan)} of 4 values of turning_angle" in message) == bool(angle_nan)


def test_the_warning_points_at_the_caller():
    closed = np.array([[[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    recording = Recording.from_array(closed)
    for call in (
        lambda: tortuosity(closed),
        lambda: turning_angle(closed),
        lambda: path_geometry(recording),
    ):
        with pytest.warns(UndefinedWarning) as caught:
            call()
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_states_that_are_not_finite_give_nan_and_no_numpy_warning():
    values = np.random.default_rng(4).standard_normal((2, 5, 3))
    values[0, 1, 0] = np.inf
    values[0, 2, 0] = np.inf
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measured(values)
        for drawing in draw_geometry(result):
            drawing.plot()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.isnan(result["turning_angle"][0]).all()
    assert np.isfinite(result["turning_angle"][1]).all()


@pytest.mark.parametrize("n_sites", [1, 2])
def test_fewer_than_three_sites_are_refused(n_sites):
    values = np.ones((2, n_sites, 3))
    with pytest.raises(ValueError, match="at least 3 sites"):
        measured(values)
    with pytest.raises(ValueError, match="at least 3 sites"):
        turning_angle(values)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 0, 5)])
def test_paths_without_two_points_are_refused(shape):
    with pytest.raises(ValueError, match="at least two points"):
        tortuosity(np.ones(shape))


def test_the_recording_is_not_changed():
    values = np.random.default_rng(5).standard_normal((3, 4, 5))
    before = values.copy()
    measured(values)
    np.testing.assert_array_equal(values, before)


def test_coordinates_and_attrs():
    result = measured(
        np.random.default_rng(6).standard_normal((3, 5, 4)), sites=transformer_labels(2)
    )
    assert result["turn"].values.tolist() == ["0.pre_mlp", "1.pre_attn", "1.pre_mlp"]
    assert result["path_length_to"].dims == ("sample", "site")
    assert (result["path_length_to"].sel(site="0.pre_attn") == 0).all()
    np.testing.assert_array_equal(result["path_length_to"].sel(site="final"), result["path_length"])
    assert result["turning_angle"].attrs["units"] == "rad"
    assert result["path_length"].attrs["units"] == "stream units"
    assert all("pooling" in result[name].attrs for name in result.data_vars)
    assert result.attrs["measure"] == "paths.path_geometry"


def test_drawings_carry_the_trivial_angles():
    result = measured(np.random.default_rng(7).standard_normal((40, 6, 200)))
    lines, histogram = draw_geometry(result)
    model, walk, independent = lines.series
    assert model.x.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(model.y, result["turning_angle"].mean("sample"))
    assert (walk.role, independent.role) == ("reference", "reference")
    np.testing.assert_allclose(walk.y, np.pi / 2)
    np.testing.assert_allclose(independent.y, 2 * np.pi / 3)
    np.testing.assert_array_equal(histogram.groups[0].values, result["tortuosity"])
    for drawing in (lines, histogram):
        assert drawing.plot().get_xlabel() == drawing.x_label
        assert drawing.figure().data
