"""Surrogates of pooled traces: sign-flipped increments, and Fourier phases shared by samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from transformer_dynamics.numerics.arrays import Floats


def flipped_signs(traces: Floats, rng: np.random.Generator) -> Floats:
    """Traces whose increments have random signs, the same for all samples of a unit.

    Args:
        traces: `(sample, unit, site)`, in stream units.
        rng: generator of the signs.

    Returns:
        `(sample, unit, site)`; the first site and the sizes of the increments are kept.
    """
    increments = np.diff(traces, axis=-1)
    signs = rng.choice([-1.0, 1.0], size=increments.shape[1:])
    path = traces.copy()
    path[..., 1:] = traces[..., :1] + np.cumsum(increments * signs, axis=-1)
    return path


def shared_phases(traces: Floats, rng: np.random.Generator) -> Floats:
    """Traces of a linear process with the same values, spectra and coherence between samples.

    Args:
        traces: `(sample, unit, site)`, of the same size at every depth: see `relative`.
        rng: generator of the phases.

    Returns:
        `(sample, unit, site)`; every trace is a permutation of the original.
    """
    n_sites = traces.shape[-1]
    values = np.sort(traces, axis=-1)
    scores = special.ndtri((np.arange(n_sites) + 0.5) / n_sites)
    transformed = np.fft.rfft(scores[_ranks(traces)], axis=-1)
    angles = rng.uniform(0, 2 * np.pi, size=transformed.shape[1:])
    turned = np.fft.irfft(transformed * np.exp(1j * angles), n_sites, axis=-1)
    return np.take_along_axis(values, _ranks(turned), axis=-1)


def _ranks(traces: Floats) -> NDArray[np.int64]:
    """Rank of each value within its trace, from 0."""
    order = np.argsort(traces, axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(traces.shape[-1]), axis=-1)
    return ranks
