import importlib
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import ortho_group

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dimension.points import sets
from transformer_dynamics.measures.dimension.points.sets import distinct
from transformer_dynamics.measures.dimension.points.two_nn import decimated_two_nn, two_nn


@pytest.fixture(scope="module")
def skdim():
    """Scikit-dimension, which takes seconds to import."""
    return pytest.importorskip("skdim")


def cube(n_points, n_axes, *, seed=0):
    return np.random.default_rng(seed).random((n_points, n_axes))


def by_tree(points, discard=0.1):
    """The same fit from exact neighbors of another search."""
    distances, _ = cKDTree(points).query(points, k=3)
    logs = np.sort(np.log(distances[:, 2] / distances[:, 1]))
    kept = logs[: int(len(points) * (1 - discard))]
    exponents = -np.log(1 - np.arange(1, kept.size + 1) / len(points))
    return np.linalg.lstsq(kept[:, np.newaxis], exponents, rcond=None)[0].item()


@pytest.mark.parametrize(("n_points", "n_axes"), [(40, 2), (400, 3), (512, 60), (1300, 10)])
@pytest.mark.parametrize("discard", [0.1, 0.3])
def test_agrees_with_scikit_dimension_and_with_a_tree(n_points, n_axes, discard, skdim):
    points = np.random.default_rng(n_axes).standard_normal((n_points, n_axes)) * np.geomspace(
        1, 20, n_axes
    )
    result = two_nn(points, discard=discard)
    oracle = skdim.id.TwoNN(discard_fraction=discard).fit_transform(points)
    np.testing.assert_allclose(result, oracle, rtol=1e-9)
    np.testing.assert_allclose(result, by_tree(points, discard), rtol=1e-9)


@pytest.mark.parametrize("n_axes", [1, 2, 3, 5])
def test_uniform_cube_has_its_number_of_axes(n_axes):
    estimates = [two_nn(cube(1000, n_axes, seed=seed)) for seed in range(8)]
    # One estimate scatters by d / sqrt(1000); the boundary lowers it as there are more axes.
    assert abs(np.mean(estimates) / n_axes - 1) < 0.02 + 0.012 * n_axes


def test_curved_sheet_in_many_axes_has_two_dimensions():
    turn, along = np.random.default_rng(1).random((2, 2000))
    angle = 1.5 * np.pi * (1 + 2 * turn)
    roll = np.stack([angle * np.cos(angle), 20 * along, angle * np.sin(angle)], axis=1)
    points = roll @ ortho_group.rvs(50, random_state=0)[:3]
    assert abs(two_nn(points) - 2) < 0.15


def test_finite_number_of_points_lowers_the_estimate_in_many_dimensions():
    assert 20 < two_nn(np.random.default_rng(2).standard_normal((512, 60))) < 50


@given(st.floats(1e-3, 1e3), st.integers(0, 2**16))
@settings(max_examples=20)
def test_rotation_scale_and_shift_change_nothing(scale, seed):
    points = cube(60, 4, seed=seed)
    moved = scale * points @ ortho_group.rvs(4, random_state=seed) + 7.0
    np.testing.assert_allclose(two_nn(moved), two_nn(points), rtol=1e-6)


def test_clusters_far_apart_keep_the_digits_of_small_distances():
    rng = np.random.default_rng(3)
    centers = 1e6 * rng.standard_normal((3, 5))
    clusters = (rng.random((100, 5)) + centers[:, np.newaxis]).reshape(-1, 5)
    np.testing.assert_allclose(two_nn(clusters), by_tree(clusters), rtol=1e-6)


def test_points_that_coincide_are_kept_once():
    points = cube(200, 3)
    repeated = np.concatenate([points, points[:70], points[:5]])
    np.testing.assert_array_equal(distinct(repeated), points)
    np.testing.assert_allclose(two_nn(repeated), two_nn(points), rtol=1e-12)
    np.testing.assert_allclose(
        decimated_two_nn(repeated, n_parts=(1, 2)), decimated_two_nn(points, n_parts=(1, 2))
    )


def test_minus_zero_is_zero():
    assert len(distinct(np.array([[0.0, 1.0], [-0.0, 1.0]]))) == 1


