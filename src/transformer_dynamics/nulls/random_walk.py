"""Random walk matched to a recording step by step.

With increments d[s] = x[s+1] - x[s] and their mean over samples mu[s]:

    x'[s+1] = x'[s] + g mu[s] + a Gaussian with the covariance of d[s] over samples

A statistic of a few sites, or of means over samples, needs no whole walk: see `matched_walk`.
Source: ours. Cost, for N samples, S sites and D units: S N min(N, D) Gaussian numbers and about
2 S N D min(N, D) operations. Differences and products are float32 unless the recording is float64;
the walk accumulates in float64. Not handled: states that are not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.nulls.in_blocks.step_moments import moves_in_blocks, root
from transformer_dynamics.nulls.increments import States, accumulate, increments, working_dtype
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null


@null(
    "random_walk",
    keeps="first site; covariance over samples and mean size per unit of each step",
    destroys="direction, order, everything learned",
)
def random_walk(recording: Recording, *, seed: int = 0) -> Recording:
    """Gaussian random walk matched to the recording step by step.

    Each step is `g * mean step + centered part`. The factor g is standard normal, one number per
    unit and the same for all samples, so that the path that all samples share is a walk too. The
    centered part is Gaussian, independent between samples and steps, with the covariance over
    samples of the recording's own steps, `(unit, unit)`, denominator n_samples - 1. With one
    sample there is no centered part.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's.

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


def _matched_step(own: States, rng: np.random.Generator) -> States:
    """Gaussian step with the mean size and the covariance of `own`, `(sample, unit)`."""
    n_samples, n_units = own.shape
    dtype = own.dtype.type
    mean = own.mean(axis=0, dtype=np.float64).astype(dtype)
    common: States = mean * rng.standard_normal(n_units, dtype=dtype)
    if n_samples == 1:
        return common[np.newaxis]
    factor = own - mean
    if n_units < n_samples:
        factor = _square_factor(factor)
    step: States = rng.standard_normal((n_samples, len(factor)), dtype=dtype) @ factor
    step *= dtype(1 / np.sqrt(n_samples - 1))
    step += common
    return step


def _square_factor(centered: States) -> States:
    """R `(unit, unit)` with R'R = E'E for E `(sample, unit)`: fewer rows, the same covariance."""
    try:
        return np.asarray(np.linalg.cholesky(centered.T @ centered).T)
    except np.linalg.LinAlgError:
        # Linearly dependent units; QR takes twice as long and needs no independence.
        return np.asarray(np.linalg.qr(centered, mode="r"))


@dataclass(frozen=True)
class MatchedWalk:
    """Random walk matched to a recording.

    Attributes:
        start: states at the first site of the recording, `(row, unit)`.
        shares: size of the centered part of each row, `(row)`; 1/sqrt(n) for a mean of n samples.
        spreads: standard deviation of the part that all rows share, `(move, unit)`.
        factors: for each move between sites a factor R `(rank, unit)` of its covariance R'R.
        starts: whether the first move starts at the first site that is kept.
    """

    start: Floats
    shares: Floats
    spreads: States
    factors: tuple[States, ...]
    starts: bool

    def draw(self, seed: int) -> Floats:
        """Draw the states at the sites that are kept, `(row, site, unit)`."""
        rng, dtype = np.random.default_rng(seed), self.spreads.dtype.type
        states = self.start.copy()
        path = [self.start] if self.starts else []
        for spread, factor in zip(self.spreads, self.factors, strict=True):
            states += spread * rng.standard_normal(spread.size, dtype=dtype)
            numbers = rng.standard_normal((len(states), len(factor)), dtype=dtype)
            states += (numbers @ factor) * self.shares[:, np.newaxis]
            path.append(states.copy())
        return np.stack(path, axis=1)


def matched_walk(
    recording: Recording,
    start: ArrayLike,
    *,
    sites: Sequence[int] | NDArray[np.int64] | None = None,
    sizes: Sequence[int] | None = None,
) -> MatchedWalk:
    """Prepare random walks at some sites of a recording, for samples or means of samples.

    The steps between two sites add up to one Gaussian with the sum of their covariances, and a mean
    of n samples has a centered part smaller by sqrt(n). So the distribution is that of
    `random_walk`; the random numbers are others. Cost: once, products
    of N D^2 for each step where several are joined; per draw 2 R D min(N, D) operations for R rows
    and each pair of sites.

    Args:
        recording: states `(sample, site, unit)` that the steps are taken from.
        start: states at its first site that the walks start from, `(row, unit)`.
        sites: positions of the sites to keep, ascending; by default all.
        sizes: number of samples that each row is a mean of; by default 1.

    >>> line = np.arange(4.0)[:, np.newaxis] * np.ones(2)
    >>> walk = matched_walk(Recording.from_array(np.stack([line, line])), np.zeros((1, 2)))
    >>> walk.spreads.tolist(), walk.draw(seed=0).shape
    ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], (1, 4, 2))
    """
    kept = np.arange(recording.shape[1]) if sites is None else np.asarray(sites)
    ends = kept[kept > 0]
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    dtype = working_dtype(recording.activation.dtype)
    if recording.in_memory:
        moves = [_move(recording.values, *each) for each in spans]
    else:
        moves = moves_in_blocks(recording, spans)
    start = np.asarray(start, dtype=np.float64)
    shares = 1 / np.sqrt(np.ones(len(start)) if sizes is None else sizes)
    return MatchedWalk(
        start,
        shares.astype(dtype),
        np.stack([spread for spread, _ in moves]),
        tuple(factor for _, factor in moves),
        bool(kept[0] == 0),
    )


def _move(values: States, begin: int, end: int) -> tuple[States, States]:
    """Spread `(unit)` and factor `(rank, unit)` of the steps from one site to a later one."""
    n_samples, _, n_units = values.shape
    dtype = working_dtype(values.dtype)
    squares, parts = np.zeros(n_units), []
    covariance = np.zeros((n_units, n_units))
    is_joined = (end - begin) * n_samples > n_units
    for step in range(begin, end):
        own = increments(values, step)
        mean = own.mean(axis=0, dtype=np.float64)
        squares += mean**2
        deviations = (own - mean.astype(dtype)) / np.sqrt(max(1, n_samples - 1), dtype=dtype)
        if is_joined:
            covariance += deviations.T @ deviations
        else:
            parts.append(deviations)
    factor = root(covariance) if is_joined else np.concatenate(parts)
    return np.sqrt(squares).astype(dtype), factor.astype(dtype, copy=False)
