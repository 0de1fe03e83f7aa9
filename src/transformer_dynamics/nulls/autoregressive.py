"""Autoregressive increments: the null model of short-range correlation between increments.

With increments d (sample, step, unit), an envelope e over steps and a size c of each unit:

    d'[n, s, u] = e[s] c[u] z[n, s, u],    z[s] = phi_1 z[s-1] + ... + phi_p z[s-p] + noise

e[s] is the RMS of d over samples and units, each unit divided by its own RMS first, smoothed over
the steps of one kind; c[u] the RMS of d / e. One set of coefficients for all units (see `burg`);
each z is Gaussian with variance 1 from the first step on. Source: ours. Cost: two passes over the
increments and one Gaussian number for each. Not handled: coefficients that depend on the kind of
step; states that are not finite.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.burg import (
    lagged_products,
    prediction_models,
    reflection_coefficients,
)
from transformer_dynamics.nulls.increments import accumulate, increments
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null

SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16
# Lower bound of the envelope over its largest value, so that it can divide and has a logarithm.
SMALLEST_SHARE = 1e-12


@null(
    "autoregressive_increments",
    keeps=(
        "first site; in expectation, size of increments over depth and by unit, and their "
        "short-range autocorrelation pooled over units"
    ),
    destroys="all other structure: direction, single increments, correlation of units, of samples",
)
def autoregressive_increments(recording: Recording, *, seed: int = 0, order: int = 2) -> Recording:
    """Increments drawn from an autoregressive process fitted to those of the recording.

    Samples and units are independent of each other, so the mean over samples of a drawn recording
    moves less than the recording's own: for a statistic of mean traces pass a recording of the
    mean, with one sample. Drift of a unit over depth is not modeled; it enters the
    autocorrelation.

    Args:
        recording: states `(sample, site, unit)`.
        seed: seed of the random numbers.
        order: number of earlier increments that the next one depends on; the first increments of
            a trace have fewer.

    Returns:
        Recording of the same shape and dtype; the first site is the recording's. Its provenance
        holds the fitted `coefficients`, phi_1 first.

    Raises:
        InputError: `order` is below 1.
        RecordingError: the states leave the range of a float16 recording.

    >>> from transformer_dynamics.nulls import synthetic
    >>> turning = synthetic.rotation(n_samples=20, n_sites=61, turns=6)
    >>> drawn = autoregressive_increments(turning, seed=1)
    >>> np.round(drawn.provenance["coefficients"], 3)  # 2 cos(2 pi 6 / 60), -1
    array([ 1.618, -1.   ])
    """
    if order < 1:
        raise InputError(
            f"got order={order}; an increment depends on at least one earlier one: "
            "autoregressive_increments(recording, order=2)"
        )
    values, rng = recording.values, np.random.default_rng(seed)
    envelope, sizes = _scales(_mean_squares(values), recording.step_kinds)
    models = prediction_models(reflection_coefficients(lagged_products(values, envelope, order)))
    recent: deque[Floats] = deque(maxlen=order)

    def increment(step: int) -> Floats:
        coefficients, noise = models[min(step, order)]
        drawn = noise * rng.standard_normal(values[:, 0].shape)
        for coefficient, earlier in zip(coefficients, recent, strict=False):
            drawn += coefficient * earlier
        recent.appendleft(drawn)
        return np.asarray(envelope[step] * sizes * drawn)

    return recording.with_values(
        accumulate(values, increment),
        null="autoregressive_increments",
        seed=seed,
        order=order,
        coefficients=models[-1][0].tolist(),
    )


def _mean_squares(values: Floats) -> Floats:
    """Mean square of the increments over samples, `(step, unit)`."""
    squares = np.empty((values.shape[1] - 1, values.shape[2]))
    for step in range(len(squares)):
        squares[step] = np.square(increments(values, step), dtype=np.float64).mean(axis=0)
    return squares


def _scales(squares: Floats, kinds: NDArray[Any]) -> tuple[Floats, Floats]:
    """Envelope over depth `(step)` and size of each unit `(unit)`, from squares `(step, unit)`."""
    is_moving = squares.any(axis=0)
    if not is_moving.any():
        return np.ones(len(squares)), np.zeros(squares.shape[1])
    moving = squares[:, is_moving]
    envelope = np.sqrt((moving / moving.mean(axis=0)).mean(axis=1))
    logs = np.log(np.maximum(envelope, SMALLEST_SHARE * envelope.max()))
    for kind in set(kinds):
        logs[kinds == kind] = _smoothed(logs[kinds == kind])
    smooth = np.exp(logs)
    return smooth, np.sqrt((squares / smooth[:, np.newaxis] ** 2).mean(axis=0))


def _smoothed(series: Floats) -> Floats:
    """Smooth a series over its neighbors; a straight line stays unchanged, its ends included."""
    reach = len(SMOOTHING) // 2
    extended = np.pad(series, reach, mode="reflect", reflect_type="odd")
    return np.convolve(extended, SMOOTHING, mode="valid")
