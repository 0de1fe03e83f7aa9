"""Paths of the samples of one system that the page shows: model, random walk, untrained twin.

Speed, cosine, correlation and mutual information come from the measures themselves, run on the
shown samples. A null model is shown in its own principal components, as it has directions of its
own; those of the model are the components of `dimension.pca`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.measures.units.correlation import correlation
from transformer_dynamics.measures.units.information import mutual_information
from transformer_dynamics.numerics.arrays import Floats, band, defined_mean
from transformer_dynamics.numerics.principal_axes import PrincipalAxes, principal_axes
from transformer_dynamics.recording.recording import Recording

N_COMPONENTS = 3
# Operations of the covariance of a null: about a second of one core.
MOST_OPERATIONS = 2e10
STEP_MEASURES = {"correlation": correlation, "information": mutual_information}


def movement(shown: Recording) -> dict[str, Floats]:
    """Compute `norm` `(sample, site)`, `speed` and `cosine` `(sample, step)`."""
    if shown.shape[1] < 2:
        return {}
    with _undefined_is_shown():
        result = kinematics(shown)
    return {name: result[name].values for name in ("norm", "speed", "cosine")}


def own_axes(shown: Recording) -> PrincipalAxes | None:
    """Principal axes of the shown samples, of the first of them where there are many units."""
    n_samples, n_sites, n_units = shown.shape
    n_used = int(np.clip(MOST_OPERATIONS / (n_sites * n_units**2), 2, n_samples))
    n_components = min(N_COMPONENTS, n_used * n_sites, n_units)
    states = shown.values[:n_used]
    if not np.isfinite(states).all():
        return None
    axes = principal_axes(states, n_components)
    shares = axes.variance / (axes.total_variance or np.nan)
    return PrincipalAxes(axes.mean, axes.components, shares, 1.0)


def step_summaries(shown: Recording) -> dict[str, Floats]:
    """Mean and 5-95 % band over units of correlation and information, `(statistic, step)`."""
    summaries = {}
    if shown.shape[1] < 2:
        return {}
    for name, function in STEP_MEASURES.items():
        with _undefined_is_shown():
            values = function(shown)[name].values
        summaries[name] = np.stack([defined_mean(values), *band(values)])
    return summaries


def unit_traces(shown: Recording, units: NDArray[np.int64]) -> NDArray[Any]:
    """States of some units, `(unit, sample, site)`, in stream units."""
    return np.ascontiguousarray(shown.values[:, :, units].transpose(2, 0, 1))


def _undefined_is_shown() -> warnings.catch_warnings:
    """Leave out warnings of undefined values, which the page shows as gaps."""
    return warnings.catch_warnings(action="ignore", category=UndefinedWarning)
