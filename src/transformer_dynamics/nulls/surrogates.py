"""Surrogates: nulls that are drawn from a recording alone, without its model.

Each keeps one part of a recording's structure and destroys the rest (see each function, and the
table in the documentation). With states x (sample, site, unit) and steps d[s] = x[s+1] - x[s]:

    random walk            x'[s+1] = x'[s] + g mu[s] + a Gaussian with the covariance of d[s]
    signs, order           x'[s+1] = x'[s] + sigma[s] d[s],   x'[s+1] = x'[s] + d[pi(s)]
    IAAFT                  the same amplitudes and spectrum of d over s, other phases
    depth, units, samples  x'[n, s, u] = x[n, pi(s), u],  x[n, s, pi_s(u)],  x[pi_s(n), s, u]
    basis                  x'[s] = x[s] Q,  Q orthogonal and the same at every site

Cost, for N samples, S sites and D units: the walk takes S N min(N, D) Gaussian numbers and about
2 S N D min(N, D) operations, the basis 2 S N D^2, IAAFT some ten rounds of 4 N D S^2, the others
one pass. Differences and products are float32 unless the recording is float64; walks accumulate
in float64. Nothing as large as the recording is made beside the result.

The same seed gives the same bits on the same machine with the same number of BLAS threads.

Sources: the paper under test, arXiv 2502.12131, permutes depth; the matched walk and the rest are
ours. IAAFT is that of Schreiber and Schmitz (arXiv chao-dyn/9909037); the orthogonal matrix is
Haar-distributed by the QR method of Mezzadri (arXiv math-ph/0609050).

Not handled: samples of the same text are treated as exchangeable, as any others; states that are
not finite spread to other samples and units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls.increments import (
    Floats,
    accumulate,
    increments,
    within_range,
    working_dtype,
)
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null

# So many series at a time (60 steps each) stay in a core's cache through an IAAFT round.
SERIES_PER_BLOCK = 4096


@null(
    "random_walk",
    keeps="first site; covariance over samples and mean size per unit of each step",
    destroys="direction, order, everything learned",
)
def random_walk(recording: Recording, *, seed: int = 0) -> Recording:
    """A Gaussian random walk matched to the recording step by step.

    Each step is `g * mean step + centered part`: g is standard normal, one number per unit and the
    same for all samples, so that the path all samples share is a walk too; the centered part is
    Gaussian, independent between samples and steps, with the covariance of the recording's own
    steps over samples, `(unit, unit)`, denominator n_samples - 1. So its speed is the recording's
    in mean square, and the angle between its steps is pi/2 on average. With one sample there is
    no centered part.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the walk leaves the range of a float16 recording.

    >>> from transformer_dynamics.nulls import synthetic
    >>> walk = random_walk(synthetic.line(n_samples=8, n_sites=5, n_units=4), seed=1)
    >>> walk.shape, walk.provenance["system"], walk.provenance["null"], walk.provenance["seed"]
    ((8, 5, 4), 'line', 'random_walk', 1)
    """
    values, rng = recording.values, np.random.default_rng(seed)
    walk = accumulate(values, lambda step: _matched_step(increments(values, step), rng))
    return recording.with_values(walk, null="random_walk", seed=seed)


@null(
    "sign_flipped_increments",
    keeps="first site; size of every increment of every unit, in each sample and in their mean",
    destroys="signs of the increments over depth, and their agreement between units",
)
def sign_flipped_increments(recording: Recording, *, seed: int = 0) -> Recording:
    """Every increment with a random sign, one per step and unit and the same for all samples.

    Since the samples share the signs, the trace averaged over samples keeps the sizes of its
    increments as well.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    values = recording.values
    _, n_sites, n_units = values.shape
    flips = np.random.default_rng(seed).integers(0, 2, size=(n_sites - 1, n_units))
    signs = (1 - 2 * flips).astype(working_dtype(values.dtype))
    flipped = accumulate(values, lambda step: increments(values, step) * signs[step])
    return recording.with_values(flipped, null="sign_flipped_increments", seed=seed)


