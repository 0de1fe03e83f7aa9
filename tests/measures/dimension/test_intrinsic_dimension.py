import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dimension.intrinsic_dimension import intrinsic_dimension
from transformer_dynamics.measures.dimension.points.nulls import gaussian_cloud, right_angled_paths
from transformer_dynamics.measures.dimension.points.participation_ratio import (
    corrected_participation_ratio,
    participation_ratio,
)
from transformer_dynamics.measures.dimension.points.two_nn import decimated_two_nn, two_nn
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.plots.dimension.intrinsic_dimension import draw_dimension
from transformer_dynamics.recording import Recording, open_recording


@pytest.fixture(scope="module")
def skdim():
    """Scikit-dimension, which takes seconds to import."""
    return pytest.importorskip("skdim")


def by_eigenvalues(points):
    values = np.linalg.eigvalsh(np.cov(points, rowvar=False))
    return values.sum() ** 2 / (values**2).sum()


def by_four_distinct_points(points):
    """Both U-statistics by their definition: differences of two pairs of points."""
    above, below = [], []
    for one, two, three, four in itertools.permutations(points, 4):
        first, second = one - two, three - four
        above.append((first @ first) * (second @ second) / 4)
        below.append((first @ second) ** 2 / 4)
    return np.mean(above) / np.mean(below)


@pytest.mark.parametrize("m", [1, 2, 7])
def test_equal_variances_count(m):
    axes = np.concatenate([np.eye(m), -np.eye(m)])
    points = 3 * axes @ ortho_group.rvs(9, random_state=0)[:m] + 5
    np.testing.assert_allclose(participation_ratio(points), m)


@pytest.mark.parametrize(("n_points", "n_axes"), [(20, 3), (6, 30)])
def test_agrees_with_eigenvalues_and_scikit_dimension(n_points, n_axes, skdim):
    points = np.random.default_rng(n_axes).standard_normal((n_points, n_axes)) * np.arange(
        1, n_axes + 1
    )
    result = participation_ratio(points)
    np.testing.assert_allclose(result, by_eigenvalues(points))
    np.testing.assert_allclose(
        result, skdim.id.lPCA(ver="participation_ratio").fit_transform(points)
    )


def test_correction_is_the_ratio_of_u_statistics():
    rng = np.random.default_rng(0)
    for _ in range(3):
        points = rng.standard_exponential((7, 4)) * [1, 2, 3, 4] + 10
        np.testing.assert_allclose(
            corrected_participation_ratio(points), by_four_distinct_points(points)
        )


@pytest.mark.parametrize("law", ["standard_normal", "standard_exponential"])
def test_correction_removes_the_bias_of_few_points(law):
    clouds = getattr(np.random.default_rng(1), law)((400, 40, 60)) * np.geomspace(1, 3, 60)
    variance = np.geomspace(1, 9, 60)
    truth = variance.sum() ** 2 / (variance**2).sum()
    plain = participation_ratio(clouds).mean()
    corrected = corrected_participation_ratio(clouds).mean()
    assert plain < 0.55 * truth
    if law == "standard_normal":
        np.testing.assert_allclose(plain, 1 / (1 / truth + 1 / 40), rtol=0.05)
    np.testing.assert_allclose(corrected, truth, rtol=0.03)


@given(st.floats(1e-3, 1e3), st.integers(0, 2**16))
@settings(max_examples=20)
def test_rotation_scale_and_shift_change_nothing(scale, seed):
    points = np.random.default_rng(seed).standard_normal((12, 5)) * [1, 2, 3, 4, 5]
    moved = scale * points @ ortho_group.rvs(5, random_state=seed) + 3.0
    for kernel in (participation_ratio, corrected_participation_ratio):
        np.testing.assert_allclose(kernel(moved), kernel(points), rtol=1e-8)


def test_kernels_keep_leading_axes():
    points = np.random.default_rng(2).standard_normal((2, 3, 8, 5))
    for kernel in (participation_ratio, corrected_participation_ratio):
        assert kernel(points).shape == (2, 3)
        np.testing.assert_allclose(kernel(points)[1, 2], kernel(points[1, 2]))


@pytest.mark.parametrize(
    ("kernel", "points"),
    [
        (participation_ratio, np.full((5, 3), 0.1)),
        (corrected_participation_ratio, np.full((5, 3), 0.1)),
        (corrected_participation_ratio, np.eye(3)),
        (participation_ratio, np.array([[1.0, np.nan], [0.0, 1.0]])),
    ],
    ids=["equal", "equal, corrected", "three points", "nan"],
)
def test_undefined_is_nan_with_one_warning(kernel, points):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.isnan(kernel(points))
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__


