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
from transformer_dynamics.numerics.linalg.eigenvectors import leading_eigenvectors
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
    """Principal axes of the shown samples, of the first of them where there are many units.

    Returns:
        Axes whose `variance` is a share of all; None for states that are not finite.
    """
    n_samples, n_sites, n_units = shown.shape
    n_states = np.sqrt(MOST_OPERATIONS / n_units)
    if n_states > n_units:
        n_states = MOST_OPERATIONS / n_units**2
    used = shown.values[: int(np.clip(n_states / n_sites, 2, n_samples))]
    if not np.isfinite(used).all():
        return None
    n_components = min(N_COMPONENTS, len(used) * n_sites, n_units)
    axes = (_axes_of_few if len(used) * n_sites < n_units else principal_axes)(used, n_components)
    shares = axes.variance / (axes.total_variance or np.nan)
    return PrincipalAxes(axes.mean, axes.components, shares, 1.0)


def _axes_of_few(states: NDArray[Any], n_components: int) -> PrincipalAxes:
    """Principal axes of fewer states than units, from the products of states with each other."""
    rows = states.reshape(-1, states.shape[2]).astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    products = rows @ rows.T / len(rows)
    variance, vectors = leading_eigenvectors(products, n_components)
    components = vectors @ rows
    norms = np.linalg.norm(components, axis=1, keepdims=True)
    components /= np.where(norms > 0, norms, 1.0)
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(n_components), largest])[:, np.newaxis]
    return PrincipalAxes(mean, components, np.maximum(variance, 0.0), float(np.trace(products)))


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
