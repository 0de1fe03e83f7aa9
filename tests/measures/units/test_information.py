import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import ndtri
from scipy.stats import gaussian_kde, rankdata
from sklearn.feature_selection import mutual_info_regression

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.units.gaussian_information import (
    copula_information,
    gaussian_information,
    mean_copula_information,
)
from transformer_dynamics.measures.units.information import information_between, mutual_information
from transformer_dynamics.measures.units.weighted_correlation import adjacent_correlation
from transformer_dynamics.numerics.arrays import defined_mean
from transformer_dynamics.numerics.ranks import normal_scores
from transformer_dynamics.plots.units.information import draw_mutual_information
from transformer_dynamics.recording.moments.moments import Moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

ESTIMATORS = ("gaussian", "copula", "ksg", "kde")
KNOWN = {0.5: 0.144, 0.8: 0.511, 0.9: 0.830, 0.95: 1.164}


def bivariate_normal(r, n_samples, n_units, seed=0):
    """Recording of two sites, `(sample, site, unit)`, whose units have correlation r."""
    rng = np.random.default_rng(seed)
    first, noise = rng.standard_normal((2, n_samples, n_units))
    return Recording.from_array(np.stack([first, r * first + np.sqrt(1 - r * r) * noise], axis=1))


def random_walk(n_samples=200, n_sites=5, n_units=6, seed=0):
    steps = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units))
    return steps.cumsum(axis=1).astype(np.float32)


def caught(call):
    """The result of a call and the warnings it gave."""
    with warnings.catch_warnings(record=True) as given_warnings:
        warnings.simplefilter("always")
        result = call()
    return result, given_warnings


def assert_one_undefined_warning(given_warnings):
    assert [warning.category for warning in given_warnings] == [UndefinedWarning]
    assert given_warnings[0].filename == __file__


@pytest.mark.parametrize(("r", "known"), KNOWN.items())
def test_the_gaussian_formula(r, known):
    found = gaussian_information(np.array([[r], [-r]]))
    assert found.shape == (2, 1)
    np.testing.assert_allclose(found, known, atol=5e-4)
    np.testing.assert_allclose(found, -0.5 * np.log(1 - r * r), rtol=1e-12)


def test_the_gaussian_formula_at_its_edges():
    found = gaussian_information(np.array([0.0, 1.0, -1.0, np.nan, 1 - 1e-14, 1e-10]))
    np.testing.assert_array_equal(found[:4], [0, np.inf, np.inf, np.nan])
    np.testing.assert_allclose(found[4:], [-0.5 * np.log(2e-14), 5e-21], rtol=1e-3)
    with pytest.raises(ValueError, match=r"correlation of 1\.2.*clip"):
        gaussian_information(np.array([0.5, -1.2]))


@pytest.mark.parametrize(("r", "known"), KNOWN.items())
@pytest.mark.parametrize(
    ("estimator", "n_samples", "n_units", "tolerance"),
    [
        ("gaussian", 2000, 40, 0.01),
        ("copula", 2000, 40, 0.01),
        ("ksg", 1500, 12, 0.025),
        # The plug-in scores its own samples, which biases it upwards.
        ("kde", 1500, 10, 0.05),
    ],
)
def test_known_answers_for_a_bivariate_normal(r, known, estimator, n_samples, n_units, tolerance):
    result = mutual_information(bivariate_normal(r, n_samples, n_units), estimator=estimator)
    assert result["mean"].item() == pytest.approx(known, abs=tolerance)


def test_a_random_walk_gives_its_known_curve():
    result = mutual_information(Recording.from_array(random_walk(2000, 12, 60)))
    np.testing.assert_allclose(result["mean"], 0.5 * np.log(np.arange(2, 13)), atol=0.02)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 50])
