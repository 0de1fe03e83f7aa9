"""Increments with random phases over depth (IAAFT) that keep amplitudes and nearly the spectrum.

Source: Schreiber and Schmitz (arXiv chao-dyn/9909037). Cost, for N samples, S sites and D units:
some ten rounds of 4 N D S^2 operations; differences and products are float32 unless the recording
is float64. The implementation is ours: scipy has no IAAFT, and all series of a block are iterated
at once. Not handled: states that are not finite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.nulls.increments import States, within_range, working_dtype
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null

# Series of one block (60 steps each) stay in a core's cache through an IAAFT round.
SERIES_PER_BLOCK = 4096


@null(
    "phase_randomized_increments",
    keeps="first and last site; amplitudes, and nearly the spectrum, of each series of increments",
    destroys="phase relations over depth, and between units and samples",
)
def phase_randomized_increments(
    recording: Recording, *, seed: int = 0, n_iterations: int = 100
) -> Recording:
    """Increments of each sample and unit with random phases over depth (IAAFT).

    Starting from a random order, each series of increments is given the spectrum of the original
    and then, by rank, its amplitudes, in turns until the ranks no longer change. It ends on the
    amplitudes, so these and their sum, the last site, are kept up to rounding; the spectrum of a
    short series is met to a few percent. Series are independent of each other.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.
        n_iterations: largest number of rounds; most series of 60 steps settle within 10.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

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


def _iaaft(series: States, rng: np.random.Generator, n_iterations: int) -> States:
    """Surrogates of `series` `(series, step)` with its amplitudes and nearly its spectrum."""
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
        changing = (following != current).any(axis=1)
        # A series that comes back unchanged is a fixed point: only the others are iterated.
        active, current = active[changing], following[changing]
        sorted_values, spectrum = sorted_values[changing], spectrum[changing]
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


def _magnitudes(coefficients: States) -> States:
    """Magnitude per frequency, `(series, frequency)`, kept above zero so that it can divide."""
    pairs = coefficients.reshape(len(coefficients), 2, -1)
    power = np.einsum("spf,spf->sf", pairs, pairs)
    power += np.finfo(power.dtype).tiny
    return np.asarray(np.sqrt(power, out=power))


def _in_rank_order(targets: States, sorted_values: States) -> States:
    """Arrange `sorted_values`, row by row, in the rank order of `targets`.

    The lowest bits of each target are replaced by its position, so that sorting the numbers, far
    faster than finding the permutation that sorts them, also yields where each came from. Targets
    that agree in all other bits count as tied.
    """
    n_rows, n_steps = targets.shape
    integer = np.dtype(f"i{targets.itemsize}").type
    mask = integer((1 << (n_steps - 1).bit_length()) - 1)
    keys = targets.view(integer) & ~mask
    keys |= np.arange(n_steps, dtype=integer)
    keys.view(targets.dtype).sort(axis=1)
    keys &= mask
    positions = keys + np.arange(0, n_rows * n_steps, n_steps)[:, np.newaxis]
    ordered = np.empty(targets.size, sorted_values.dtype)
    ordered[positions] = sorted_values
    return ordered.reshape(targets.shape)
