"""Joint histograms of a unit at two sites, and the rank correlation from them.

The bins of a unit are cut at quantiles of the first samples, so that their counts are about equal.
Normal scores averaged within bins correlate too little; the correlation is corrected by the ratio
for a bivariate normal in bins of equal counts (1 to 2 % with 16 bins).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats

BINS = 16
# Points of the quadrature for the correction; a multiple of the number of bins.
QUADRATURE = 250 * BINS


def rank_correlation(joint: NDArray[Any]) -> Floats:
    """Correlation of normal scores from counts in pairs of bins.

    Args:
        joint: Number of samples in each pair of bins, `(..., bin, other_bin)`.

    Returns:
        `(...)`, dimensionless; NaN if all samples lie in one bin at either site.

    >>> float(rank_correlation(np.eye(BINS)).round(3))
    1.0
    """
    share = joint / joint.sum(axis=(-2, -1), keepdims=True)
    before, after = share.sum(axis=-1), share.sum(axis=-2)
    first, second = _scores(before), _scores(after)
    covariance = np.einsum("...bc,...b,...c->...", share, first, second)
    spread = (before * first**2).sum(axis=-1) * (after * second**2).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        spread = np.where(spread == 0, np.nan, spread)
    return _unbinned(np.clip(covariance / np.sqrt(spread), -1.0, 1.0))


def quantile_edges(values: NDArray[Any]) -> Floats:
    """Edges of bins of equal counts, `(site, unit, edge)`: quantiles over samples."""
    shares = np.arange(1, BINS) / BINS
    sites = [np.quantile(values[:, site], shares, axis=0).T for site in range(values.shape[1])]
    return np.stack(sites).astype(np.float64)


def binned(states: NDArray[Any], edges: Floats) -> NDArray[np.int64]:
    """Bin of each state of one site, `(sample, unit)`: the number of edges below the state."""
    bins = np.zeros(states.shape, dtype=np.int64)
    for edge in edges.T:
        bins += states > edge
    return bins


def joint_counts(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of samples in each pair of bins, `(unit, bin, other_bin)`."""
    n_units = first.shape[1]
    code = (np.arange(n_units) * BINS + first) * BINS + second
    counts = np.bincount(code.ravel(), minlength=n_units * BINS * BINS)
    return np.asarray(counts.reshape(n_units, BINS, BINS))


def joint_histograms(values: NDArray[Any], edges: Floats) -> NDArray[np.int64]:
    """Count samples in each pair of bins at neighboring sites, `(step, unit, bin, other_bin)`.

    Args:
        values: States `(sample, site, unit)`.
        edges: Edges of the bins, `(site, unit, edge)`.
    """
    _, n_sites, n_units = values.shape
    joint = np.empty((n_sites - 1, n_units, BINS, BINS), dtype=np.int64)
    before = binned(values[:, 0], edges[0])
    for step in range(n_sites - 1):
        after = binned(values[:, step + 1], edges[step + 1])
        joint[step] = joint_counts(before, after)
        before = after
    return joint


def _scores(share: Floats) -> Floats:
    """Mean normal score of each bin, from the bins' shares along the last axis; 0 if empty."""
    upper = np.clip(np.cumsum(share, axis=-1), 0.0, 1.0)
    lower = np.clip(upper - share, 0.0, 1.0)
    density = [
        np.exp(-0.5 * scipy.special.ndtri(bound) ** 2) / np.sqrt(2 * np.pi)
        for bound in (lower, upper)
    ]
    blank = np.zeros_like(share)
    return np.asarray(np.divide(density[0] - density[1], share, out=blank, where=share > 0))


def _unbinned(binned: Floats) -> Floats:
    """Correct a correlation of binned normal scores to that of the bivariate normal itself."""
    true, averaged = _binning_table()
    size: Floats = np.interp(np.abs(binned), averaged, true)
    return np.sign(binned) * size


@functools.cache
def _binning_table() -> tuple[Floats, Floats]:
    """Correlations from 0 to 1, and the correlations of scores averaged within equal-count bins.

    Computed by quadrature of the second variable's conditional mean score over the first variable.
    """
    true = np.append(np.tanh(np.linspace(0, 5, 101)), 1.0)
    share = np.full(BINS, 1 / BINS)
    scores = _scores(share)
    bounds = scipy.special.ndtri(np.arange(1, BINS) / BINS)
    z = scipy.special.ndtri((np.arange(QUADRATURE) + 0.5) / QUADRATURE)
    own = scores[np.searchsorted(bounds, z)]
    averaged = np.ones_like(true)
    for place, r in enumerate(true[:-1]):
        below = scipy.special.ndtr((bounds[:, np.newaxis] - r * z) / np.sqrt(1 - r * r))
        within = np.diff(below, axis=0, prepend=0.0, append=1.0)
        averaged[place] = np.mean(own * (scores @ within)) / np.mean(own * own)
    return true, averaged
