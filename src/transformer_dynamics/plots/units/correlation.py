"""Figures of the correlation of single units: between neighboring sites, and by lag."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.bands import quantile_band
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import STEP_LABEL, by_step_kind, depth_series
from transformer_dynamics.registry import figure

CORRELATION_LABEL = "Pearson correlation over samples (1)"
OVER_UNITS = "5-95 % of units"
NULL = "random walk in closed form"


@figure("units.correlation")
def draw_correlation(result: xr.Dataset) -> list[Drawing]:
    """Draw mean and band over units by step, attention and MLP steps, and a random walk's curve."""
    _, low, high = quantile_band(result["correlation"].values.T)
    line = depth_series("mean (5-95 % of units)", result["mean"], low=low, high=high)
    walk = Series(
        name="plain walk, sqrt(s/(s+1))",
        x=line.x,
        y=np.sqrt((line.x + 1) / (line.x + 2)),
        labels=line.labels,
        role="reference",
    )
    line, *points = by_step_kind(line, result["step_kind"].values)
    return [
        Lines(
            title="Correlation of single units between neighboring sites",
            x_label=STEP_LABEL,
            y_label=CORRELATION_LABEL,
            series=[line, walk, *points],
            caption=caption(
                "Correlation of a unit's values at neighboring sites, mean over units; dashed: "
                "random walk, sqrt(s/(s+1))",
                n=f"{n_samples(result)}, {result.sizes['unit']} units",
                interval=OVER_UNITS,
                null=NULL,
            ),
            interpretation=(
                "Units are more continuous than a sum of updates only where the line lies above "
                "the random walk's curve."
            ),
        )
    ]


@figure("units.correlation_by_lag")
def draw_correlation_by_lag(result: xr.Dataset) -> list[Drawing]:
    """Draw mean and band over units by lag, and a random walk's curve."""
    lags = result["lag"].values
    walk = np.empty(lags.size)
    for index, lag in enumerate(lags):
        start = np.arange(1, lags.size + 2 - lag)
        walk[index] = np.sqrt(start / (start + lag)).mean()
    mean, low, high = (result[name].values for name in ("mean", "low", "high"))
    series = [
        Series(name="mean (5-95 % of units)", x=lags, y=mean, low=low, high=high),
        Series(name="plain walk, mean of sqrt(s/(s+lag))", x=lags, y=walk, role="reference"),
    ]
    return [
        Lines(
            title="Correlation of single units by lag",
            x_label="lag (sites)",
            y_label=CORRELATION_LABEL,
            series=series,
            caption=caption(
                "Correlation of a unit's values at sites one lag apart, mean over units and pairs "
                "of sites; dashed: random walk, mean of sqrt(s/(s+lag))",
                n=n_samples(result),
                interval=OVER_UNITS,
                null=NULL,
            ),
            interpretation=(
                "Units remember more than a sum of updates only where the line falls more slowly "
                "than the random walk's curve."
            ),
        )
    ]
