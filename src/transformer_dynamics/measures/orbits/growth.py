"""Outward growth of paths: slope of ln radius over the angle covered clockwise, about a center.

Known answer: a logarithmic spiral grows at its own rate. Cost: some ten operations per value.
Source: ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights
from transformer_dynamics.stats.significance import monte_carlo_p

N_BOOTSTRAP = 499
PER_RADIAN = {
    "units": "1 per radian",
    "denominator": "samples",
    "definition": "slope of ln radius over the angle covered clockwise; positive is outwards",
}


def outward_growth(points: NDArray[Any], *, center: NDArray[Any] | None = None) -> Floats:
    """Fit the slope of ln radius over the angle covered, by least squares.

    The angle counts clockwise, as paths in the plane of activation and gradient do: a path that
    turns clockwise and outwards has a positive slope.

    Args:
        points: paths in a plane, `(..., site, axis)` with two axes.
        center: `(..., axis)`; by default each path's centroid.

    Returns:
        `(...)`, per radian; NaN for a path that meets its center, does not turn or is not finite.

    >>> angle = np.linspace(0, 20, 200)
    >>> spiral = np.exp(0.1 * angle)[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    >>> outward_growth(spiral, center=np.zeros(2)).round(6)
    np.float64(0.1)
    """
    paths = points.astype(np.float64)
    middle = paths.mean(axis=-2) if center is None else np.asarray(center, dtype=np.float64)
    x, y = np.moveaxis(paths - middle[..., np.newaxis, :], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.log(np.hypot(x, y))
        angle = -np.unwrap(np.arctan2(y, x), axis=-1)
        radius -= radius.mean(axis=-1, keepdims=True)
        angle -= angle.mean(axis=-1, keepdims=True)
        slope: Floats = np.sum(angle * radius, axis=-1) / np.sum(angle**2, axis=-1)
    return np.where(np.isfinite(slope), slope, np.nan)[()]


def trace_growth(traces: Floats) -> Floats:
    """Compute the growth of traces in the plane of activation and gradient, `(sample, unit)`.

    Each axis is divided by its standard deviation over the trace.

    Args:
        traces: `(sample, unit, site)`, in stream units.
    """
    points = np.stack([traces, np.gradient(traces, axis=-1)], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return outward_growth(points / points.std(axis=-2, keepdims=True))


def mean_growth(
    traces: Floats, groups: NDArray[Any], surrogates: Floats, *, seed: int
) -> xr.Dataset:
    """Mean growth over samples, with its interval over texts and the growth of surrogates.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        groups: text or group of texts of each sample, `(sample)`.
        surrogates: mean growth of surrogate traces, `(draw, unit)`.
        seed: seed of the bootstrap.

    Returns:
        `growth`, `growth_low`, `growth_high`, `growth_surrogate`, `growth_p` `(unit)`.
    """
    slopes = trace_growth(traces)
    mean = slopes.mean(axis=0)
    low, high = percentile_interval(text_weights(groups, N_BOOTSTRAP, seed=seed) @ slopes)
    values = {
        "growth": mean,
        "growth_low": low,
        "growth_high": high,
        "growth_surrogate": surrogates.mean(axis=0),
    }
    variables: dict[str, Any] = {
        name: ("unit", value, PER_RADIAN) for name, value in values.items()
    }
    p_attrs = {"units": "1", "denominator": "draws of the surrogate + 1"}
    variables["growth_p"] = ("unit", monte_carlo_p(mean, surrogates), p_attrs)
    return xr.Dataset(variables)
