"""Surrogates with the recording's own states: sites, units or samples permuted, or a new basis.

    depth                x'[s] = x[pi(s)]
    units                x'[n, s, u] = x[n, s, pi_s(u)]
    samples              x'[n, s, u] = x[pi_s(n), s, u]
    independent units    x'[n, s, u] = x[pi_u(n), s, u]
    basis                x'[s] = x[s] Q,  Q orthogonal and the same at every site

Sources: permuted depth, arXiv 2502.12131; Q is Haar-distributed (Mezzadri, arXiv math-ph/0609050);
the others: ours. Cost: one pass over the states; for the basis 2 S N D^2 operations. Not handled:
samples of one text count as exchangeable; states that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from transformer_dynamics.nulls.increments import States, within_range, working_dtype
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null("permuted_depth", keeps="the states of every sample", destroys="their order over depth")
def permuted_depth(recording: Recording, *, seed: int = 0) -> Recording:
    """States in another order over depth, one permutation for the whole recording.

    The site labels keep their positions, so a step no longer belongs to the layer that its label
    names.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype.
    """
    order = np.random.default_rng(seed).permutation(recording.shape[1])
    permuted = np.take(recording.values, order, axis=1)
    return recording.with_values(permuted, null="permuted_depth", seed=seed)


@null(
    "permuted_units",
    keeps="first site; each site's states up to the names of their units, so norms and angles",
    destroys="identity of units between sites",
)
def permuted_units(recording: Recording, *, seed: int = 0) -> Recording:
    """Units of every site but the first in another order, one permutation per site.

    All samples share the permutation of a site.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.
    """
    values, rng = recording.values, np.random.default_rng(seed)
    permuted = _per_site(
        values, lambda states: np.take(states, rng.permutation(states.shape[1]), axis=1), first=1
    )
    return recording.with_values(permuted, null="permuted_units", seed=seed)


@null(
    "permuted_samples",
    keeps="first site; the states of each site as a set, so every unit's distribution per site",
    destroys="pairing of samples between sites",
)
def permuted_samples(recording: Recording, *, seed: int = 0) -> Recording:
    """Samples of every site but the first in another order, one permutation per site.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.
    """
    values, rng = recording.values, np.random.default_rng(seed)
    permuted = _per_site(values, lambda states: states[rng.permutation(len(states))], first=1)
    return recording.with_values(permuted, null="permuted_samples", seed=seed)


@null(
    "independent_units",
    keeps="every unit's traces over depth, as a set over samples",
    destroys="covariance between units",
)
def independent_units(recording: Recording, *, seed: int = 0) -> Recording:
    """Samples of every unit in another order, one permutation per unit, the same at all sites.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype.
    """
    values, rng = recording.values, np.random.default_rng(seed)
    n_samples, _, n_units = values.shape
    orders = rng.permuted(np.tile(np.arange(n_samples)[:, np.newaxis], n_units), axis=0)
    shuffled = _per_site(values, lambda states: np.take_along_axis(states, orders, axis=0), first=0)
    return recording.with_values(shuffled, null="independent_units", seed=seed)


@null("random_basis", keeps="all distances and angles", destroys="identity of single units")
def random_basis(recording: Recording, *, seed: int = 0) -> Recording:
    """States in a random orthogonal basis, one Haar-distributed matrix for all sites.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    values = recording.values
    dtype = working_dtype(values.dtype)
    basis = stats.ortho_group.rvs(values.shape[2], random_state=np.random.default_rng(seed))
    basis = basis.astype(dtype)
    rotated = _per_site(values, lambda states: states.astype(dtype, copy=False) @ basis, first=0)
    return recording.with_values(rotated, null="random_basis", seed=seed)


def _per_site(values: States, change: Callable[[States], States], *, first: int) -> States:
    """Apply `change` to the states `(sample, unit)` of every site from `first` on."""
    changed = np.empty(values.shape, values.dtype)
    changed[:, :first] = values[:, :first]
    with within_range(values.dtype):
        for site in range(first, values.shape[1]):
            changed[:, site] = change(values[:, site])
    return changed
