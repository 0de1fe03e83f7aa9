import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.stats import ortho_group

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dynamics.jpca import jpca


def turning(angles, *, n_points=15, n_paths=8, decay=1.0, seed=0):
    """Paths in planes that turn by `angles` per step, in a random basis."""
    rng = np.random.default_rng(seed)
    n_axes = 2 * len(angles)
    generator = np.zeros((n_axes, n_axes))
    for place, angle in enumerate(angles):
        generator[2 * place + 1, 2 * place], generator[2 * place, 2 * place + 1] = angle, -angle
    basis = ortho_group.rvs(n_axes, random_state=seed) if n_axes > 2 else np.eye(2)
    step = decay * expm(basis @ generator @ basis.T)
    paths = [rng.standard_normal((n_paths, n_axes))]
    for _ in range(n_points - 1):
        paths.append(paths[-1] @ step.T)
    return np.stack(paths, axis=1), basis


def noisy(seed=0, n_axes=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((6, 12, n_axes)).cumsum(axis=1) * np.arange(1, n_axes + 1)


def midpoints_and_steps(paths):
    flat = (-1, paths.shape[2])
    middles = (paths[:, 1:] + paths[:, :-1]) / 2
    return middles.reshape(flat), np.diff(paths, axis=1).reshape(flat)


@pytest.mark.parametrize("angles", [[0.1], [3.0], [1.2, 0.3], [2.5, 1.0, 0.05]])
def test_pure_rotation_has_ratio_one_and_its_own_frequencies(angles):
    paths, basis = turning(angles)
    fit = jpca(paths)
    np.testing.assert_allclose([fit.r2_free, fit.r2_skew, fit.r2_ratio], 1)
    np.testing.assert_allclose(fit.frequency, angles, rtol=1e-6)
    # The first plane is the one that turns fastest, whatever basis of it is taken.
    first = fit.planes[0]
    np.testing.assert_allclose(first.T @ first, basis[:, :2] @ basis[:, :2].T, atol=1e-8)


def test_planes_are_orthonormal_and_turn_from_the_first_axis_to_the_second():
    paths, _ = turning([0.7, 0.2])
    fit = jpca(paths)
    axes = fit.planes.reshape(4, 4)
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-10)
    for plane, angle in zip(fit.planes, (0.7, 0.2), strict=True):
        points = paths @ plane.T
        turned = np.angle((points[:, 1:] @ [1, 1j]) / (points[:, :-1] @ [1, 1j]))
        np.testing.assert_allclose(turned, angle)
        assert np.square(points[..., 0]).sum() >= np.square(points[..., 1]).sum()


def test_orientation_of_a_clockwise_circle():
    angle = -0.3 * np.arange(9)
    circle = np.stack([2 * np.cos(angle), 2 * np.sin(angle)], axis=-1)[np.newaxis]
    fit = jpca(circle)
    np.testing.assert_allclose(fit.frequency, [0.3])
    assert np.linalg.det(fit.planes[0]) < 0
    np.testing.assert_allclose(fit.skew, 2 * np.tan(0.15) * np.array([[0, 1], [-1, 0]]), atol=1e-12)


@pytest.mark.parametrize("rates", [(0.5, 0.5, 0.5), (0.9, 0.6, 0.3), (1.3, 0.8, 1.0)])
def test_pure_decay_or_growth_has_ratio_zero(rates):
    basis = ortho_group.rvs(3, random_state=1)
    # Paths along single eigenvectors, so that the covariance has the same ones.
    paths = basis[:, np.newaxis] * (np.array(rates)[:, np.newaxis] ** np.arange(8))[..., np.newaxis]
    fit = jpca(paths)
    np.testing.assert_allclose(fit.r2_free, 1)
    assert fit.r2_skew < 1e-12
    assert fit.r2_ratio < 1e-12
    np.testing.assert_allclose(
        np.linalg.eigvalsh(fit.free), np.sort([2 * (f - 1) / (f + 1) for f in rates]), atol=1e-12
    )


