import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.units import site_pairs
from transformer_dynamics.measures.units.correlation import correlation
from transformer_dynamics.measures.units.site_pairs import correlation_by_lag, correlation_pairs
from transformer_dynamics.measures.units.weighted_correlation import (
    adjacent_correlation,
    mean_adjacent_correlation,
)
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.numerics.arrays import defined_mean
from transformer_dynamics.plots.units.correlation import draw_correlation, draw_correlation_by_lag
from transformer_dynamics.recording.recording import Recording


def random_walk(n_samples=300, n_sites=9, n_units=7, seed=0):
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


def test_adjacent_correlation_is_pearsons():
    values = random_walk()
    result = adjacent_correlation(values)
    assert result.shape == (1, 8, 7)
    for step in range(8):
        for unit in range(7):
            expected = np.corrcoef(values[:, step, unit], values[:, step + 1, unit])[0, 1]
            assert result[0, step, unit] == pytest.approx(expected, abs=1e-7)


def test_one_row_of_equal_weights_is_the_plain_value():
    values = random_walk()
    weights = np.full((1, 300), 1 / 300)
    np.testing.assert_array_equal(
        adjacent_correlation(values, weights), adjacent_correlation(values)
    )


def test_weights_are_those_of_a_bootstrap():
    values = random_walk(40, 4, 5)
    drawn = np.random.default_rng(1).integers(0, 40, (6, 40))
    weights = np.stack([np.bincount(row, minlength=40) / 40 for row in drawn])
    expected = np.stack([adjacent_correlation(values[row])[0] for row in drawn])
    np.testing.assert_allclose(adjacent_correlation(values, weights), expected, atol=1e-9)


def test_far_from_zero_nothing_is_lost():
    values = random_walk().astype(np.float64)
    np.testing.assert_allclose(
        adjacent_correlation(values + 1e7), adjacent_correlation(values), atol=1e-8
    )


def test_a_random_walk_gives_its_known_curve():
    steps = np.random.default_rng(0).standard_normal((1000, 64, 60))
    result = correlation(Recording.from_array(steps.cumsum(axis=1)))
    step = np.arange(1, 64)
    np.testing.assert_allclose(result["mean"], np.sqrt(step / (step + 1)), atol=0.01)
    assert result["mean"].values[[0, 9, 29, 62]].round(2).tolist() == [0.71, 0.95, 0.98, 0.99]


def test_a_unit_that_does_not_change_correlates_by_exactly_one():
    values = np.repeat(random_walk(50, 1, 4), 3, axis=1)
    values[:, 2] *= -1
    np.testing.assert_array_equal(adjacent_correlation(values)[0], [[1] * 4, [-1] * 4])


@settings(max_examples=30)
@given(
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    sign=st.sampled_from([-1, 1]),
    seed=st.integers(0, 100),
)
def test_affine_maps_of_one_site_change_the_sign_only(scale, shift, sign, seed):
    values = random_walk(30, 3, 4, seed).astype(np.float64)
    mapped = values.copy()
    mapped[:, 1] = sign * scale * mapped[:, 1] + shift
    expected = sign * adjacent_correlation(values)
    np.testing.assert_allclose(adjacent_correlation(mapped), expected, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -24994.3, 1e30])
@pytest.mark.parametrize("measured", [adjacent_correlation, correlation])
def test_a_constant_unit_is_undefined_with_one_warning(constant, measured):
    values = random_walk()
    values[:, 3, 2] = constant
    if measured is correlation:
        result, given_warnings = caught(lambda: correlation(Recording.from_array(values)))
        array = result["correlation"].values
        assert result["n_defined"].values.tolist() == [7, 7, 6, 6, 7, 7, 7, 7]
        assert np.isfinite(result["mean"]).all()
    else:
        array, given_warnings = caught(lambda: adjacent_correlation(values))
        array = array[0]
    assert_one_undefined_warning(given_warnings)
    assert np.argwhere(np.isnan(array)).tolist() == [[2, 2], [3, 2]]


def test_a_unit_constant_where_the_weights_are_is_undefined():
    values = random_walk(20, 3, 4)
    values[:5, :, 1] = 0.7
    weights = np.zeros((2, 20))
    weights[0, :5] = 0.2
    weights[1] = 0.05
    result, given_warnings = caught(lambda: adjacent_correlation(values, weights))
    assert_one_undefined_warning(given_warnings)
    assert np.isnan(result[0, :, 1]).all()
    assert np.isfinite(result[1]).all()
    assert np.isfinite(result[0][:, [0, 2, 3]]).all()
    means, of_means = caught(lambda: mean_adjacent_correlation(values, weights))
    assert str(of_means[0].message) == str(given_warnings[0].message)
    np.testing.assert_array_equal(means, defined_mean(result))


def test_states_that_are_not_finite_are_undefined():
    values = random_walk()
    values[0, 0, 0] = np.inf
    values[1, 8, 1] = np.nan
    result, given_warnings = caught(lambda: adjacent_correlation(values))
    assert_one_undefined_warning(given_warnings)
    assert np.argwhere(np.isnan(result[0])).tolist() == [[0, 0], [7, 1]]


def test_where_no_unit_varies_the_mean_is_undefined():
    result, given_warnings = caught(lambda: correlation(Recording.from_array(np.ones((4, 3, 2)))))
    assert_one_undefined_warning(given_warnings)
    assert np.isnan(result["mean"]).all()
    (drawing,) = draw_correlation(result)
    drawing.plot()