def test_decimation_averages_disjoint_subsets_of_the_seed():
    points = cube(90, 3)
    order = np.random.default_rng(5).permutation(90)
    expected = [
        two_nn(points[order]),
        np.mean([two_nn(points[order[:45]]), two_nn(points[order[45:]])]),
        np.mean([two_nn(points[order[start : start + 22]]) for start in (0, 22, 44, 66)]),
    ]
    result = decimated_two_nn(points, n_parts=(1, 2, 4), seed=5)
    np.testing.assert_allclose(result, expected)
    np.testing.assert_array_equal(result, decimated_two_nn(points, n_parts=(1, 2, 4), seed=5))
    assert (result != decimated_two_nn(points, n_parts=(1, 2, 4), seed=6))[1:].all()


def test_decimation_is_flat_on_a_plane_and_falls_with_noise_across_it():
    rng = np.random.default_rng(4)
    sheet = np.concatenate([rng.random((4000, 2)), np.zeros((4000, 3))], axis=1)
    flat = decimated_two_nn(sheet, n_parts=(1, 4, 16))
    np.testing.assert_allclose(flat, 2, rtol=0.1)
    # Neighbors among all points lie within the noise, among a sixteenth beyond it.
    noisy = decimated_two_nn(sheet + 0.01 * rng.standard_normal(sheet.shape), n_parts=(1, 4, 16))
    assert noisy[0] > noisy[1] > noisy[2]
    assert noisy[0] > 1.2 * noisy[2]


def test_leading_axes_are_kept():
    clouds = np.random.default_rng(6).random((2, 3, 50, 4))
    result = two_nn(clouds)
    assert result.shape == (2, 3)
    np.testing.assert_allclose(result[1, 2], two_nn(clouds[1, 2]))


@pytest.mark.parametrize(
    "points",
    [
        np.arange(9.0)[:, np.newaxis] ** 2,
        np.repeat(cube(9, 3), 20, axis=0),
        np.ones((30, 3)),
        np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1),
        np.where(np.eye(20, 3) == 1, np.nan, cube(20, 3)),
        np.where(np.eye(20, 3) == 1, np.inf, cube(20, 3)),
    ],
    ids=["nine", "nine distinct", "equal", "even circle", "nan", "infinite"],
)
def test_undefined_is_nan_with_one_warning(points):
    for kernel in (two_nn, lambda points: decimated_two_nn(points, n_parts=(1,))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = kernel(points)
        assert np.isnan(result).all()
        assert [warning.category for warning in caught] == [UndefinedWarning]
        assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: two_nn(np.ones(5)), "point, axis"),
        (lambda: two_nn(np.ones((0, 5))), "at least one of each"),
        (lambda: two_nn(cube(20, 2), discard=0.0), "discard=0.1"),
        (lambda: two_nn(cube(20, 2), discard=1.0), "discard=0.1"),
        (lambda: decimated_two_nn(np.ones((2, 20, 2))), "one set"),
        (lambda: decimated_two_nn(cube(20, 2), n_parts=()), "n_parts="),
        (lambda: decimated_two_nn(cube(20, 2), n_parts=(0,)), "n_parts="),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_the_points_are_not_changed():
    points = cube(50, 3)
    before = points.copy()
    two_nn(points)
    np.testing.assert_array_equal(points, before)


def test_distances_in_small_blocks_give_the_same_slope(monkeypatch):
    points = np.random.default_rng(0).standard_normal((150, 6))
    whole = two_nn(points)
    kernel = importlib.import_module(two_nn.__module__)
    monkeypatch.setattr(kernel, "DISTANCES", 1)
    monkeypatch.setattr(kernel, "LEAST_ROWS", 7)
    np.testing.assert_allclose(two_nn(points), whole, rtol=1e-12)


def test_rows_of_one_hash_are_compared(monkeypatch):
    points = np.random.default_rng(0).standard_normal((20, 3))
    repeated = points[[*range(20), 3, 0, 3]]
    monkeypatch.setattr(sets, "hash", lambda content: 0, raising=False)
    np.testing.assert_array_equal(distinct(repeated), points)