def test_normal_scores_of_distinct_values_are_scipys(n_samples):
    values = random_walk(n_samples, 3, 5)
    # scipy ranks float32 in float32.
    expected = ndtri(rankdata(values.astype(float), axis=0) / (n_samples + 1))
    np.testing.assert_allclose(normal_scores(values), expected, rtol=1e-13, atol=1e-15)


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 25), st.integers(1, 3), st.integers(1, 4)),
        elements=st.integers(-3, 3).map(lambda value: value / 2) | st.just(-0.0),
    )
)
def test_normal_scores_with_ties_are_scipys(values):
    ranks = rankdata(values.astype(float), axis=0, method="average")
    expected = ndtri(ranks / (len(values) + 1))
    np.testing.assert_allclose(normal_scores(values), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(normal_scores(values[:, 0]), normal_scores(values)[:, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal_scores_of_constant_infinite_and_missing_values(dtype):
    values = np.array([[1.0, 2.0, np.nan], [1.0, -np.inf, 0.0], [1.0, np.inf, 1.0]], dtype)
    third = ndtri(0.75)
    np.testing.assert_allclose(
        normal_scores(values),
        [[0, 0, np.nan], [0, -third, np.nan], [0, third, np.nan]],
        atol=1e-15,
    )


def test_the_copula_sees_order_alone():
    values = random_walk()
    mapped = np.sign(values) * np.abs(values.astype(np.float64)) ** 3
    mapped[:, 2] = np.exp(values[:, 2])
    plain, bent = copula_information(values), copula_information(mapped)
    np.testing.assert_allclose(bent, plain, rtol=1e-9)
    gaussian = mutual_information(Recording.from_array(mapped), estimator="gaussian")
    assert np.abs(gaussian["information"].values - plain[0]).max() > 0.1


def test_the_weighted_copula_is_its_definition():
    values = random_walk()
    weights = np.random.default_rng(1).dirichlet(np.ones(200), 7)
    expected = gaussian_information(adjacent_correlation(normal_scores(values), weights))
    found = copula_information(values, weights)
    assert found.shape == (7, 4, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    measured = mutual_information(Recording.from_array(values))["information"]
    np.testing.assert_allclose(measured, copula_information(values)[0], rtol=1e-12)


def test_ksg_against_scikit_learn():
    values = random_walk(400, 3, 5)
    result = mutual_information(Recording.from_array(values), estimator="ksg", neighbors=4)
    for step in range(2):
        for unit in range(5):
            first, second = values[:, step, [unit]], values[:, step + 1, unit]
            (expected,) = mutual_info_regression(first, second, n_neighbors=4, random_state=0)
            found = result["information"][step, unit].item()
            assert found == pytest.approx(expected, abs=2e-3)


def test_ksg_sees_what_is_not_monotone():
    rng = np.random.default_rng(0)
    first = rng.uniform(-1, 1, (1000, 4))
    parabola = first**2 + 0.05 * rng.standard_normal((1000, 4))
    recording = Recording.from_array(np.stack([first, parabola], axis=1))
    assert (mutual_information(recording, estimator="ksg")["information"] > 1).all()
    assert (mutual_information(recording, estimator="copula")["information"] < 0.05).all()


def test_kde_against_scipy():
    values = random_walk(300, 3, 4).astype(np.float64)
    result = mutual_information(Recording.from_array(values), estimator="kde")
    for step in range(2):
        for unit in range(4):
            pair = values[:, step : step + 2, unit].T
            joint = gaussian_kde(pair).logpdf(pair)
            marginals = [gaussian_kde(one).logpdf(one) for one in pair]
            expected = np.mean(joint - marginals[0] - marginals[1])
            assert result["information"][step, unit].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n_values", [5, 10, 30, 100])
def test_kde_does_not_see_the_entropy_of_near_discrete_states(n_values):
    rng = np.random.default_rng(0)
    levels = np.linspace(-1, 1, n_values)
    first = (levels / levels.std())[rng.integers(0, n_values, (1000, 1))]
    second = first + 0.01 * rng.standard_normal((1000, 1))
    recording = Recording.from_array(np.stack([first, second], axis=1))
    kde = mutual_information(recording, estimator="kde")
    ksg = mutual_information(recording, estimator="ksg")
    assert 3.8 < kde["mean"].item() < 4.6
    assert ksg["mean"].item() == pytest.approx(np.log(n_values), abs=0.25)


def test_ksg_of_discrete_states_is_their_entropy():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, (3000, 1))
    mapped = np.stack([codes, (codes * 5) % 8], axis=1).astype(np.float64)
    result = mutual_information(Recording.from_array(mapped), estimator="ksg")
    assert result["mean"].item() == pytest.approx(np.log(8), abs=0.01)
    unrelated = np.stack([codes, rng.integers(0, 8, (3000, 1))], axis=1).astype(np.float64)
    result = mutual_information(Recording.from_array(unrelated), estimator="ksg")
    assert result["mean"].item() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_order_of_the_sites_does_not_matter(estimator):
    recording = Recording.from_array(random_walk(100))
    options = {"estimator": estimator, "neighbors": 5}
    forward = information_between(recording, "1.state", "4.state", **options)["information"]
    backward = information_between(recording, "4.state", "1.state", **options)["information"]
    assert forward.dims == ("unit",)
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_any_pair_of_sites(estimator):
    recording = Recording.from_array(random_walk(100))
    steps = mutual_information(recording, estimator=estimator)["information"]
    pair = information_between(recording, "2.state", "3.state", estimator=estimator)
    np.testing.assert_allclose(pair["information"], steps[2], rtol=1e-12)
    assert (pair.attrs["site"], pair.attrs["other_site"]) == ("2.state", "3.state")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_constant_unit_is_undefined_with_one_warning(estimator):
    values = random_walk(60)
    values[:, 2, 1] = 0.1
    result, given_warnings = caught(
        lambda: mutual_information(Recording.from_array(values), estimator=estimator)
    )
    assert_one_undefined_warning(given_warnings)
    assert np.argwhere(np.isnan(result["information"].values)).tolist() == [[1, 1], [2, 1]]
    assert np.isfinite(result["mean"]).all()


def test_the_other_entries_warn_once_as_well():
    values = random_walk(60)
    values[3, 2, 1] = np.nan
    found, given_warnings = caught(lambda: copula_information(values))
    assert_one_undefined_warning(given_warnings)
    assert np.argwhere(np.isnan(found[0])).tolist() == [[1, 1], [2, 1]]
    recording = Recording.from_array(values)
    result, given_warnings = caught(lambda: information_between(recording, "0.state", "2.state"))
    assert_one_undefined_warning(given_warnings)
    assert np.flatnonzero(np.isnan(result["information"])).tolist() == [1]


@pytest.mark.parametrize("scale", [1.0, -3.7])
@pytest.mark.parametrize("estimator", ["gaussian", "copula", "kde"])
def test_a_site_that_fixes_the_next_is_undefined_and_counted(estimator, scale):
    values = random_walk(40, 4, 5)
    values[:, 2, 1:4] = scale * values[:, 1, 1:4]
    result, given_warnings = caught(
        lambda: mutual_information(Recording.from_array(values), estimator=estimator)
    )
    assert_one_undefined_warning(given_warnings)
    assert "3 of 15 values" in str(given_warnings[0].message)
    assert "3 units at 1 steps fix their next value" in str(given_warnings[0].message)
    assert np.argwhere(np.isnan(result["information"].values)).tolist() == [[1, 1], [1, 2], [1, 3]]
    assert np.isfinite(result["mean"]).all()


@pytest.mark.parametrize("estimator", ["gaussian", "copula"])
def test_moments_of_a_site_that_fixes_the_next_are_undefined(estimator):
    values = random_walk(40, 4, 5)
    values[:, 2, 1] = values[:, 1, 1]
    moments = Moments.of(Recording.from_array(values))
    result, given_warnings = caught(lambda: mutual_information(moments, estimator=estimator))
    assert_one_undefined_warning(given_warnings)
    assert np.argwhere(np.isnan(result["information"].values)).tolist() == [[1, 1]]


@pytest.mark.parametrize("options", [{"estimator": name} for name in ("gaussian", "copula", "kde")]
    + [{"estimator": "ksg", "neighbors": 1}, {"subtract_permutations": 2}])  # fmt: skip
@pytest.mark.parametrize("n_samples", [2, 3, 4])
def test_fewer_than_four_samples_define_no_information(n_samples, options):
    recording = Recording.from_array(np.random.default_rng(1).standard_normal((n_samples, 3, 60)))
    result, given_warnings = caught(lambda: mutual_information(recording, **options))
    information = result["information"].values
    assert not np.isinf(information).any()
    assert np.isnan(information).all() == (n_samples < 4)
    if n_samples < 4:
        assert f"got {n_samples} samples, and it takes 4" in str(given_warnings[0].message)
        assert_one_undefined_warning(given_warnings)
        assert np.isnan(result["mean"]).all()
    if "permutation_mean" in result:
        assert not np.isinf(result["permutation_mean"]).any()


def test_bootstrap_draws_of_few_samples_define_no_information():
    weights = np.array([[0.25, 0.25, 0.25, 0.25, 0.0], [0.5, 0.25, 0.25, 0.0, 0.0]])
    values = random_walk(5, 3, 40)
    found, given_warnings = caught(lambda: copula_information(values, weights))
    assert_one_undefined_warning(given_warnings)
    means, of_means = caught(lambda: mean_copula_information(values, weights))
    assert_one_undefined_warning(of_means)
    assert str(of_means[0].message) == str(given_warnings[0].message)
    np.testing.assert_array_equal(means, defined_mean(found))
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[0]).any()
    assert not np.isinf(found).any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_subtracting_permutations(estimator):
    recording = Recording.from_array(random_walk(80, 3, 4))
    options = {"estimator": estimator, "subtract_permutations": 3, "seed": 5}
    plain = mutual_information(recording, estimator=estimator)
    less = mutual_information(recording, **options)
    assert "permutation_mean" not in plain
    np.testing.assert_allclose(
        less["information"] + less["permutation_mean"], plain["information"], rtol=1e-12
    )
    rng = np.random.default_rng(5)
    permuted = []
    for order in [rng.permutation(80) for _ in range(3)]:
        values = recording.values.copy()
        values[:, 1] = values[order, 1]
        permuted.append(
            mutual_information(Recording.from_array(values), estimator=estimator)["information"][0]
        )
    np.testing.assert_allclose(less["permutation_mean"][0], np.mean(permuted, axis=0), rtol=1e-9)
    again = mutual_information(recording, **options)
    np.testing.assert_array_equal(less["information"], again["information"])


def test_the_permutation_mean_is_the_bias_of_unrelated_states():
    values = np.random.default_rng(0).standard_normal((100, 2, 200))
    result = mutual_information(
        Recording.from_array(values), estimator="gaussian", subtract_permutations=10
    )
    assert result["permutation_mean"].mean().item() == pytest.approx(1 / 200, rel=0.2)
    assert result["mean"].item() == pytest.approx(0, abs=1e-3)


def test_near_discrete_transitions_are_flagged():
    rng = np.random.default_rng(0)
    values = random_walk(90, 5, 4)
    tokens = rng.integers(0, 30, 90)
    values[:, 0] = rng.standard_normal((30, 4))[tokens]
    distinct = len(np.unique(tokens))
    known = Recording.from_array(values, coords={"text": np.arange(90), "token_id": tokens + 7})
    unknown = Recording.from_array(values)
    for recording, units in ((known, "distinct last tokens"), (unknown, "distinct states")):
        result = mutual_information(recording)
        assert result["near_discrete"].values.tolist() == [True, False, False, False]
        assert result["n_distinct_first"].item() == distinct
        assert result["n_distinct_first"].attrs["units"].startswith(units)
    (drawing,) = draw_mutual_information(mutual_information(known))
    (flagged,) = [series for series in drawing.series if series.markers]
    assert flagged.x.tolist() == [0]
    assert f"{distinct} distinct last tokens" in drawing.caption


def test_negative_zero_is_no_state_of_its_own():
    values = np.zeros((4, 2, 1))
    values[1:3, 0] = -0.0
    values[:, 1, 0] = [1.0, 2.0, 3.0, 4.0]
    result, _ = caught(lambda: mutual_information(Recording.from_array(values)))
    assert result["n_distinct_first"].item() == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "histogram"}, "estimator='histogram'.*gaussian, copula, ksg, kde"),
        ({"estimator": "ksg", "neighbors": 0}, "neighbors=0 for 20 samples"),
        ({"estimator": "ksg", "neighbors": 20}, "neighbors=20 for 20 samples"),
        ({"subtract_permutations": -1}, "subtract_permutations=-1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        mutual_information(Recording.from_array(random_walk(20)), **options)


def test_states_and_sites_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="two sites"):
        copula_information(np.ones((4, 1, 2)))
    with pytest.raises(ValueError, match=r"weights of shape \(1, 3\) for 4 samples"):
        copula_information(np.ones((4, 2, 2)), np.full((1, 3), 1 / 3))
    with pytest.raises(InputError, match=r"no site '9\.state'"):
        information_between(Recording.from_array(random_walk()), "0.state", "9.state")


def test_the_measure_leaves_the_recording_alone_and_names_itself():
    recording = Recording.from_array(random_walk())
    before = recording.values.copy()
    result = mutual_information(recording, seed=3)
    np.testing.assert_array_equal(recording.values, before)
    assert result.attrs["measure"] == "units.mutual_information"
    assert attribute(result, "parameters")["estimator"] == "copula"
    assert result["information"].attrs["units"] == "nats"
    assert result["information"].dims == ("step", "unit")


def test_the_drawing_shows_what_a_walk_gives():
    result = mutual_information(Recording.from_array(random_walk(1000, 8, 50)))
    (drawing,) = draw_mutual_information(result)
    model, reference = drawing.series
    np.testing.assert_allclose(model.y, reference.y, atol=0.03)
    assert drawing.plot().get_ylabel() == "mutual information (nats)"
    assert len(drawing.figure().data) == 3
