"""Density of activation over depth: the share of units that carry a state.

Three indices of a state x with D units, which may disagree:

    absolute share    #{u: |x[u]| > threshold} / D             rises with the norm of x alone
    relative share    #{u: |x[u]| > tau RMS(x)} / D            does not change when x is rescaled
    Treves-Rolls      (mean_u |x[u]|)^2 / mean_u x[u]^2        does not change when x is rescaled

Source: the claim is that of arXiv 2502.12131, which prints no formula; the first two indices are
ours, the third is that of Treves and Rolls (1991). Cost: one pass, a site in float64 at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats, require_sites, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

INDICES = {
    "absolute_share": "share above the absolute threshold",
    "relative_share": "share above the relative threshold",
    "treves_rolls": "Treves-Rolls density",
}
ZERO_STATE = "a state is zero in every unit"


def treves_rolls(values: NDArray[Any]) -> Floats:
    """Compute the Treves-Rolls density (mean |x|)^2 / mean x^2 of each state.

    Args:
        values: states `(sample, site, unit)`.

    Returns:
        `(sample, site)`, dimensionless, from 1/D to 1; NaN, with one `UndefinedWarning`, for a
        state of zeros or one that is not finite.

    Raises:
        InputError: `values` is not three-dimensional.

    >>> treves_rolls(np.array([[[2.0, -2.0], [5.0, 0.0]]]))
    array([[1. , 0.5]])
    """
    require_sites(values, 1)
    result = np.empty(values.shape[:2])
    for site in range(values.shape[1]):
        magnitudes = np.abs(values[:, site].astype(np.float64))
        result[:, site] = _treves_rolls(*_mean_magnitudes(magnitudes))
    warn_undefined({"treves_rolls": result}, ZERO_STATE, stacklevel=2)
    return result


def density_indices(
    values: NDArray[Any], *, threshold: float, relative_threshold: float
) -> dict[str, Floats]:
    """Compute density, norm and mean magnitude of each state, without a warning for NaN.

    Arguments, results and errors are those of `density`, for states `(sample, site, unit)`.

    >>> one_hot = np.array([[[0.0, 3.0, 0.0, 0.0]]])
    >>> indices = density_indices(one_hot, threshold=1.0, relative_threshold=0.5)
    >>> {name: float(index[0, 0]) for name, index in indices.items()}
    {'absolute_share': 0.25, 'relative_share': 0.25, 'treves_rolls': 0.25, 'norm': 3.0,
     'mean_absolute': 0.75}
    """
    require_sites(values, 1)
    for name, value in (("threshold", threshold), ("relative_threshold", relative_threshold)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(
                f"got {name}={value!r}; it is a finite number and not negative: {name}=0.5"
            )
    n_samples, n_sites, n_units = values.shape
    names = (*INDICES, "norm", "mean_absolute")
    result = {name: np.empty((n_samples, n_sites)) for name in names}
    for site in range(n_sites):
        magnitudes = np.abs(values[:, site].astype(np.float64))
        mean_absolute, mean_square = _mean_magnitudes(magnitudes)
        index = _treves_rolls(mean_absolute, mean_square)
        with np.errstate(invalid="ignore"):
            level = relative_threshold * np.sqrt(mean_square)[:, np.newaxis]
            above = np.count_nonzero(magnitudes > threshold, axis=1) / n_units
            above_rms = np.count_nonzero(magnitudes > level, axis=1) / n_units
        result["absolute_share"][:, site] = np.where(np.isfinite(mean_square), above, np.nan)
        result["relative_share"][:, site] = np.where(np.isnan(index), np.nan, above_rms)
        result["treves_rolls"][:, site] = index
        result["norm"][:, site] = np.sqrt(n_units * mean_square)
        result["mean_absolute"][:, site] = mean_absolute
    return result


def _mean_magnitudes(magnitudes: Floats) -> tuple[Floats, Floats]:
    """Compute mean and mean square over units, `(sample,)`; NaN for states that are not finite."""
    mean = magnitudes.mean(axis=1)
    with np.errstate(over="ignore", under="ignore"):
        square = np.einsum("nu,nu->n", magnitudes, magnitudes) / magnitudes.shape[1]
    finite = np.isfinite(mean) & np.isfinite(square)
    return np.where(finite, mean, np.nan), np.where(finite, square, np.nan)


def _treves_rolls(mean_absolute: Floats, mean_square: Floats) -> Floats:
    undefined = np.full_like(mean_square, np.nan)
    return np.divide(mean_absolute**2, mean_square, out=undefined, where=mean_square > 0)


@measure(
    "units.density",
    title="Density of activation",
    source="arXiv 2502.12131 (claim); Treves & Rolls 1991 (index)",
    per_sample=True,
)
def density(
    recording: Recording, *, threshold: float = 1.0, relative_threshold: float = 0.5
) -> xr.Dataset:
    """Density of states: three indices of the share of active units, and the norm.

    Args:
        recording: states.
        threshold: magnitude above which a unit counts as active, in stream units.
        relative_threshold: the same threshold as a multiple of the RMS of the state.

    Returns:
        `absolute_share`, `relative_share`, `treves_rolls` (dimensionless), `norm` and
        `mean_absolute` (stream units), each `(sample, site)`. NaN, with one `UndefinedWarning`: the
        relative share and Treves-Rolls of a state of zeros, and all five of a state that is not
        finite.

    Raises:
        InputError: a threshold is negative or not finite.

    >>> states = np.random.default_rng(0).standard_normal((20, 3, 5000))
    >>> density(Recording.from_array(states))["treves_rolls"].mean().item()
    0.636...
    """
    indices = density_indices(
        recording.values, threshold=threshold, relative_threshold=relative_threshold
    )
    warn_undefined({"treves_rolls": indices["treves_rolls"]}, ZERO_STATE, stacklevel=3)
    units = f"units of the state ({recording.shape[2]})"
    attrs = {
        "absolute_share": {"units": "1", "denominator": units},
        "relative_share": {"units": "1", "denominator": units},
        "treves_rolls": {"units": "1", "denominator": "mean square over the units of the state"},
        "norm": {"units": "stream units", "denominator": "none"},
        "mean_absolute": {"units": "stream units", "denominator": units},
    }
    return xr.Dataset(
        {name: (("sample", "site"), index, attrs[name]) for name, index in indices.items()},
        coords=recording.site_coords,
    )
