"""Variables of one fit of the law: explained shares, residuals, and their growth over depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dynamics.stretch.growth import growth_fit
from transformer_dynamics.measures.dynamics.stretch.pairs import AllPairs
from transformer_dynamics.measures.dynamics.stretch.residuals import (
    AVERAGES,
    SHAPES,
    isotropic_references,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.bootstrap import percentile_interval

SHARE = {"units": "1", "denominator": "sum over samples of |x(t + tau)|^2"}
CENTERED = {"units": "1", "denominator": "variance of x(t + tau) about its training mean"}
LOG = {"units": "ln(stream units^2)", "definition": "variance of one unit's residual over samples"}
SHAPE_ATTRS = {
    "excess_kurtosis": {"units": "1", "definition": "per unit, unbiased, mean over units"},
    "normal_distance": {
        "units": "1",
        "definition": "Kolmogorov distance to a normal distribution, units standardized and pooled",
    },
    "participation": {"units": "1", "definition": "(tr C)^2 / tr C^2 over the number of units"},
    "largest_eigenvalue": {"units": "1", "denominator": "mean eigenvalue of C"},
}


def fit_dataset(pairs: AllPairs, counts: dict[str, int], times: Floats, n_units: int) -> xr.Dataset:
    """Collect the variables of one fit.

    Args:
        pairs: statistics of all pairs.
        counts: numbers of scored samples and of components.
        times: time of each site, `(site)`.
        n_units: number of units.
    """
    pair = ("lag", "site")
    growth = _growth(pairs, times)
    participation, eigenvalue = isotropic_references(counts["scored_samples"], n_units)
    is_defined = np.isfinite(pairs.agreement)
    counted = np.where(is_defined.any(axis=1), is_defined.sum(axis=1), np.nan)
    mean = np.nansum(pairs.agreement, axis=1) / counted
    squared = {"units": "stream units^2", "definition": "variance of one unit at time 0"}
    variables: dict[str, Any] = {
        "explained_square": ((*pair, "predictor"), pairs.square, SHARE),
        "explained_variance": ((*pair, "predictor"), pairs.variance, CENTERED),
        "log_variance": ((*pair, "average"), pairs.log_variance, LOG),
        "agreement": (("lag", "component"), mean, {"units": "1", "pooling": "mean over pairs"}),
        "alpha": ("average", growth["alpha"], squared),
        "lambda": ("average", growth["lambda"], {}),
        "line_share": ("average", growth["line_share"], {"units": "1"}),
        "alpha_by_lag": (("average", "lag"), growth["alpha_by_lag"], squared),
        "lambda_by_lag": (("average", "lag"), growth["lambda_by_lag"], {}),
        "alpha_interval": (("average", "end"), growth["alpha_interval"], squared),
        "lambda_interval": (("average", "end"), growth["lambda_interval"], {}),
        "isotropic_participation": ((), participation, {"units": "1"}),
        "isotropic_eigenvalue": ((), eigenvalue, {"units": "1"}),
        "n_components": ((), counts["components"], {"units": "1"}),
    }
    for index, name in enumerate(SHAPES):
        variables[name] = (pair, pairs.shape[..., index], SHAPE_ATTRS[name])
    return xr.Dataset(variables)


def _growth(pairs: AllPairs, times: Floats) -> dict[str, Floats]:
    """Fit alpha and lambda with intervals, to all pairs `(average)` and per lag `(average, lag)`.

    Intervals lie along a last axis `(low, high)`.
    """
    later_times = np.broadcast_to(times, pairs.log_variance.shape[:2])
    logs, drawn = pairs.log_variance, np.moveaxis(pairs.drawn, -1, 0)
    flat = logs.reshape(-1, len(AVERAGES)).T
    alpha, growth, share = growth_fit(later_times.ravel(), flat)
    draws = drawn.reshape(len(AVERAGES), -1, drawn.shape[-1])
    bands = growth_fit(later_times.ravel(), np.moveaxis(draws, 1, 2))
    by_lag = [growth_fit(times, logs[row].T) for row in range(len(logs))]
    ends = [np.stack(percentile_interval(band.T), axis=-1) for band in bands[:2]]
    return {
        "alpha": alpha,
        "lambda": growth,
        "line_share": share,
        "alpha_by_lag": np.stack([each[0] for each in by_lag], axis=-1),
        "lambda_by_lag": np.stack([each[1] for each in by_lag], axis=-1),
        "alpha_interval": ends[0],
        "lambda_interval": ends[1],
    }
