"""Means with bands: over samples, draws, deviations and bootstrapped texts."""

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.plots.backend.bands import (
    bootstrap_band,
    deviation_band,
    draw_band,
    null_series,
    quantile_band,
    text_series,
)
from transformer_dynamics.plots.backend.captions import caption, n_samples, with_null

N_GROUPS, N_OF_A_GROUP = 40, 6


def clustered() -> xr.DataArray:
    """Values `(sample, place)` that are equal within a group."""
    values = np.repeat(np.random.default_rng(0).standard_normal((N_GROUPS, 2)), N_OF_A_GROUP, 0)
    return xr.DataArray(values, dims=("sample", "place"))


def test_a_band_resamples_groups():
    alone = clustered()
    grouped = alone.assign_coords(group=("sample", np.repeat(np.arange(N_GROUPS), N_OF_A_GROUP)))
    widths = []
    for values in (alone, grouped):
        mean, low, high = bootstrap_band(values)
        np.testing.assert_allclose(mean, values.mean("sample"))
        widths.append(high - low)
    # The mean of equal values scatters as a single one: wider by the root of the group's size.
    np.testing.assert_allclose(widths[1] / widths[0], N_OF_A_GROUP**0.5, rtol=0.2)


def test_texts_without_a_value_are_left_out_and_logarithms_become_ratios():
    values = xr.DataArray(
        [[0.0, np.nan], [np.log(4), np.nan], [np.nan, np.nan]], dims=("sample", "place")
    )
    line = text_series(values, "zero update", logs=True, role="null")
    assert (line.name, line.role) == ("zero update", "null")
    assert line.y[0] == pytest.approx(2)
    assert np.isnan(line.y[1])


def test_without_any_value_the_line_is_undefined():
    nothing = xr.DataArray(np.full((3, 2), np.nan), dims=("sample", "place"))
    assert np.isnan(text_series(nothing, "model").y).all()


def test_quantiles_leave_nan_out():
    mean, low, high = quantile_band(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]))
    np.testing.assert_array_equal(mean, [2.0, np.nan])
    np.testing.assert_allclose([low[0], high[0]], [1.1, 2.9])


def test_draws_have_their_range_or_two_percentiles():
    draws = np.arange(101.0)[:, np.newaxis] * [1, 10]
    np.testing.assert_allclose(draw_band(draws), [[50, 500], [0, 0], [100, 1000]])
    np.testing.assert_allclose(draw_band(draws, (5, 95)), [[50, 500], [5, 50], [95, 950]])


def test_a_null_is_a_line_with_a_band_in_the_role_of_a_null():
    line = null_series("permuted", deviation_band([1.0, 2.0], [0.5, 0.25]), x=np.array([3, 4]))
    assert (line.role, line.markers) == ("null", False)
    np.testing.assert_array_equal(
        [line.x, line.y, line.low, line.high], [[3, 4], [1, 2], [0, 1.5], [2, 2.5]]
    )


def test_the_order_of_a_caption():
    text = caption("Speed", n="4 texts", interval="range")
    assert text == "Speed. N = 4 texts. Interval: range. Null model: none."
    assert with_null(text, "random walk").endswith("Interval: range. Null model: random walk.")
    assert with_null(text, "") == text


def test_samples_are_counted_in_the_result_or_in_its_recording():
    result = xr.Dataset({"speed": ("sample", [1.0, 2.0])}, attrs={"recording": '{"shape": [9, 2]}'})
    assert n_samples(result, "texts") == "2 texts"
    assert n_samples(result.drop_dims("sample")) == "9 samples"
    assert n_samples(xr.Dataset()) == "not stated"
