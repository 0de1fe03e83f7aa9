"""Autoregressive increments: the null for what short-range correlation of increments explains.

With increments d (sample, step, unit), an envelope e over steps and a size c of each unit:

    d'[n, s, u] = e[s] c[u] z[n, s, u],    z[s] = phi_1 z[s-1] + ... + phi_p z[s-p] + noise

Envelope. A unit's increments are divided by their RMS over samples and steps, so that every unit
counts equally; e[s] is their RMS over samples and units, and its logarithm is smoothed over the
steps of one kind (attention, MLP, ...) with the weights 1, 4, 6, 4, 1. Size c[u]: RMS of d / e.

Coefficients. One set for all units: 60 steps determine those of a single unit only to 0.13, those
of 576 units together to 0.005. They minimize the squared forward and backward prediction errors of
d / e, summed over samples, steps and units, order by order (Burg), which always gives a stationary
process; a unit is weighted by the inverse of its errors, as maximum likelihood does. Each z is
Gaussian with variance 1 from the first step on.

Source: ours. Cost: two passes over the increments and one Gaussian number for each. Not handled:
coefficients that depend on the kind of step; states that are not finite.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls.increments import Floats, accumulate, increments
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import null

SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16
# An envelope stays above this share of its largest value, so that it can be divided by and logged.
SMALLEST_SHARE = 1e-12
# Prediction errors below this share of the power are rounding errors.
ROUNDING = 1e-12
# Rounds of weighting units by their prediction errors; the third changes the fourth digit.
N_WEIGHTINGS = 3


@null(
    "autoregressive_increments",
    keeps=(
        "first site; in expectation, size of increments over depth and by unit, and their "
        "short-range autocorrelation pooled over units"
    ),
    destroys="everything else: direction, single increments, correlation of units and of samples",
)
def autoregressive_increments(recording: Recording, *, seed: int = 0, order: int = 2) -> Recording:
    """Increments drawn from an autoregressive process fitted to the recording's.

    Samples and units are independent of each other, so the mean over samples of a drawn recording
    moves less than the recording's own: for a statistic of mean traces give the recording of the
    mean, of one sample. Drift of a unit over depth is not modeled; what there is of it enters the
    autocorrelation.

    Args:
        recording: states `(sample, site, unit)`.
        seed: of the random numbers.
        order: number of earlier increments that the next one depends on; the first ones of a trace
            depend on as many as there are.

    Returns:
        A recording of the same shape and dtype; the first site is the recording's. Its provenance
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
            f"got order={order}; an increment depends on one earlier one at least: "
            "autoregressive_increments(recording, order=2)"
        )
    values, rng = recording.values, np.random.default_rng(seed)
    envelope, sizes = _scales(_mean_squares(values), recording.step_kinds)
    reflections = _reflections(_lagged_products(values, envelope, order))
    models = _prediction_models(reflections)
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
    """Envelope over depth `(step)` and size of each unit `(unit)`, of squares `(step, unit)`."""
    moves = squares.any(axis=0)
    if not moves.any():
        return np.ones(len(squares)), np.zeros(squares.shape[1])
    moving = squares[:, moves]
    envelope = np.sqrt((moving / moving.mean(axis=0)).mean(axis=1))
    logs = np.log(np.maximum(envelope, SMALLEST_SHARE * envelope.max()))
    for kind in set(kinds):
        logs[kinds == kind] = _smoothed(logs[kinds == kind])
    smooth = np.exp(logs)
    return smooth, np.sqrt((squares / smooth[:, np.newaxis] ** 2).mean(axis=0))


def _smoothed(series: Floats) -> Floats:
    """A series smoothed over its neighbors; a straight line, its ends included, stays as it is."""
    reach = len(SMOOTHING) // 2
    extended = np.pad(series, reach, mode="reflect", reflect_type="odd")
    return np.convolve(extended, SMOOTHING, mode="valid")


def _lagged_products(values: Floats, envelope: Floats, order: int) -> Floats:
    """Products z[s - i] z[s - j] of increments over their envelope, summed over samples and steps.

    Returns:
        `(m, i, j, unit)`, i and j from 0 to m, of the steps with m = 0, 1, ... earlier ones.
    """
    products = np.zeros((order + 1, order + 1, order + 1, values.shape[2]))
    recent: deque[Floats] = deque(maxlen=order + 1)
    for step, size in enumerate(envelope):
        recent.appendleft(increments(values, step) / np.float64(size))
        window = np.stack(recent)
        squares = np.einsum("inu,jnu->iju", window, window)
        for lag in range(len(recent)):
            products[lag, : lag + 1, : lag + 1] += squares[: lag + 1, : lag + 1]
    return products


def _reflections(products: Floats) -> Floats:
    """Correlation of an increment with the one m steps back given those between, m = 1, 2, ...

    A unit counts by the inverse of its squared prediction errors. Dividing by its squares instead
    would pull the result toward 0, since both fluctuate together in a short trace.
    """
    powers = products[0, 0, 0]
    weights = _inverse(powers)
    for _ in range(N_WEIGHTINGS):
        reflections, errors = _burg(products @ weights)
        squared = np.einsum("i,iju,j->u", errors, products[-1], errors)
        weights = _inverse(np.maximum(squared, ROUNDING * powers))
    return reflections


def _burg(products: Floats) -> tuple[Floats, Floats]:
    """Reflection coefficients of products `(m, i, j)`, and weights that give the prediction error.

    The errors are z[s] - phi_1 z[s-1] - ..., `(lag,)`.
    """
    order = len(products) - 1
    reflections, errors = np.zeros(order), np.ones(1)
    for lag in range(1, order + 1):
        summed = products[lag, : lag + 1, : lag + 1]
        forward = np.append(errors, 0.0)
        backward = forward[::-1]
        power = forward @ summed @ forward + backward @ summed @ backward
        if power > ROUNDING * np.trace(summed):
            reflections[lag - 1] = np.clip(2 * forward @ summed @ backward / power, -1, 1)
        errors = forward - reflections[lag - 1] * backward
    return reflections, errors


def _inverse(powers: Floats) -> Floats:
    """Inverse of each unit's power `(unit)`; zero for units that do not move."""
    return np.divide(1, powers, out=np.zeros_like(powers), where=powers > 0)


def _prediction_models(reflections: Floats) -> list[tuple[Floats, float]]:
    """Coefficients and noise of the prediction from 0, 1, ... earlier values of variance 1.

    Starting from nothing, the first increments drawn so have the distribution of all later ones.
    """
    models = [(np.zeros(0), 1.0)]
    for reflection in reflections:
        shorter, noise = models[-1]
        coefficients = np.append(shorter - reflection * shorter[::-1], reflection)
        models.append((coefficients, noise * float(np.sqrt(1 - reflection**2))))
    return models