def test_spiral_by_hand():
    # One complex number: z' = f e^{i theta} z, so M is the complex 2 (q - 1)/(q + 1), q = f e^{it}.
    factor, theta = 0.9, 0.4
    paths, _ = turning([theta], n_paths=50, decay=factor)
    fit = jpca(paths)
    q = factor * np.exp(1j * theta)
    exact = 2 * (q - 1) / (q + 1)
    np.testing.assert_allclose(fit.r2_free, 1)
    np.testing.assert_allclose(fit.r2_ratio, exact.imag**2 / abs(exact) ** 2, rtol=1e-9)
    np.testing.assert_allclose(fit.frequency, 2 * np.arctan(exact.imag / 2), rtol=1e-9)


@pytest.mark.parametrize("n_axes", [2, 3, 6])
def test_both_fits_agree_with_general_least_squares(n_axes):
    paths = noisy(n_axes=n_axes)
    states, steps = midpoints_and_steps(paths)
    fit = jpca(paths)
    free = np.linalg.lstsq(states, steps, rcond=None)[0].T
    np.testing.assert_allclose(fit.free, free, atol=1e-10)
    # One column of the design per free entry of a skew-symmetric matrix.
    pairs = np.array(np.triu_indices(n_axes, 1)).T
    design = []
    for row, column in pairs:
        generator = np.zeros((n_axes, n_axes))
        generator[row, column], generator[column, row] = 1, -1
        design.append((states @ generator.T).ravel())
    weights = np.linalg.lstsq(np.array(design).T, steps.ravel(), rcond=None)[0]
    expected = np.zeros((n_axes, n_axes))
    expected[tuple(pairs.T)] = weights
    expected -= expected.T
    np.testing.assert_allclose(fit.skew, expected, atol=1e-10)
    for matrix, r2 in ((free, fit.r2_free), (expected, fit.r2_skew)):
        missed = steps - states @ matrix.T
        np.testing.assert_allclose(r2, 1 - (missed**2).sum() / (steps**2).sum(), rtol=1e-9)


def test_share_by_step_adds_up():
    paths = noisy()
    fit = jpca(paths)
    squares = np.square(np.diff(paths, axis=1)).sum(axis=(0, 2))
    np.testing.assert_allclose(fit.r2_skew_by_step @ squares / squares.sum(), fit.r2_skew)
    rotation, _ = turning([0.5])
    np.testing.assert_allclose(jpca(rotation).r2_skew_by_step, 1)


@given(st.integers(0, 2**16), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_rotation_of_the_axes_and_scale_change_no_number(seed, scale):
    paths = noisy(seed, n_axes=4)
    moved = scale * paths @ ortho_group.rvs(4, random_state=seed)
    one, two = jpca(paths), jpca(moved)
    assert one.r2_skew <= one.r2_free + 1e-12
    for name in ("r2_free", "r2_skew", "frequency"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-6, atol=1e-12)


def test_noise_of_measurement_does_not_look_like_decay():
    # Independent noise about one point: x[s+1] - x[s] and their midpoint are uncorrelated.
    paths = np.random.default_rng(3).standard_normal((4000, 6, 4))
    fit = jpca(paths)
    assert fit.r2_free < 1e-3


def test_axes_without_variance_are_not_moved_along():
    paths, _ = turning([0.3])
    wide = np.concatenate([paths, np.zeros((*paths.shape[:2], 3))], axis=2)
    fit = jpca(wide)
    np.testing.assert_allclose(fit.r2_ratio, 1)
    np.testing.assert_allclose(fit.frequency, [0.3, 0], atol=1e-12)
    np.testing.assert_array_equal(fit.free[2:], 0)
    axes = fit.planes.reshape(4, 5)
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("paths", [np.ones((3, 4, 2)), np.zeros((3, 4, 3))], ids=["rest", "zero"])
def test_paths_at_rest_are_undefined(paths):
    fit = jpca(paths)
    assert np.isnan([fit.r2_free, fit.r2_skew, fit.r2_ratio]).all()
    assert np.isnan(fit.r2_skew_by_step).all()


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (np.ones((4, 2)), "path, point, axis"),
        (np.ones((2, 1, 3)), "two points"),
        (np.ones((2, 5, 1)), "two axes"),
        (np.ones((0, 5, 2)), "path, point, axis"),
        (np.full((2, 5, 2), np.inf), "finite"),
    ],
)
def test_what_is_refused(paths, words):
    with pytest.raises(InputError, match=words):
        jpca(paths)
