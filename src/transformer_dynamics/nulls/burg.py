"""Autoregressive coefficients of increments by Burg's method, pooled over units.

One set for all units: 60 steps determine those of a single unit only to 0.13, those of 576 units
together to 0.005. The coefficients minimize the squared forward and backward prediction errors,
summed over samples, steps and units, order by order, which always gives a stationary process. A
unit is weighted by the inverse of its errors, as maximum likelihood does.

Source: Burg's method; the pooling is ours. Cost: one pass over the increments.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from transformer_dynamics.nulls.increments import increments
from transformer_dynamics.numerics.arrays import Floats

# Prediction errors below this share of the power are rounding errors.
ROUNDING = 1e-12
# Rounds of weighting units by their prediction errors; the third changes the fourth digit.
N_WEIGHTINGS = 3


def lagged_products(values: Floats, envelope: Floats, order: int) -> Floats:
    """Sum products z[s - i] z[s - j] of increments over their envelope over samples and steps.

    Args:
        values: states `(sample, site, unit)`.
        envelope: size of the increments, `(step)`.
        order: largest lag.

    Returns:
        `(m, i, j, unit)`, i and j from 0 to m, over the steps that have m = 0, 1, ... earlier ones.
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


def reflection_coefficients(products: Floats) -> Floats:
    """Correlation of an increment with the one m steps back given those between, `(m)`.

    A unit is weighted by the inverse of its squared prediction errors. Dividing by its squares
    instead would pull the result toward 0, since both fluctuate together in a short trace.
    """
    powers = products[0, 0, 0]
    weights = _inverse(powers)
    for _ in range(N_WEIGHTINGS):
        reflections, errors = _burg(products @ weights)
        squared = np.einsum("i,iju,j->u", errors, products[-1], errors)
        weights = _inverse(np.maximum(squared, ROUNDING * powers))
    return reflections


def _burg(products: Floats) -> tuple[Floats, Floats]:
    """Reflection coefficients of products `(m, i, j)`, and the prediction error filter.

    The filter `(lag)` gives the errors z[s] - phi_1 z[s-1] - ... .
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


def prediction_models(reflections: Floats) -> list[tuple[Floats, float]]:
    """Coefficients and noise of the prediction from 0, 1, ... earlier values of variance 1.

    Drawn with the shorter models, the first increments have the distribution of all later ones.
    """
    models = [(np.zeros(0), 1.0)]
    for reflection in reflections:
        shorter, noise = models[-1]
        coefficients = np.append(shorter - reflection * shorter[::-1], reflection)
        models.append((coefficients, noise * float(np.sqrt(1 - reflection**2))))
    return models
