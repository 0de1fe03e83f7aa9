"""Finite-time Lyapunov exponents by the QR method: growth rates of small deviations.

For the Jacobians J_1 ... J_n along a trajectory, Q_0 = I and J_k Q_(k-1) = Q_k R_k:

    lambda_i = (1/n) sum_k ln |R_k[i, i]|        in nats per step, descending

Cost: n/2 QR factorizations, 4/3 D^3 each, since two steps share one. Source: Benettin et al.
(1980), Eckmann and Ruelle (1985). Limit: a network has finitely many steps, so that its exponents
depend on its depth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

# Two steps of a network spread directions far less than float64 resolves; QR dominates the cost.
STEPS_PER_QR = 2


def lyapunov_exponents(matrices: ArrayLike) -> Floats:
    """Finite-time Lyapunov spectrum of a chain of Jacobians.

    Args:
        matrices: `(step, unit, unit)`, the first step first, outputs in rows.

    Returns:
        `(exponent)`, in nats per step, descending; -inf for a direction that is lost.

    Raises:
        InputError: the matrices are not square, or not finite.

    >>> lyapunov_exponents([np.diag([2.0, 0.5])] * 3).round(6).tolist()
    [0.693147, -0.693147]
    """
    steps = np.asarray(matrices, dtype=np.float64)
    if steps.ndim != 3 or steps.shape[1] != steps.shape[2] or not np.isfinite(steps).all():
        raise InputError(
            f"got matrices of shape {steps.shape}; they are (step, unit, unit) and finite: "
            "lyapunov_exponents(step_jacobians(flow))"
        )
    frame = np.eye(steps.shape[-1])
    total = np.zeros(steps.shape[-1])
    for first in range(0, len(steps), STEPS_PER_QR):
        for step in steps[first : first + STEPS_PER_QR]:
            frame = step @ frame
        frame, triangle = np.linalg.qr(frame)
        with np.errstate(divide="ignore"):
            total += np.log(np.abs(np.diag(triangle)))
    return np.sort(total / len(steps))[::-1]
