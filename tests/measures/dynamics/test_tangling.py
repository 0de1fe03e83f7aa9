import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dynamics.tangling import tangling


def circle(n_points, *, turns=1.0):
    angle = 2 * np.pi * turns * np.arange(n_points + 1) / n_points
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def figure_eight(n_points):
    angle = 2 * np.pi * np.arange(n_points + 1) / n_points
    return np.stack([np.sin(angle), np.sin(angle) * np.cos(angle)], axis=-1)


def plainly(paths, softening=0.1):
    """The definition, pair by pair."""
    points = paths.reshape(-1, paths.shape[-1])
    eps = softening * np.square(points - points.mean(axis=0)).sum(axis=1).mean()
    places = ((paths[..., 1:, :] + paths[..., :-1, :]) / 2).reshape(-1, paths.shape[-1])
    steps = np.diff(paths, axis=-2).reshape(-1, paths.shape[-1])
    q = cdist(steps, steps, "sqeuclidean") / (cdist(places, places, "sqeuclidean") + eps)
    return q.max(axis=1).reshape(paths[..., 1:, 0].shape)


@pytest.mark.parametrize("n_points", [8, 100])
def test_circle_has_a_low_tangling_known_in_closed_form(n_points):
    # Opposite points are the furthest apart in place and step, and the quotient grows with both.
    # Many turns, so that the point that comes once more than the others weighs little.
    points = circle(n_points, turns=1.0)[:-1]
    points = np.concatenate([points] * (1600 // n_points) + [points[:1]])
    theta = 2 * np.pi / n_points
    k = 2 * np.tan(theta / 2)
    expected = 4 * k**2 / (4 + 0.1 / np.cos(theta / 2) ** 2)
    np.testing.assert_allclose(tangling(points), expected, rtol=1e-3)


def test_figure_of_eight_is_tangled_where_it_crosses():
    n_points = 400
    q = tangling(figure_eight(n_points))
    # It passes the origin at steps n/2 and 0 with velocities (-1, 1) and (1, 1), times 2 pi / n;
    # the variance is 1/2 + 1/8, and |dx - dx'|^2 is 4 (2 pi / n)^2.
    expected = 4 * (2 * np.pi / n_points) ** 2 / (0.1 * (0.5 + 0.125))
    np.testing.assert_allclose(q[n_points // 2], expected, rtol=0.01)
    assert q.argmax() in {0, n_points // 2 - 1, n_points // 2, n_points - 1}
    # Per squared speed, the crossing has some sixteen times the tangling of a circle.
    assert q.max() > 15 * tangling(circle(n_points)).max()


def test_a_straight_line_at_constant_speed_is_not_tangled():
    line = np.arange(30)[:, np.newaxis] * np.array([[1.0, 2.0, -1.0]])
    np.testing.assert_allclose(tangling(line), 0, atol=1e-12)


def test_two_paths_that_cross_are_tangled_only_together():
    along = np.linspace(-1, 1, 40)
    paths = np.stack([np.stack([along, 0 * along], -1), np.stack([0 * along, along], -1)])
    together = tangling(paths)
    assert together.shape == (2, 39)
    assert tangling(paths[0]).max() < 1e-12
    step = 2 / 39
    # In the middle both are at the origin with steps at right angles.
    variance = np.square(along).mean()
    np.testing.assert_allclose(together[:, 19], 2 * step**2 / (0.1 * variance))
    assert (together.argmax(axis=1) == 19).all()


@pytest.mark.parametrize("shape", [(9, 2), (4, 7, 3), (2, 3, 90, 5)])
def test_agrees_with_the_definition(shape):
    paths = np.random.default_rng(0).standard_normal(shape).cumsum(axis=-2) + 50
    np.testing.assert_allclose(tangling(paths), plainly(paths), rtol=1e-9)
    np.testing.assert_allclose(tangling(paths, softening=2.0), plainly(paths, 2.0), rtol=1e-9)


@given(st.integers(0, 2**16), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_rigid_motion_and_scale_change_nothing(seed, scale):
    paths = np.random.default_rng(seed).standard_normal((3, 8, 3))
    moved = scale * paths @ ortho_group.rvs(3, random_state=seed) - 4.0
    np.testing.assert_allclose(tangling(moved), tangling(paths), rtol=1e-6)


@pytest.mark.parametrize("value", [2.0, np.nan, np.inf])
def test_points_at_rest_or_not_finite_are_undefined_with_one_warning(value):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tangling(np.full((5, 2), value))
    assert np.isnan(result).all()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tangling(np.ones(4)), "at least two points"),
        (lambda: tangling(np.ones((3, 1, 4))), "at least two points"),
        (lambda: tangling(np.ones((3, 4)), softening=0.0), "softening=0.1"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
