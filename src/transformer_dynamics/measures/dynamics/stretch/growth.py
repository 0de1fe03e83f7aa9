"""Growth of variance over depth: a straight line through ln variance against time.

    ln variance = ln alpha + lambda t

by least squares with equal weights. Time is counted in layers where sites belong to layers. Source:
arXiv 2410.01545. Not handled: unequal errors of the points.
"""

from __future__ import annotations

import numpy as np

from transformer_dynamics.model.labels import FINAL
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.by_site import SiteStates
from transformer_dynamics.recording.recording import Recording


def layer_times(recording: Recording) -> Floats:
    """Time of each site, `(site)`, in layers where sites belong to layers, else in sites.

    >>> sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    >>> layer_times(Recording.from_array(np.zeros((1, 5, 2)), sites=sites))
    array([0. , 0.5, 1. , 1.5, 2. ])
    """
    kinds = [str(kind) for kind in recording.site_coords["kind"][1]]
    layers = recording.site_coords["layer"][1].astype(np.float64)
    if not {"pre_attn", "pre_mlp"} & set(kinds):
        return np.arange(len(kinds), dtype=np.float64)
    times: Floats = layers + 0.5 * np.array([kind == "pre_mlp" for kind in kinds])
    return np.where([kind == FINAL for kind in kinds], layers.max() + 1, times)


def growth_fit(times: Floats, logs: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit ln variance = ln alpha + lambda t.

    Args:
        times: time of each pair's later site, `(pair)`.
        logs: ln variance, `(..., pair)`; pairs with NaN anywhere are left out.

    Returns:
        Three arrays `(...)`: alpha in stream units squared, lambda per unit of time, and R^2, the
        share of ln variance explained; NaN with fewer than three times.

    >>> alpha, growth, share = growth_fit(np.arange(4.0), np.log(2.0) + 0.5 * np.arange(4.0))
    >>> float(alpha.round(9)), float(growth.round(9)), float(share.round(9))
    (2.0, 0.5, 1.0)
    """
    is_defined = np.isfinite(logs).all(axis=tuple(range(logs.ndim - 1)))
    if np.unique(times[is_defined]).size < 3:
        return tuple(np.full((3, *logs.shape[:-1]), np.nan))
    centered, defined = times[is_defined] - times[is_defined].mean(), logs[..., is_defined]
    growth = defined @ centered / (centered @ centered)
    mean = defined.mean(axis=-1)
    line = mean[..., np.newaxis] + growth[..., np.newaxis] * centered
    total = ((defined - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    unexplained = ((defined - line) ** 2).sum(axis=-1)
    share = 1 - unexplained / np.where(total > 0, total, np.nan)
    return np.exp(mean - growth * times[is_defined].mean()), growth, share


def state_growth(states: SiteStates, times: Floats) -> tuple[Floats, Floats]:
    """Compute the states' ln variance per unit `(site, average)`, and its growth `(average)`.

    Averages over units: of the logarithm (geometric), and of the variance itself (arithmetic).
    """
    logs = np.full((len(times), 2), np.nan)
    for site, of_site in enumerate(states):
        variance = of_site.astype(np.float64).var(axis=0)
        if (variance > 0).any():
            varying = variance[variance > 0]
            logs[site] = np.log(varying).mean(), np.log(varying.mean())
    return logs, growth_fit(times, logs.T)[1]
