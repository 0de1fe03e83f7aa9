import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.measures.dimension.pca_per_site import pca_per_site
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.plots.dimension.pca import draw_pca
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute


def states(n_samples, n_sites, n_units, seed=0):
    """Correlated states with a mean path, spectrum well separated."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_units, n_units)) * 0.8 ** np.arange(n_units)
    path = 3 * rng.standard_normal((n_sites, n_units)).cumsum(axis=0)
    noise = rng.standard_normal((n_samples, n_sites, n_units))
    return (path + noise @ mixing.T).astype(np.float32)


def measured(values, **kwargs):
    return pca(Recording.from_array(np.asarray(values)), **kwargs)


def fitted(rows, n_components):
    return PCA(n_components, svd_solver="full").fit(rows.astype(np.float64))


@pytest.mark.parametrize("shape", [(20, 7, 12), (3, 4, 40), (1, 9, 5), (30, 1, 6)])
def test_agrees_with_scikit_learn(shape):
    values = states(*shape)
    rows = values.reshape(-1, shape[2])
    oracle = fitted(rows, 3)
    with warnings.catch_warnings():
        # One sample alone has no variance about its own site's mean.
        warnings.simplefilter("ignore", UndefinedWarning)
        result = measured(values)
    signs = np.sign(np.sum(result["loading"].values * oracle.components_, axis=1, keepdims=True))
    np.testing.assert_allclose(result["explained_variance_ratio"], oracle.explained_variance_ratio_)
    np.testing.assert_allclose(result["loading"], signs * oracle.components_, atol=1e-8)
    np.testing.assert_allclose(result["mean"], oracle.mean_, rtol=1e-10, atol=1e-12)
    scores = (oracle.transform(rows.astype(np.float64)) * signs[:, 0]).reshape(*shape[:2], 3)
    np.testing.assert_allclose(result["score"], scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result["mean_score"], scores.mean(axis=0), rtol=1e-5, atol=1e-5)
    assert result["score"].dtype == np.float32


def test_kernel_agrees_with_scikit_learn_and_projects():
    values = states(15, 6, 10)
    rows = values.reshape(-1, 10).astype(np.float64)
    oracle = fitted(rows, 4)
    axes = principal_axes(values, 4)
    n_states = len(rows)
    np.testing.assert_allclose(
        axes.variance * n_states / (n_states - 1), oracle.explained_variance_, rtol=1e-10
    )
    np.testing.assert_allclose(axes.total_variance, rows.var(axis=0).sum())
    scores = np.abs(oracle.transform(rows)).reshape(15, 6, 4)
    np.testing.assert_allclose(np.abs(axes.project(values)), scores, atol=1e-8)
    np.testing.assert_allclose(np.abs(axes.project(values[:, 2])), scores[:, 2], atol=1e-8)
    np.testing.assert_allclose(np.abs(axes.project(values[3, 2])), scores[3, 2], atol=1e-8)
    assert axes.project(values[:, :0]).shape == (15, 0, 4)


def test_projection_in_blocks_is_the_whole_projection():
    values = states(60, 50, 4)
    axes = principal_axes(values, 2)
    expected = (values.astype(np.float64) - axes.mean) @ axes.components.T
    np.testing.assert_allclose(axes.project(values), expected, rtol=1e-12, atol=1e-12)


def test_plane_in_many_dimensions_is_found_whole():
    rng = np.random.default_rng(2)
    basis = ortho_group.rvs(30, random_state=2)[:2]
    plane = rng.standard_normal((40, 8, 2)) * [3.0, 1.0]
    result = measured(plane @ basis + 7.0, n_components=2)
    np.testing.assert_allclose(result["explained_variance_ratio"].sum(), 1)
    np.testing.assert_allclose(result["explained_about_global_mean"], 1)
    np.testing.assert_allclose(result["explained_about_site_mean"], 1)
    overlap = np.abs(result["loading"].values @ basis.T)
    np.testing.assert_allclose(overlap, np.eye(2), atol=0.2)
    np.testing.assert_allclose(np.linalg.norm(overlap, axis=1), 1)


def test_one_high_dimensional_random_walk():
    ratios = []
    for seed in range(16):
        steps = np.random.default_rng(seed).standard_normal((1, 61, 400))
        axes = principal_axes(steps.cumsum(axis=1), 3)
        ratios.append(axes.variance / axes.total_variance)
    # The centered walk's covariance over its 61 points has eigenvalues 1/(4 sin^2(k pi / 122)).
    eigenvalues = 1 / (4 * np.sin(np.arange(1, 61) * np.pi / 122) ** 2)
    expected = eigenvalues[:3] / eigenvalues.sum()
    np.testing.assert_allclose(expected, [0.61, 0.15, 0.07], atol=0.005)
    np.testing.assert_allclose(np.mean(ratios, axis=0), expected, atol=0.012)


def test_the_two_denominators_can_be_opposites():
    # The path runs along the first unit, the samples differ along the second only.
    values = np.zeros((2, 3, 4))
    values[:, :, 0] = [-10.0, 0.0, 10.0]
    values[:, :, 1] = [[1.0], [-1.0]]
    result = measured(values, n_components=1)
    np.testing.assert_allclose(result["explained_about_site_mean"], 0, atol=1e-20)
    np.testing.assert_allclose(
        result["explained_about_global_mean"], [100 / 101, 0, 100 / 101], atol=1e-20
    )
    both = measured(values, n_components=2)
    np.testing.assert_allclose(both["explained_about_site_mean"], 1)


def test_shares_per_site_follow_their_formulas():
    values = states(25, 5, 9).astype(np.float64)
    result = measured(values, n_components=2)
    loading, mean = result["loading"].values, result["mean"].values
    for site in range(5):
        for name, center in (
            ("explained_about_global_mean", mean),
            ("explained_about_site_mean", values[:, site].mean(axis=0)),
        ):
            deviation = values[:, site] - center
            share = ((deviation @ loading.T) ** 2).sum() / (deviation**2).sum()
            np.testing.assert_allclose(result[name][site], share)
    gap = result["explained_about_global_mean"] - result["explained_about_site_mean"]
    assert float(np.abs(gap).max()) > 0.05


def test_all_components_explain_everything():
    result = measured(states(10, 4, 5), n_components=5)
    np.testing.assert_allclose(result["explained_variance_ratio"].sum(), 1)
    np.testing.assert_allclose(result["explained_about_global_mean"], 1)
    np.testing.assert_allclose(result["explained_about_site_mean"], 1)


def test_the_largest_loading_is_positive():
    values = states(20, 5, 8)
    for array in (values, -values):
        loading = principal_axes(array, 8).components
        largest = np.abs(loading).argmax(axis=1)
        assert (loading[np.arange(8), largest] > 0).all()
    np.testing.assert_allclose(
        principal_axes(values, 8).components, principal_axes(-values, 8).components, atol=1e-7
    )


def test_a_given_center_takes_the_place_of_the_mean():
    values = states(20, 5, 6).astype(np.float64)
    center = values[:, 0].mean(axis=0)
    axes = principal_axes(values, 2, center=center)
    rows = values.reshape(-1, 6) - center
    eigenvalues = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    np.testing.assert_allclose(axes.variance, eigenvalues[:-3:-1])
    np.testing.assert_allclose(axes.total_variance, (rows**2).sum() / len(rows))
    np.testing.assert_allclose(axes.project(center), 0, atol=1e-12)


@given(st.integers(0, 2**16), st.floats(0.125, 8), st.floats(-100, 100))
@settings(max_examples=30)
def test_rotation_scale_and_shift_change_no_share(seed, scale, shift):
    values = states(6, 4, 5, seed).astype(np.float64)
    rotation = ortho_group.rvs(5, random_state=seed)
    result, moved = measured(values), measured(scale * values @ rotation + shift)
    for name in (
        "explained_variance_ratio",
        "explained_about_global_mean",
        "explained_about_site_mean",
    ):
        np.testing.assert_allclose(moved[name], result[name], rtol=1e-6, atol=1e-9)
        assert ((result[name] >= 0) & (result[name] <= 1)).all()
    ratio = result["explained_variance_ratio"].values
    assert (np.diff(ratio) <= 1e-12).all()


def massive_states():
    values = np.random.default_rng(3).standard_normal((50, 6, 20)).astype(np.float32)
    values[:, :, 4] *= 100
    values[:, :, 11] *= 30
    values[:, :, 7] *= 5
    return values


def test_top_units_and_massive_units_are_reported():
    values = massive_states()
    result = measured(values)
    variance = values.astype(np.float64).var(axis=(0, 1))
    assert result["top_unit"].values.tolist() == [4, 11, 7]
    expected = np.cumsum(variance[[4, 11, 7]]) / variance.sum()
    np.testing.assert_allclose(result["top_unit_share"], expected)
    assert attribute(result, "massive_unit") == [4, 11]
    assert abs(result["loading"].values[0, 4]) > 0.99


def test_standardizing_massive_units_is_what_it_says():
    values = massive_states()
    plain = measured(values)
    result = measured(values, standardize_massive=True)
    rows = values.reshape(-1, 20).astype(np.float64)
    variance = rows.var(axis=0)
    for unit in (4, 11):
        scale = np.sqrt(np.median(variance) / variance[unit])
        rows[:, unit] = rows[:, unit].mean() + (rows[:, unit] - rows[:, unit].mean()) * scale
    oracle = fitted(rows, 3)
    signs = np.sign(np.sum(result["loading"].values * oracle.components_, axis=1))
    np.testing.assert_allclose(result["explained_variance_ratio"], oracle.explained_variance_ratio_)
    np.testing.assert_allclose(
        result["score"].values.reshape(-1, 3), oracle.transform(rows) * signs, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(result["top_unit_share"], plain["top_unit_share"])
    assert attribute(result, "massive_unit") == [4, 11]
    assert attribute(result, "parameters")["standardize_massive"] is True
    # What stands out now is the unit that is large without being massive.
    assert abs(result["loading"].values[0, 7]) > 0.95
    sites = rows.reshape(50, 6, 20)
    deviation = sites - sites.mean(axis=0)
    share = ((deviation @ oracle.components_.T) ** 2).sum((0, 2)) / (deviation**2).sum((0, 2))
    np.testing.assert_allclose(result["explained_about_site_mean"], share)


def test_without_massive_units_standardizing_changes_nothing():
    values = states(20, 5, 8)
    plain, standardized = measured(values), measured(values, standardize_massive=True)
    assert attribute(plain, "massive_unit") == []
    for name in plain.data_vars:
        np.testing.assert_array_equal(plain[name], standardized[name])


def test_massive_is_against_the_units_that_vary():
    values = massive_states()
    values[:, :, :4] = values[:, :, 12:] = 3.0
    assert attribute(measured(values), "massive_unit") == [4, 11]


def caught_warnings(function, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, caught


def test_a_site_where_all_samples_agree_is_undefined():
    values = states(9, 4, 5)
    values[:, 1] = np.float32(0.1)
    recording = Recording.from_array(values)
    result, caught = caught_warnings(pca, recording)
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert "(NaN): 1 of 4 values of explained_about_site_mean," in str(caught[0].message)
    assert np.isnan(result["explained_about_site_mean"]).values.tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert np.isfinite(result["explained_about_global_mean"]).all()
    per_site, caught = caught_warnings(pca_per_site, recording, n_components=2)
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert np.isnan(per_site["explained_variance_ratio"]).all("component").values.tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert per_site["total_variance"][1] == 0


def test_a_site_at_the_global_mean_is_undefined_about_it():
    # The middle site is the mean of the others, and of itself, but for rounding.
    rng = np.random.default_rng(5)
    values = rng.standard_normal((3, 3, 4))
    values[:, 1] = (values[:, 0] + values[:, 2]).sum(axis=0) / 6
    result, caught = caught_warnings(measured, values, n_components=1)
    assert np.any(result["mean"].values != values[0, 1])
    assert [warning.category for warning in caught] == [UndefinedWarning]
    for name in ("explained_about_global_mean", "explained_about_site_mean"):
        assert np.isnan(result[name]).values.tolist() == [False, True, False]


def test_a_constant_recording_is_undefined_throughout():
    values = np.full((7, 3, 4), 0.1)
    result, caught = caught_warnings(measured, values)
    assert [warning.category for warning in caught] == [UndefinedWarning]
    for name in (
        "explained_variance_ratio",
        "explained_about_global_mean",
        "explained_about_site_mean",
        "top_unit_share",
    ):
        assert np.isnan(result[name]).all()
    np.testing.assert_array_equal(result["mean"], 0.1)
    assert (result["score"] == 0).all()


@pytest.mark.parametrize("measure", [pca, pca_per_site])
def test_the_warning_points_at_the_caller(measure):
    recording = Recording.from_array(np.ones((3, 3, 3)))
    with pytest.warns(UndefinedWarning, match="do not vary") as caught:
        measure(recording)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("measure", "shape", "n_components", "most"),
    [
        (pca, (2, 3, 20), 7, 6),
        (pca, (9, 3, 4), 5, 4),
        (pca, (9, 3, 4), 0, 4),
        (pca_per_site, (2, 9, 20), 3, 2),
        (pca_per_site, (9, 3, 4), 5, 4),
        (pca_per_site, (9, 3, 4), -1, 4),
    ],
)
def test_impossible_numbers_of_components_are_refused(measure, shape, n_components, most):
    recording = Recording.from_array(states(*shape))
    with pytest.raises(ValueError, match=rf"n_components={n_components}.* 1\s+to {most} "):
        measure(recording, n_components=n_components)
    if measure is pca:
        with pytest.raises(ValueError, match=f"n_components={n_components}"):
            principal_axes(recording.values, n_components)


@pytest.mark.parametrize(
    ("values", "center", "message"),
    [
        (np.ones((3, 4)), None, r"\(sample, site, unit\)"),
        (np.ones((3, 2, 4)), np.ones(3), "center of shape"),
        (np.full((3, 2, 4), np.nan), None, "not finite"),
        (np.full((3, 2, 4), np.inf), np.ones(4), "not finite"),
        (np.ones((3, 2, 4)), np.full(4, np.nan), "not finite"),
    ],
)
def test_what_the_kernel_refuses(values, center, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            principal_axes(values, 1, center=center)


@pytest.mark.parametrize("measure", [pca, pca_per_site])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_states_that_are_not_finite_are_refused(measure, bad):
    values = states(5, 4, 3)
    values[2, 1, 0] = bad
    recording = Recording.from_array(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"not finite.*recording\.isel"):
            measure(recording)


@pytest.mark.parametrize("shape", [(40, 4, 7), (6, 4, 30)], ids=["many samples", "many units"])
def test_per_site_agrees_with_scikit_learn(shape):
    values = states(*shape)
    result = pca_per_site(Recording.from_array(values), n_components=4)
    for site in range(shape[1]):
        oracle = fitted(values[:, site], 4)
        np.testing.assert_allclose(
            result["explained_variance_ratio"][site], oracle.explained_variance_ratio_, rtol=1e-8
        )
        np.testing.assert_allclose(
            result["total_variance"][site], values[:, site].astype(np.float64).var(axis=0).sum()
        )


def test_per_site_sees_no_mean_path():
    values = states(30, 4, 6)
    shift = 1000 * np.arange(4)[:, np.newaxis].astype(np.float32)
    plain = pca_per_site(Recording.from_array(values))
    shifted = pca_per_site(Recording.from_array((values + shift).astype(np.float64)))
    np.testing.assert_allclose(
        plain["explained_variance_ratio"], shifted["explained_variance_ratio"], atol=1e-4
    )


def test_the_recording_is_not_changed():
    values = states(8, 4, 5).astype(np.float64)
    before = values.copy()
    recording = Recording.from_array(values)
    pca(recording, standardize_massive=True)
    pca_per_site(recording)
    principal_axes(values, 2).project(values)
    np.testing.assert_array_equal(values, before)


def test_coordinates_and_attrs():
    recording = Recording.from_array(states(8, 5, 6), sites=transformer_labels(2))
    result = pca(recording, n_components=2)
    assert result["score"].dims == ("sample", "site", "component")
    assert result["component"].values.tolist() == [1, 2]
    assert result["top"].values.tolist() == [1, 2, 3]
    assert result["mean_score"].sel(site="final", component=1).ndim == 0
    assert result["score"].attrs["units"] == "stream units"
    assert "m: its mean" in result["explained_about_site_mean"].attrs["definition"]
    assert result.attrs["measure"] == "dimension.pca"
    assert pca_per_site(recording).attrs["measure"] == "dimension.pca_per_site"


@pytest.mark.parametrize(("n_components", "n_drawings"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_drawings(n_components, n_drawings):
    result = measured(states(12, 5, 6), n_components=n_components)
    drawings = draw_pca(result)
    assert len(drawings) == n_drawings
    for drawing in drawings:
        drawing.plot()
        assert drawing.figure().data
    share_lines = drawings[-1]
    for line, name in zip(share_lines.series, ("global", "site"), strict=True):
        np.testing.assert_array_equal(line.y, result[f"explained_about_{name}_mean"])
    if n_components >= 2:
        plane = drawings[0]
        share = 100 * float(result["explained_variance_ratio"][0])
        assert plane.x_label == f"PC1 (stream units; {share:.1f} % of pooled variance)"
        assert plane.z_label is None
        np.testing.assert_array_equal(plane.paths[0].points, result["mean_score"])
    if n_components >= 3:
        assert drawings[1].z_label.startswith("PC3 (stream units; ")


def test_drawing_per_site_has_a_line_for_each_component():
    result = pca_per_site(Recording.from_array(states(12, 5, 6)), n_components=2)
    lines = result.td.drawing("explained_variance_ratio")
    assert [line.name for line in lines.series] == ["component 1", "component 2"]
    np.testing.assert_array_equal(lines.series[1].y, result["explained_variance_ratio"][:, 1])
    assert lines.figure().data