@null("permuted_increments", keeps="first and last site; the steps", destroys="their order")
def permuted_increments(recording: Recording, *, seed: int = 0) -> Recording:
    """The same steps in another order, one permutation for the whole recording.

    Their sum stays, and with it the last site, up to rounding.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    values = recording.values
    order = np.random.default_rng(seed).permutation(values.shape[1] - 1)
    permuted = accumulate(values, lambda step: increments(values, order[step]))
    return recording.with_values(permuted, null="permuted_increments", seed=seed)


@null(
    "phase_randomized_increments",
    keeps="first and last site; amplitudes, and nearly the spectrum, of each series of increments",
    destroys="phase relations over depth, and between units and samples",
)
def phase_randomized_increments(
    recording: Recording, *, seed: int = 0, n_iterations: int = 100
) -> Recording:
    """Increments of each sample and unit with other phases over depth (IAAFT).

    Starting from a random order, each series of increments is given the spectrum of the original
    and then, by rank, its amplitudes, in turns until the ranks no longer change. It ends on the
    amplitudes, so these and their sum, the last site, are kept up to rounding; the spectrum of a
    short series is met to some per cent. Series are independent of each other.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.
        n_iterations: rounds at most; most series of 60 steps settle within 10.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.

    Raises:
        RecordingError: `n_iterations` is below 1, or the states leave the range of float16.
    """
    if n_iterations < 1:
        raise RecordingError(
            f"got n_iterations={n_iterations}; IAAFT takes at least one round: "
            "phase_randomized_increments(recording, n_iterations=100)"
        )
    values, rng = recording.values, np.random.default_rng(seed)
    n_samples, n_sites, n_units = values.shape
    randomized = np.empty(values.shape, values.dtype)
    randomized[:, 0] = values[:, 0]
    block_size = max(1, SERIES_PER_BLOCK // n_units)
    for start in range(0, n_samples if n_sites > 1 else 0, block_size):
        block = slice(start, start + block_size)
        states = values[block].astype(working_dtype(values.dtype), copy=False)
        series = np.diff(states, axis=1).transpose(0, 2, 1).reshape(-1, n_sites - 1)
        surrogate = _iaaft(np.ascontiguousarray(series), rng, n_iterations)
        path = np.cumsum(surrogate, axis=1, dtype=np.float64).reshape(-1, n_units, n_sites - 1)
        path += states[:, 0, :, None]
        with within_range(values.dtype):
            randomized[block, 1:] = path.transpose(0, 2, 1)
    return recording.with_values(
        randomized, null="phase_randomized_increments", seed=seed, n_iterations=n_iterations
    )


@null("permuted_depth", keeps="the states of every sample", destroys="their order over depth")
def permuted_depth(recording: Recording, *, seed: int = 0) -> Recording:
    """The states in another order over depth, one permutation for the whole recording.

    The site labels stay in their places, so a step no longer is what its label says.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype.
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
    """The units of every site but the first in another order, a permutation per site.

    All samples share the permutation of a site.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.
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
    """The samples of every site but the first in another order, a permutation per site.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's.
    """
    values, rng = recording.values, np.random.default_rng(seed)
    permuted = _per_site(values, lambda states: states[rng.permutation(len(states))], first=1)
    return recording.with_values(permuted, null="permuted_samples", seed=seed)


@null("random_basis", keeps="all distances and angles", destroys="what sets single units apart")
def random_basis(recording: Recording, *, seed: int = 0) -> Recording:
    """The states in a random orthogonal basis, one Haar-distributed matrix for all sites.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.

    Returns:
        A recording of the same shape and dtype.

    Raises:
        RecordingError: the states leave the range of a float16 recording.
    """
    values = recording.values
    dtype = working_dtype(values.dtype)
    basis = stats.ortho_group.rvs(values.shape[2], random_state=np.random.default_rng(seed))
    basis = basis.astype(dtype)
    rotated = _per_site(values, lambda states: states.astype(dtype, copy=False) @ basis, first=0)
    return recording.with_values(rotated, null="random_basis", seed=seed)


def _matched_step(own: Floats, rng: np.random.Generator) -> Floats:
    """A Gaussian step with the mean size and the covariance of `own`, `(sample, unit)`."""
    n_samples, n_units = own.shape
    dtype = own.dtype.type
    mean = own.mean(axis=0, dtype=np.float64).astype(dtype)
    common: Floats = mean * rng.standard_normal(n_units, dtype=dtype)
    if n_samples == 1:
        return common[np.newaxis]
    factor = own - mean
    if n_units < n_samples:
        factor = _square_factor(factor)
    step: Floats = rng.standard_normal((n_samples, len(factor)), dtype=dtype) @ factor
    step *= dtype(1 / np.sqrt(n_samples - 1))
    step += common
    return step


def _square_factor(centered: Floats) -> Floats:
    """R, `(unit, unit)`, with R'R = E'E for E `(sample, unit)`: fewer rows, the same covariance."""
    try:
        return np.asarray(linalg.cholesky(centered.T @ centered, check_finite=False))
    except linalg.LinAlgError:
        # Units that depend on each other; QR takes twice as long and needs no independence.
        return np.asarray(linalg.qr(centered, mode="r", check_finite=False)[0][: centered.shape[1]])


def _iaaft(series: Floats, rng: np.random.Generator, n_iterations: int) -> Floats:
    """Surrogates of `series`, `(series, step)`, with its amplitudes and nearly its spectrum."""
    basis = _fourier_basis(series.shape[1]).astype(series.dtype)
    sorted_values = np.sort(series, axis=1)
    spectrum = _magnitudes(series @ basis)
    result = _in_rank_order(rng.random(series.shape, dtype=series.dtype.type), sorted_values)
    current, active = result.copy(), np.arange(len(series))
    for _ in range(n_iterations):
        coefficients = current @ basis
        pairs = coefficients.reshape(len(current), 2, -1)
        pairs *= (spectrum / _magnitudes(coefficients))[:, np.newaxis]
        following = _in_rank_order(coefficients @ basis.T, sorted_values)
        moving = (following != current).any(axis=1)
        # A series that came back unchanged stays so: only the others go on.
        active, current = active[moving], following[moving]
        sorted_values, spectrum = sorted_values[moving], spectrum[moving]
        result[active] = current
        if not active.size:
            break
    return result


def _fourier_basis(n_steps: int) -> NDArray[np.float64]:
    """Cosines, then sines, `(step, 2 frequency)`; B B' = 1.

    For the hundred or so steps of a model, often a prime number, a matrix product is several
    times faster than a fast Fourier transform.
    """
    frequencies = np.arange(n_steps // 2 + 1)
    angles = 2 * np.pi / n_steps * (np.arange(n_steps)[:, np.newaxis] * frequencies % n_steps)
    multiplicity = np.where((frequencies == 0) | (2 * frequencies == n_steps), 1.0, 2.0)
    scale = np.sqrt(np.tile(multiplicity, 2) / n_steps)
    return np.asarray(np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * scale)


def _magnitudes(coefficients: Floats) -> Floats:
    """Magnitude per frequency, `(series, frequency)`, held just above zero to be divided by."""
    pairs = coefficients.reshape(len(coefficients), 2, -1)
    power = np.einsum("spf,spf->sf", pairs, pairs)
    power += np.finfo(power.dtype).tiny
    return np.asarray(np.sqrt(power, out=power))


def _in_rank_order(targets: Floats, sorted_values: Floats) -> Floats:
    """`sorted_values` put, row by row, into the order of rank of `targets`.

    The lowest bits of each target give way to its position, so that sorting the numbers, far
    faster than finding the permutation that sorts them, says where each came from. Targets that
    agree in all other bits count as tied.
    """
    n_rows, n_steps = targets.shape
    integer = np.dtype(f"i{targets.itemsize}").type
    mask = integer((1 << (n_steps - 1).bit_length()) - 1)
    keys = targets.view(integer) & ~mask
    keys |= np.arange(n_steps, dtype=integer)
    keys.view(targets.dtype).sort(axis=1)
    keys &= mask
    places = keys + np.arange(0, n_rows * n_steps, n_steps)[:, np.newaxis]
    ordered = np.empty(targets.size, sorted_values.dtype)
    ordered[places] = sorted_values
    return ordered.reshape(targets.shape)


def _per_site(values: Floats, change: Callable[[Floats], Floats], *, first: int) -> Floats:
    """`change` applied to the states `(sample, unit)` of every site from `first` on."""
    changed = np.empty(values.shape, values.dtype)
    changed[:, :first] = values[:, :first]
    with within_range(values.dtype):
        for site in range(first, values.shape[1]):
            changed[:, site] = change(values[:, site])
    return changed
