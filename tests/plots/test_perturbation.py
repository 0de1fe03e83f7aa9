"""Bands of perturbation figures: texts of one group are resampled together."""

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.plots.perturbation import banded, mean_and_band

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
        mean, low, high = mean_and_band(values)
        np.testing.assert_allclose(mean, values.mean("sample"))
        widths.append(high - low)
    # The mean of equal values scatters as that of one of them: the root of the group's size wider.
    np.testing.assert_allclose(widths[1] / widths[0], N_OF_A_GROUP**0.5, rtol=0.2)


def test_texts_without_a_value_are_left_out_and_logarithms_become_ratios():
    values = xr.DataArray(
        [[0.0, np.nan], [np.log(4), np.nan], [np.nan, np.nan]], dims=("sample", "place")
    )
    line = banded(values, "zero_update", logs=True)
    assert (line.name, line.role) == ("zero update", "null")
    assert line.y[0] == pytest.approx(2)
    assert np.isnan(line.y[1])


def test_without_any_value_the_line_is_undefined():
    nothing = xr.DataArray(np.full((3, 2), np.nan), dims=("sample", "place"))
    assert np.isnan(banded(nothing, "model").y).all()