def test_points_without_axes_are_refused():
    with pytest.raises(InputError, match=r"participation_ratio\(recording"):
        participation_ratio(np.ones(4))


def test_right_angled_path_of_many_equal_steps_has_dimension_two_and_a_half():
    # Eigenvalues of a walk's covariance fall as 1/k^2: (pi^2/6)^2 / (pi^4/90) = 2.5.
    double = right_angled_paths(np.ones(400))
    np.testing.assert_allclose(participation_ratio(double), 2.5, rtol=0.01)
    steps = np.diff(right_angled_paths(np.array([[1.0, 2.0, 3.0]])), axis=1)[0]
    np.testing.assert_array_equal(steps @ steps.T, np.diag([1.0, 4.0, 9.0]))


def test_every_number_of_the_measure_by_its_kernel():
    values = np.random.default_rng(3).standard_normal((60, 14, 5)).cumsum(axis=1)
    result = intrinsic_dimension(Recording.from_array(values.astype(np.float32)), n_parts=(1, 2))
    values = values.astype(np.float32).astype(np.float64)
    for site in (0, 13):
        here = result.isel(site=site)
        np.testing.assert_allclose(here["participation_ratio"], by_eigenvalues(values[:, site]))
        np.testing.assert_allclose(
            here["participation_ratio_corrected"], corrected_participation_ratio(values[:, site])
        )
        np.testing.assert_allclose(
            here["two_nn"], decimated_two_nn(values[:, site], n_parts=(1, 2), seed=[0, site])
        )
        assert here["n_distinct"] == 60
    np.testing.assert_allclose(result["path_participation_ratio"], participation_ratio(values))
    np.testing.assert_allclose(result["path_two_nn"], two_nn(values))
    doubles = right_angled_paths(np.linalg.norm(np.diff(values, axis=1), axis=2))
    np.testing.assert_allclose(
        result["right_angled_path_participation_ratio"], participation_ratio(doubles)
    )
    np.testing.assert_allclose(result["right_angled_path_two_nn"], two_nn(doubles))
    assert result["fraction"].values.tolist() == [1.0, 0.5]


def test_independent_states_have_as_many_dimensions_as_units():
    result = intrinsic_dimension(synthetic.independent_states(n_samples=400, n_sites=10, n_units=5))
    assert abs(result["participation_ratio_corrected"].mean() - 5) < 0.05
    assert (result["participation_ratio"] < result["participation_ratio_corrected"]).all()
    # A Gaussian cloud is its own null.
    model, null = result["two_nn"].sel(fraction=1), result["gaussian_two_nn"].sel(fraction=1)
    assert abs(float((model / null).mean()) - 1) < 0.1


@pytest.mark.parametrize("shape", [(30, 4), (5, 4), (4, 4), (6, 40), (2, 3), (1, 3)])
def test_gaussian_cloud_has_exactly_the_sample_covariance(shape):
    points = np.random.default_rng(4).standard_exponential(shape) + 5
    cloud = gaussian_cloud(points, seed=1)
    deviations = points - points.mean(axis=0)
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(cloud.T @ cloud, deviations.T @ deviations, atol=1e-9)
    assert (shape[0] == 1) == np.allclose(cloud, deviations)
    np.testing.assert_array_equal(cloud, gaussian_cloud(points, seed=1))


def test_a_gaussian_sample_of_many_dimensions_is_like_its_gaussian_cloud():
    points = np.random.default_rng(7).standard_normal((20, 100, 300))
    clouds = np.stack([gaussian_cloud(cloud, seed=seed) for seed, cloud in enumerate(points)])
    ratio = two_nn(points).mean() / two_nn(clouds).mean()
    assert abs(ratio - 1) < 0.08
    # Clusters are not, and their cloud has none: its fourth moments are those of a Gaussian.
    clusters = np.sign(points[0, :, :1]) * np.ones((1, 3)) + 0.01 * points[0, :, :3]
    cloud = gaussian_cloud(clusters)[:, 0]
    assert np.abs(clusters[:, 0]).min() > 0.9
    assert np.abs(cloud).min() < 0.2
    assert abs((cloud**4).mean() / (cloud**2).mean() ** 2 - 3) < 1


def test_a_curved_cloud_lies_below_its_gaussian_null():
    angle = np.random.default_rng(5).uniform(0, 2 * np.pi, (900, 1, 1))
    orders = np.arange(1, 6)
    curve = np.concatenate([np.cos(orders * angle), np.sin(orders * angle)], axis=2)
    with pytest.warns(UndefinedWarning, match="path"):  # one site makes no path
        result = intrinsic_dimension(Recording.from_array(curve), n_parts=(1,)).isel(
            site=0, fraction=0
        )
    assert abs(result["participation_ratio_corrected"] - 10) < 0.5
    assert abs(result["two_nn"] - 1) < 0.15
    assert result["gaussian_two_nn"] > 5


