"""Statistics of a condition: explained variance, and the error after a replacement.

Shares of principal components are bootstrapped with the components held fixed, which is correct to
first order in the resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import N_BOOTSTRAP, Condition
from transformer_dynamics.paper.statistics import Interval, Measured
from transformer_dynamics.recording.recording import Recording


def autoencoder_share(
    about: str, pick: Callable[[Iterable[Interval]], Interval] | None = None
) -> Measured:
    """Variance that the autoencoder explains, overall or of the sublayer that `pick` selects."""

    def measured(condition: Condition, _: bool) -> Interval:
        fitted = condition.autoencoder.isel(bottleneck=0)
        fitted = fitted.sel(described_by="autoencoder", about=about)
        name = "overall" if pick is None else "explained"
        value, low, high = (np.atleast_1d(fitted[f"{name}{end}"]) for end in ("", "_low", "_high"))
        rows = zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
        defined = [row for row in rows if np.isfinite(row[0])]
        if not defined:
            return np.nan, np.nan, np.nan
        return defined[0] if pick is None else pick(defined)

    return measured


def component_share(component: int) -> Measured:
    """Share of the pooled variance along one principal component, counted from 0."""

    def measured(condition: Condition, interval: bool) -> Interval:
        components = condition.pca
        if component >= components.sizes["component"]:
            return np.nan, np.nan, np.nan
        mean = components["mean"].values
        scores = components["score"].values[..., component].astype(np.float64)
        held = (scores**2).sum(axis=1)
        total = np.zeros(len(held))
        for rows, states in condition.sublayers.blocks():
            for site in range(states.shape[1]):
                deviations = states[:, site] - mean
                total[rows] += np.einsum("nu,nu->n", deviations, deviations)

        def statistic(_: Recording, weights: Floats) -> Floats:
            return np.asarray((weights @ held) / (weights @ total))

        value, low, high = condition.bootstrapped(statistic, N_BOOTSTRAP if interval else 0)
        return float(value), float(low), float(high)

    return measured


def error_ratio(span: str, depth: int) -> Measured:
    """Squared error 12 sublayers after the replacement over the error there, at one depth."""

    def measured(condition: Condition, _: bool) -> Interval:
        followed = condition.teleport
        if followed is None or depth >= followed.sizes["start"]:
            return np.nan, np.nan, np.nan
        at = followed.isel(start=depth).sel(range=span)
        error = at["squared_error"]
        ratio = error.sel(site=at["stop"].item()) / error.sel(site=at["start"].item())
        return float(ratio), np.nan, np.nan

    return measured