@pytest.mark.parametrize(
    ("values", "weights", "said"),
    [
        (np.zeros((5, 1, 3)), None, r"\(5, 1, 3\).*two sites"),
        (np.zeros((5, 3)), None, r"\(5, 3\).*\(sample, site, unit\)"),
        (np.zeros((5, 2, 3)), np.full(5, 0.2), r"weights of shape \(5,\) for 5 samples"),
        (np.zeros((5, 2, 3)), np.full((1, 4), 0.25), r"weights of shape \(1, 4\) for 5 samples"),
        (np.zeros((5, 2, 3)), np.ones((2, 5)), "sums to 5"),
        (np.zeros((5, 2, 3)), np.full((1, 5), np.nan), "sums to nan"),
    ],
)
def test_what_does_not_fit_is_refused(values, weights, said):
    with pytest.raises(ValueError, match=said):
        adjacent_correlation(values, weights)


@pytest.mark.parametrize("measured", [correlation, correlation_pairs, correlation_by_lag])
def test_measures_refuse_a_single_site(measured):
    with pytest.raises(ValueError, match="two sites"):
        measured(Recording.from_array(np.ones((5, 1, 3))))


@pytest.mark.parametrize("measured", [correlation, correlation_pairs, correlation_by_lag])
def test_measures_leave_the_recording_alone_and_name_themselves(measured):
    recording = Recording.from_array(random_walk())
    before = recording.values.copy()
    result = measured(recording)
    np.testing.assert_array_equal(recording.values, before)
    assert result.attrs["measure"] == f"units.{measured.__name__}"
    assert result["mean"].attrs["units"] == "1"
    assert result["mean"].attrs["denominator"]


def test_all_pairs_against_numpy(monkeypatch):
    values = random_walk(60, 5, 11)
    monkeypatch.setattr(site_pairs, "BLOCK_BYTES", 4 * 60 * 5 * 8)
    result = correlation_pairs(Recording.from_array(values, sites=transformer_labels(2)))
    assert result["correlation"].dims == ("site", "other_site", "unit")
    for unit in range(11):
        expected = np.corrcoef(values[:, :, unit], rowvar=False)
        np.testing.assert_allclose(result["correlation"][..., unit], expected, atol=1e-7)
    chosen = result["mean"].sel(site="0.pre_mlp", other_site="final")
    expected = np.mean([np.corrcoef(values[:, 1, u], values[:, 4, u])[0, 1] for u in range(11)])
    assert chosen.item() == pytest.approx(expected, abs=1e-7)


def test_all_pairs_are_float32_where_float64_would_be_large(monkeypatch):
    recording = Recording.from_array(random_walk())
    full = correlation_pairs(recording)
    monkeypatch.setattr(site_pairs, "PAIR_BYTES", 1000)
    small = correlation_pairs(recording)
    assert (full["correlation"].dtype, small["correlation"].dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(small["correlation"], full["correlation"], atol=1e-7)
    np.testing.assert_allclose(small["mean"], full["mean"], atol=1e-7)


def test_lags_average_the_pairs_that_far_apart():
    recording = Recording.from_array(random_walk())
    pairs = correlation_pairs(recording)["correlation"].values
    result = correlation_by_lag(recording)
    assert result["lag"].values.tolist() == list(range(1, 9))
    for lag in range(1, 9):
        per_unit = np.mean([pairs[site, site + lag] for site in range(9 - lag)], axis=0)
        low, high = np.quantile(per_unit, [0.05, 0.95])
        found = [result[name].sel(lag=lag).item() for name in ("mean", "low", "high")]
        assert found == pytest.approx([per_unit.mean(), low, high])


@pytest.mark.parametrize(
    ("measured", "n_undefined"), [(correlation_pairs, 17), (correlation_by_lag, 0)]
)
def test_pairs_with_a_constant_unit_are_left_out(measured, n_undefined):
    values = random_walk()
    values[:, 4, 2] = 0.1
    result, given_warnings = caught(lambda: measured(Recording.from_array(values)))
    assert np.isfinite(result["mean"]).all()
    if n_undefined:
        assert_one_undefined_warning(given_warnings)
        assert np.isnan(result["correlation"]).sum() == n_undefined
    else:
        assert not given_warnings


def test_the_drawing_tells_attention_from_mlp_and_shows_the_walk():
    labels = transformer_labels(4)
    result = correlation(Recording.from_array(random_walk(), sites=labels))
    (drawing,) = draw_correlation(result)
    by_name = {series.name: series for series in drawing.series}
    attention = by_name["attention steps (within a layer)"]
    mlp = by_name["MLP steps (across layers)"]
    assert attention.x.tolist() == [0, 2, 4, 6]
    assert mlp.x.tolist() == [1, 3, 5, 7]
    assert attention.markers
    assert mlp.markers
    np.testing.assert_array_equal(mlp.y, result["mean"].values[1::2])
    (reference,) = [series for series in drawing.series if series.role == "reference"]
    np.testing.assert_allclose(reference.y[:2], [np.sqrt(1 / 2), np.sqrt(2 / 3)])
    assert drawing.x_label == "step (index of the site it starts from)"


def test_a_system_that_is_no_transformer_has_no_such_steps():
    (drawing,) = draw_correlation(correlation(Recording.from_array(random_walk())))
    assert not any(series.markers for series in drawing.series)


def test_the_lag_drawing_shows_what_a_walk_gives():
    steps = np.random.default_rng(0).standard_normal((1000, 12, 80))
    result = correlation_by_lag(Recording.from_array(steps.cumsum(axis=1)))
    (drawing,) = draw_correlation_by_lag(result)
    model, reference = drawing.series
    np.testing.assert_allclose(model.y, reference.y, atol=0.015)


@pytest.mark.parametrize("measured", [correlation, correlation_pairs, correlation_by_lag])
def test_every_drawing_can_be_drawn_twice(measured):
    for drawing in measured(Recording.from_array(random_walk())).td.drawings:
        assert drawing.plot().get_ylabel()
        assert len(drawing.figure().data) >= 1