def test_a_high_dimensional_walk_equals_its_right_angled_double():
    walk = synthetic.random_walk(n_samples=20, n_sites=40, n_units=2000)
    result = intrinsic_dimension(walk, n_parts=(1,))
    double = result["right_angled_path_participation_ratio"].mean()
    np.testing.assert_allclose(result["path_participation_ratio"].mean(), double, rtol=0.05)
    with pytest.warns(UndefinedWarning, match="20 of 20 values of path_two_nn"):
        straight = intrinsic_dimension(synthetic.line(n_samples=20, n_sites=40), n_parts=(1,))
    np.testing.assert_allclose(straight["path_participation_ratio"], 1)


def test_samples_that_coincide_are_counted_and_left_out():
    values = np.random.default_rng(6).standard_normal((40, 12, 4))
    values[:, 0] = values[np.arange(40) % 7, 0]
    values[:, 1] = values[np.arange(40) % 15, 1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = intrinsic_dimension(Recording.from_array(values), n_parts=(1, 2))
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__
    assert "3 of 24 values of two_nn" in str(caught[0].message)
    assert result["n_distinct"].values.tolist() == [7, 15] + [40] * 10
    assert np.isnan(result["two_nn"][:3]).values.tolist() == [[1, 1], [0, 1], [0, 0]]
    # Repeats weigh in the participation ratio, which is of the samples as they come.
    np.testing.assert_allclose(result["participation_ratio"][0], by_eigenvalues(values[:, 0]))


@pytest.mark.parametrize("shape", [(12, 7, 16), (1, 1, 1), (2, 3, 2)])
def test_small_recordings_get_nan_and_one_warning(shape):
    values = np.random.default_rng(7).standard_normal(shape)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = intrinsic_dimension(Recording.from_array(values))
        for drawing in draw_dimension(result):
            drawing.plot()
            drawing.figure()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.isnan(result["path_two_nn"]).all()


def test_same_seed_same_bits_and_nothing_changed():
    recording = synthetic.independent_states(n_samples=50, n_sites=11, n_units=4)
    before = recording.values.copy()
    first, again, other = (
        intrinsic_dimension(recording, n_parts=(1, 2), seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not np.array_equal(first["gaussian_two_nn"], other["gaussian_two_nn"])
    np.testing.assert_array_equal(first["participation_ratio"], other["participation_ratio"])
    np.testing.assert_array_equal(recording.values, before)


def test_a_recording_on_disk_gives_the_same(tmp_path):
    recording = synthetic.random_walk(n_samples=30, n_sites=12, n_units=6)
    recording.save(tmp_path / "recording.zarr")
    result = intrinsic_dimension(open_recording(tmp_path / "recording.zarr"), n_parts=(1, 2))
    for name, array in intrinsic_dimension(recording, n_parts=(1, 2)).data_vars.items():
        np.testing.assert_allclose(result[name], array, rtol=1e-12)


def test_options_are_checked():
    recording = synthetic.random_walk(n_samples=30, n_sites=12)
    with pytest.raises(InputError, match="discard"):
        intrinsic_dimension(recording, discard=2.0)
    with pytest.raises(InputError, match="n_parts"):
        intrinsic_dimension(recording, n_parts=(0,))


def test_attrs_and_drawings():
    values = np.random.default_rng(8).standard_normal((100, 11, 4)).cumsum(axis=1)
    result = intrinsic_dimension(Recording.from_array(values, sites=transformer_labels(5)))
    assert "finite number of samples" in result["participation_ratio"].attrs["bias"]
    assert "unbiased" in result["participation_ratio_corrected"].attrs["bias"]
    assert all(result[name].attrs["units"] for name in result.data_vars)
    assert result.attrs["measure"] == "dimension.intrinsic_dimension"
    drawings = draw_dimension(result)
    ratio, local, *paths = drawings
    np.testing.assert_array_equal(ratio.series[0].y, result["participation_ratio_corrected"])
    np.testing.assert_array_equal(local.series[0].y, result["two_nn"].sel(fraction=1))
    assert [line.role for line in local.series] == ["model"] * 4 + ["null"]
    assert [line.hidden for line in local.series] == [False] * 3 + [True, False]
    assert [group.role for group in paths[0].groups] == ["model", "null"]
    for drawing in drawings:
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.plot().get_xlabel() == drawing.x_label
        assert drawing.figure().data
