"""The rotate-and-stretch law: recovery of simulated values, identities, and a walk as control."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import TruncatedSVD

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.dynamics.rotate_and_stretch import (
    published_growth,
    rotate_and_stretch,
)
from transformer_dynamics.measures.dynamics.singular_bases import (
    SingularBasis,
    aligned,
    extrapolated,
    singular_bases,
    singular_basis,
)
from transformer_dynamics.measures.dynamics.stretch.growth import growth_fit, layer_times
from transformer_dynamics.measures.dynamics.stretch.law import LawOnPairs
from transformer_dynamics.measures.dynamics.stretch.residuals import isotropic_references
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.plots.dynamics.rotate_and_stretch import draw_rotate_and_stretch
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law

RNG = np.random.default_rng(0)
ALPHA, GROWTH = 0.64, 0.18


def sites_of(values):
    return SiteStates(values.shape, values.dtype, values)


@pytest.fixture(scope="module")
def simulated():
    drawn = (
        rotate_and_stretch_law(alpha=ALPHA, growth=GROWTH, n_samples=800, n_sites=10, seed=seed)
        for seed in range(6)
    )
    return [rotate_and_stretch(recording, lags=(1, 4)) for recording in drawn]


def test_alpha_and_lambda_are_recovered_within_their_intervals(simulated):
    for fit, at_least in (("published", 5), ("held_out", 4)):
        hits = np.zeros(2, dtype=int)
        for result in simulated:
            one = result.sel(fit=fit, average="arithmetic")
            for place, (name, truth) in enumerate((("alpha", ALPHA), ("lambda", GROWTH))):
                low, high = one[f"{name}_interval"].values
                assert low < float(one[name]) < high
                hits[place] += low <= truth <= high
        assert (hits >= at_least).all(), (fit, hits)


def test_the_published_fit_alone_is_that_of_all_fits():
    recording = rotate_and_stretch_law(n_samples=40, n_sites=8, seed=0)
    whole = rotate_and_stretch(recording, lags=(1, 3, 20)).sel(fit="published", drop=True)
    alone = published_growth(recording, lags=(1, 3, 20))
    for name, variable in alone.data_vars.items():
        np.testing.assert_array_equal(variable.values, whole[name].values, err_msg=name)
    assert alone["time"].attrs == whole["time"].attrs


def test_the_residual_depends_on_the_later_site_alone_and_is_isotropic_and_gaussian(simulated):
    result = simulated[0].sel(fit="published")
    one = result.sel(average="arithmetic")
    np.testing.assert_allclose(one["alpha_by_lag"], ALPHA, rtol=0.08)
    np.testing.assert_allclose(one["lambda_by_lag"], GROWTH, atol=0.02)
    assert float(one["line_share"]) > 0.99
    assert abs(float(result["excess_kurtosis"].mean())) < 0.05
    assert float(result["normal_distance"].max()) < 0.02
    isotropic = float(result["isotropic_participation"])
    assert float(result["participation"].mean()) == pytest.approx(isotropic, rel=0.02)
    assert float(result["largest_eigenvalue"].max()) < 1.15 * float(result["isotropic_eigenvalue"])


def test_components_correlate_and_are_explained_as_the_simulation_says(simulated):
    result = simulated[0]
    spread = (40 * np.sqrt(ALPHA) * 0.7 ** np.arange(8)) ** 2
    expected = spread / (spread + ALPHA / 2)
    found = result["agreement"].sel(fit="published", lag=1).values[:8]
    np.testing.assert_allclose(found, expected, atol=0.01)
    moments = spread + ALPHA / 2
    share = (moments * (2 * expected - 1)).sum() / moments.sum()
    law = result["explained_square"].sel(fit="held_out", predictor="law")
    np.testing.assert_allclose(law.sel(lag=4).values[4:], share, atol=2e-3)
    # Turning by 0.1 per site, standing still loses: it keeps cos of the angle.
    scaled = result["explained_square"].sel(fit="held_out", predictor="scaled", lag=4).values[4:]
    np.testing.assert_allclose(scaled, np.cos(0.4) ** 2, atol=0.02)


def test_in_sample_at_full_rank_the_share_is_that_of_the_cosines():
    """sum sigma^2 (2 c - 1) / sum sigma^2, on states without any structure."""
    values = RNG.standard_normal((30, 2, 6))
    everyone = np.ones(30, dtype=bool)
    bases = tuple(singular_bases(np.moveaxis(values, 1, 0), 6))
    law = LawOnPairs(sites_of(values), everyone, everyone, np.ones((2, 30), dtype=np.uint8))
    found = law.pair(0, 1, bases)
    squares = bases[1].values ** 2
    expected = (squares * (2 * found.agreement - 1)).sum() / squares.sum()
    assert found.square[0] == pytest.approx(expected)
    # The residual cancels against the prediction: the law has all the energy already.
    predicted = extrapolated(values[:, 0], *bases)
    residual = values[:, 1] - predicted
    assert (residual * predicted).sum() == pytest.approx(-(residual**2).sum() / 2)


def test_unrelated_states_leave_twice_their_own_variance_and_its_growth():
    """An exponential residual without any law: independent states whose size grows."""
    sizes = np.exp(0.15 * np.arange(14))[:, None]
    values = RNG.standard_normal((300, 14, 10)) * sizes
    result = rotate_and_stretch(Recording.from_array(values)).sel(fit="held_out")
    one = result.sel(average="arithmetic")
    assert float(one["alpha"]) == pytest.approx(2.0, rel=0.05)
    assert float(one["lambda"]) == pytest.approx(0.3, abs=0.01)
    assert float(one["lambda"]) == pytest.approx(float(one["state_lambda"]), abs=0.01)
    assert float(one["line_share"]) > 0.97
    np.testing.assert_allclose(
        result["explained_variance"].sel(predictor="law").mean("site"), -1.0, atol=0.1
    )


def test_a_walk_is_predicted_best_by_standing_still():
    walk = synthetic.random_walk(n_samples=200, n_sites=20, n_units=12, seed=2)
    result = rotate_and_stretch(walk)
    for fit in result["fit"].values:
        shares = result["explained_variance"].sel(fit=fit).mean("site")
        for lag in (1, 4, 16):
            law, still, scaled, mean = shares.sel(lag=lag).values
            assert law < scaled
            assert scaled >= still - 0.02
            assert mean == pytest.approx(0.0, abs=0.02)


def test_bases_are_those_of_a_singular_value_decomposition():
    for shape in ((40, 7), (6, 20)):
        states = RNG.standard_normal(shape) * np.linspace(3, 1, shape[1])
        found = singular_basis(states, 4)
        _, values, vectors = np.linalg.svd(states, full_matrices=False)
        np.testing.assert_allclose(found.values, values[:4] / np.sqrt(shape[0]), rtol=1e-9)
        np.testing.assert_allclose(np.abs((found.vectors.T * vectors[:4]).sum(1)), 1, rtol=1e-9)
        oracle = TruncatedSVD(4, algorithm="arpack", random_state=0).fit(states)
        np.testing.assert_allclose(found.values * np.sqrt(shape[0]), oracle.singular_values_)


def test_signs_follow_from_site_to_site_and_vectors_where_values_cross():
    """Two directions that stay while their singular values cross."""
    first = SingularBasis(np.eye(3)[:, :2], np.array([2.0, 1.0]))
    crossed = SingularBasis(-np.eye(3)[:, [1, 0]], np.array([2.5, 2.0]))
    by_order = list(aligned([first, crossed], "order"))[1]
    np.testing.assert_array_equal(by_order.values, crossed.values)
    followed = list(aligned([first, crossed], "followed"))[1]
    np.testing.assert_array_equal(followed.vectors, first.vectors)
    np.testing.assert_array_equal(followed.values, [2.0, 2.5])
    flipped = SingularBasis(-first.vectors, first.values)
    turned = list(aligned([first, flipped], "order"))[1]
    np.testing.assert_array_equal(turned.vectors, first.vectors)


def test_a_site_with_fewer_directions_does_not_limit_the_others():
    values = RNG.standard_normal((20, 3, 6))
    values[:, 0] = values[:2, 0].repeat(10, axis=0)
    for matching in ("order", "followed"):
        bases = list(singular_bases(np.moveaxis(values, 1, 0), 6, matching=matching))
        assert [basis.values.size for basis in bases] == [2, 6, 6]
        for basis in bases:
            product = basis.vectors.T @ basis.vectors
            np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-9)
    assert extrapolated(values[:, 0], *bases[:2]).shape == (20, 6)


def test_shape_of_a_residual_against_scipy():
    """The first site is nothing, so that the residual is the second site itself."""
    values = np.zeros((500, 2, 9))
    values[:, 1] = RNG.laplace(size=(500, 9)) * np.arange(1, 10)
    values[:, 0, 0] = 1e-3 * RNG.standard_normal(500)
    everyone = np.ones(500, dtype=bool)
    bases = tuple(singular_bases(np.moveaxis(values, 1, 0), 1))
    law = LawOnPairs(sites_of(values), everyone, everyone, np.ones((1, 500), dtype=np.uint8))
    found = law.pair(0, 1, bases)
    residual = values[:, 1] - extrapolated(values[:, 0], *bases)
    kurtosis, distance, participation, largest = found.shape
    assert kurtosis == pytest.approx(stats.kurtosis(residual, bias=False).mean())
    standard = stats.zscore(residual, axis=0).ravel()
    assert distance == pytest.approx(stats.kstest(standard, "norm").statistic)
    eigenvalues = np.linalg.eigvalsh(np.cov(residual.T))
    assert participation == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum() / 9)
    assert largest == pytest.approx(eigenvalues[-1] / eigenvalues.mean(), rel=1e-5)
    variance = residual.var(axis=0, ddof=1)
    np.testing.assert_allclose(
        found.log_variance, [np.log(variance).mean(), np.log(variance.mean())], rtol=1e-9
    )


def test_isotropic_references_are_what_normal_noise_gives():
    drawn = RNG.standard_normal((60, 40, 25))
    eigenvalues = np.linalg.eigvalsh([np.cov(noise.T) for noise in drawn])
    participation, edge = isotropic_references(40, 25)
    found = (eigenvalues.sum(1) ** 2 / (eigenvalues**2).sum(1)).mean() / 25
    assert found == pytest.approx(participation, rel=0.01)
    assert (eigenvalues[:, -1] / eigenvalues.mean(1)).mean() == pytest.approx(edge, rel=0.12)


def test_time_is_counted_in_layers_where_there_are_layers():
    sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    recording = Recording.from_array(np.zeros((1, 5, 2)), sites=sites)
    assert layer_times(recording).tolist() == [0, 0.5, 1, 1.5, 2]
    assert layer_times(recording.sublayers).tolist() == [0, 0.5, 1, 1.5]
    parallel = Recording.from_array(
        np.zeros((1, 3, 2)), sites=["0.pre_attn", "1.pre_attn", "final"]
    )
    assert layer_times(parallel).tolist() == [0, 1, 2]
    plain = Recording.from_array(np.zeros((1, 3, 2)))
    assert layer_times(plain).tolist() == [0, 1, 2]


def test_a_line_through_logarithms_is_that_of_polyfit():
    times, logs = np.repeat(np.arange(6.0), 2), RNG.standard_normal(12)
    alpha, growth, share = growth_fit(times, logs)
    slope, constant = np.polyfit(times, logs, 1)
    assert (float(alpha), float(growth)) == pytest.approx((np.exp(constant), slope))
    assert float(share) == pytest.approx(np.corrcoef(times, logs)[0, 1] ** 2)


def test_small_and_degenerate_recordings():
    tiny = synthetic.random_walk(n_samples=12, n_sites=7, n_units=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = rotate_and_stretch(tiny)
    assert result["lag"].values.tolist() == [1, 2, 4]
    assert all(drawing.figure() for drawing in draw_rotate_and_stretch(result))
    still = Recording.from_array(np.ones((8, 5, 3)))
    with pytest.warns(UndefinedWarning, match="leaves no residual") as caught:
        result = rotate_and_stretch(still)
    assert len(caught) == 1
    assert np.isnan(result["alpha"]).all()
    nothing = Recording.from_array(np.zeros((8, 5, 3)))
    with pytest.warns(UndefinedWarning, match="leaves no residual"):
        rotate_and_stretch(nothing)


def test_the_same_seed_gives_the_same_bits():
    walk = synthetic.random_walk(n_samples=30, n_sites=6, n_units=40, seed=3)
    assert rotate_and_stretch(walk, seed=1).identical(rotate_and_stretch(walk, seed=1))
    other = rotate_and_stretch(walk, seed=2)["alpha"].sel(fit="held_out")
    assert not rotate_and_stretch(walk, seed=1)["alpha"].sel(fit="held_out").equals(other)


@pytest.mark.parametrize("bad", [{"lags": (0,)}, {"lags": ()}, {"n_components": 0}])
def test_errors_name_the_call_that_works(bad):
    with pytest.raises(InputError, match=r"lags=\(1, 2, 4\)"):
        rotate_and_stretch(synthetic.random_walk(n_samples=8), **bad)


def test_figures_say_what_they_show_and_what_they_need(simulated):
    for drawing in draw_rotate_and_stretch(simulated[0]):
        assert drawing.caption
        assert drawing.interpretation
        for label in (drawing.x_label, drawing.y_label):
            assert label.endswith(")")
        assert drawing.plot().get_title()
