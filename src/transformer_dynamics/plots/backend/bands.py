"""Means with bands, one function for each kind of band, and the line of a null model.

quantile_band    mean over rows, 5-95 % of the rows      spread between samples
draw_band        mean over draws, range or percentiles   spread of a null model
deviation_band   mean, two standard deviations each way  null models kept as moments
bootstrap_band   mean over texts, 95 % bootstrap         uncertainty of the mean

NaN are left out of the first and of the last; a band is NaN where nothing is defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats, band, defined_mean
from transformer_dynamics.plots.backend.lines import Series
from transformer_dynamics.plots.backend.style import Numbers
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights

N_BOOTSTRAP = 499


class Band(NamedTuple):
    """A line with its band; each array has the shape `(point,)`."""

    mean: Floats
    low: Floats
    high: Floats

    def exp(self) -> Band:
        """Geometric mean and its band, from those of the logarithms."""
        return Band(np.exp(self.mean), np.exp(self.low), np.exp(self.high))


def quantile_band(values: Numbers) -> Band:
    """Mean and 5-95 % quantiles over the rows of `(row, point)`, without NaN."""
    return Band(defined_mean(values.T), *band(values.T))


def draw_band(draws: Numbers, percentiles: tuple[float, float] | None = None) -> Band:
    """Mean over draws `(draw, point)` with two percentiles of the draws, by default their range."""
    if percentiles is None:
        return Band(draws.mean(axis=0), draws.min(axis=0), draws.max(axis=0))
    return Band(draws.mean(axis=0), *np.percentile(draws, percentiles, axis=0))


def deviation_band(mean: Numbers, deviation: Numbers) -> Band:
    """Mean with two standard deviations to either side."""
    center, width = np.asarray(mean, np.float64), 2 * np.asarray(deviation, np.float64)
    return Band(center, center - width, center + width)


def bootstrap_band(values: xr.DataArray) -> Band:
    """Mean over the dimension `sample` with the 95 % bootstrap interval over groups of texts.

    Texts are resampled one by one where `values` has no coordinate `group`. NaN without any text.
    """
    rows = values.transpose("sample", ...).values
    if not len(rows):
        undefined = np.full(rows.shape[1:], np.nan)
        return Band(undefined, undefined, undefined)
    groups = values["group"].values if "group" in values.coords else np.arange(len(rows))
    means = np.tensordot(text_weights(groups, N_BOOTSTRAP), rows, 1)
    return Band(rows.mean(axis=0), *percentile_interval(means))


def band_series(
    name: str, band: Band, *, x: Numbers | None = None, labels: Sequence[str] = (), **look: Any
) -> Series:
    """A line with its band.

    Args:
        name: name in the legend.
        band: mean and the ends of the band, `(point,)` each.
        x: positions of the points; by default their index.
        labels: name of each point.
        **look: `role`, `markers` and `hidden` of the series.
    """
    x = np.arange(band.mean.size) if x is None else x
    return Series(name=name, x=x, y=band.mean, low=band.low, high=band.high, labels=labels, **look)


def null_series(
    name: str, band: Band, *, x: Numbers | None = None, labels: Sequence[str] = (), **look: Any
) -> Series:
    """The dashed line of a null model: its mean, with its band; arguments as in `band_series`."""
    return band_series(name, band, x=x, labels=labels, role="null", **look)


def text_series(
    values: xr.DataArray, name: str, *, logs: bool = False, labels: Sequence[str] = (), **look: Any
) -> Series:
    """Mean over texts with its 95 % bootstrap band; texts without any value are left out.

    Args:
        values: `(sample, point)`, with the coordinate `group` where texts are resampled by group.
        name: name in the legend.
        logs: whether the values are logarithms; the exponential of their mean is drawn.
        labels: name of each point.
        **look: `x`, `role`, `markers` and `hidden` of the series.
    """
    values = values.transpose("sample", ...)
    mean = bootstrap_band(values[np.isfinite(values.values).any(axis=1)])
    return band_series(name, mean.exp() if logs else mean, labels=labels, **look)
