"""Statistics of a condition: rotation counts of mean traces, and their permuted points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transformer_dynamics.measures.orbits.rotation import (
    permuted_points_rotation_count,
    rotation_count,
)
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.statistics import Measured, over_texts
from transformer_dynamics.recording.recording import Recording


def _mean_traces(recording: Recording, weights: Floats) -> Floats:
    """Traces averaged over samples, `(draw, unit, site)`."""
    states = recording.values
    flat = weights.astype(states.dtype) @ states.reshape(len(states), -1)
    return np.asarray(flat.reshape(len(weights), *states.shape[1:]).swapaxes(1, 2))


def turns(summary: Callable[[Floats], Floats]) -> Measured:
    """Summary over units, `(draw, unit)` to `(draw)`, of the rotation counts of mean traces."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        return summary(rotation_count(_mean_traces(recording, weights)))

    return over_texts(statistic)


def shuffled_turns(summary: Callable[[Floats], Floats]) -> Measured:
    """`turns` with the points of each trace permuted, as in the paper's null."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        traces = _mean_traces(recording, weights)
        return summary(permuted_points_rotation_count(traces, seed=len(weights)))

    return over_texts(statistic)


def signed_mean(counts: Floats) -> Floats:
    """Mean over units of signed counts, `(draw)`."""
    return np.asarray(np.nanmean(counts, axis=-1))


def mean_magnitude(counts: Floats) -> Floats:
    """Mean over units of the magnitudes, `(draw)`."""
    return np.asarray(np.nanmean(np.abs(counts), axis=-1))


def least(counts: Floats) -> Floats:
    """Smallest magnitude over units, `(draw)`."""
    return np.asarray(np.nanmin(np.abs(counts), axis=-1))


def largest(counts: Floats) -> Floats:
    """Largest magnitude over units, `(draw)`."""
    return np.asarray(np.nanmax(np.abs(counts), axis=-1))
