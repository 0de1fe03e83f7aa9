"""Effect sizes in standard deviations of the null: (observed - mean(null)) / sd(null)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.stats.significance import aligned


def effect_size(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    """Compute the distance of a statistic from the mean of its null, in null deviations.

    Args:
        observed: observed statistic, `(...)`.
        null: statistic in each draw of the null, `(draw, ...)`.

    Returns:
        Effect, `(...)`, dimensionless; the denominator is the standard deviation of the draws with
        denominator draws - 1. NaN where a value is not finite, and, with one `UndefinedWarning`,
        where the draws do not differ or are fewer than two.

    Raises:
        InputError: the shapes do not match.

    >>> float(effect_size(5.0, [0.0, 1.0, 2.0]))
    4.0
    """
    value, draws = aligned(observed, null, "effect_size")
    if len(draws) < 2:
        warnings.warn(
            f"the effect size is undefined for {len(draws)} draws of the null; it needs two",
            UndefinedWarning,
            stacklevel=2,
        )
        return np.full(value.shape, np.nan)[()]
    # By the range, since the deviation of equal numbers may round above zero.
    constant = draws.max(axis=0) == draws.min(axis=0)
    if constant.any():
        warnings.warn(
            f"the effect size is undefined for {int(constant.sum())} of {constant.size} statistics "
            "whose draws of the null are all equal",
            UndefinedWarning,
            stacklevel=2,
        )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        effect = (value - draws.mean(axis=0)) / draws.std(axis=0, ddof=1)
    return np.where(constant | ~np.isfinite(effect), np.nan, effect)[()]
