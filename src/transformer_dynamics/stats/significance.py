"""P-values, effect sizes in null standard deviations, false discovery rate.

    Monte Carlo   p = (1 + #{null >= observed}) / (1 + B),  B draws of the null
    sequential    p = h / l, where the h-th draw to exceed the observed value is the l-th
    Student's t   p = P(T >= difference / standard error)
    effect        (observed - mean(null)) / sd(null)

The observed value counts as one of the draws, so that p is never 0 and a test at level alpha
rejects a true null with a probability of at most alpha, whatever B. The least p is 1/(1 + B).

Sources: Phipson and Smyth (arXiv 1603.05766) for p; Besag and Clifford (Biometrika 78, 301, 1991)
for stopping; Benjamini and Hochberg (1995) for the adjustment.

Not handled: families under arbitrary dependence (Benjamini and Yekutieli); p-values below the
resolution of the draws.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from transformer_dynamics.errors import InputError, UndefinedWarning

Direction = Literal["greater", "less", "two-sided"]


def monte_carlo_p(
    observed: ArrayLike, null: ArrayLike, *, direction: Direction = "greater"
) -> NDArray[np.float64]:
    """Monte Carlo p-value of an observed statistic against draws of its null.

    Args:
        observed: the statistic, `(...)`.
        null: the same statistic in each draw of the null, `(draw, ...)`.
        direction: `greater` counts draws at least as great as the observed value, `less` those at
            most as great, `two-sided` doubles the smaller of the two p-values, up to 1.

    Returns:
        p, `(...)`, between 1/(1 + draws) and 1; NaN where the observed value or any draw is NaN.

    Raises:
        InputError: there is no draw, the shapes do not fit, or the direction is unknown.

    >>> float(monte_carlo_p(2.5, [0, 1, 2, 3]))
    0.4
    """
    value, draws = _aligned(observed, null, "monte_carlo_p")
    if direction not in get_args(Direction):
        raise InputError(
            f"got direction={direction!r}; it is one of {', '.join(get_args(Direction))}: "
            "monte_carlo_p(observed, null, direction='greater')"
        )
    if len(draws) == 0:
        raise InputError(
            "got no draws of the null; a p-value takes at least one, and 199 to reach 0.005: "
            "monte_carlo_p(observed, null)"
        )
    greater = (1 + (draws >= value).sum(axis=0)) / (1 + len(draws))
    less = (1 + (draws <= value).sum(axis=0)) / (1 + len(draws))
    p = {
        "greater": greater,
        "less": less,
        "two-sided": np.minimum(1, 2 * np.minimum(greater, less)),
    }
    undefined = np.isnan(value) | np.isnan(draws).any(axis=0)
    return np.where(undefined, np.nan, p[direction])[()]


def has_exceeded(
    observed: float, null: ArrayLike, *, direction: Direction = "greater", n_exceeding: int = 20
) -> bool:
    """Whether enough draws of a null reach the observed value for sequential draws to stop.

    Args:
        observed: the statistic.
        null: the same statistic in the draws made so far, `(draw)`.
        direction: `greater` or `less`, the side that is claimed.
        n_exceeding: draws that have to reach it.

    Returns:
        True as well where p is undefined: the observed value or a draw is NaN.
    """
    draws = np.asarray(null, dtype=np.float64)
    if np.isnan(observed) or np.isnan(draws).any():
        return True
    return int(_reaching(observed, draws, direction).sum()) >= n_exceeding


def sequential_p(
    observed: float, null: ArrayLike, *, direction: Direction = "greater", n_exceeding: int = 20
) -> float:
    """Sequential Monte Carlo p-value of draws in the order in which they were made.

    Args:
        observed: the statistic.
        null: the same statistic in each draw of the null, `(draw)`.
        direction: `greater` or `less`, the side that is claimed.
        n_exceeding: the draw that is this many-th to reach the observed value ends the test; later
            draws do not count.

    Returns:
        `n_exceeding` over the number of that draw; where so many do not reach it, the Monte Carlo
        p-value of all draws. NaN where the observed value or any draw is NaN.

    Raises:
        InputError: there is no draw.

    >>> sequential_p(0.5, [0, 1, 0, 1, 1, 0], n_exceeding=2)
    0.5
    >>> sequential_p(0.5, [0, 1, 0, 0], n_exceeding=2)
    0.4
    """
    draws = np.asarray(null, dtype=np.float64)
    whole = float(monte_carlo_p(observed, draws, direction=direction))
    reached = np.flatnonzero(_reaching(observed, draws, direction))
    if np.isnan(whole) or len(reached) < n_exceeding:
        return whole
    return n_exceeding / int(reached[n_exceeding - 1] + 1)


def _reaching(
    observed: float, draws: NDArray[np.float64], direction: Direction
) -> NDArray[np.bool_]:
    reaching: NDArray[np.bool_] = draws >= observed if direction == "greater" else draws <= observed
    return reaching


def student_p(
    difference: float,
    standard_error: float,
    degrees: float,
    *,
    direction: Direction = "greater",
    least: float = 0.0,
) -> float:
    """One-sided p-value of a difference by Student's t.

    Args:
        difference: the observed value less that of the null.
        standard_error: of the difference, in the same unit.
        degrees: degrees of freedom of the standard error.
        direction: `greater` or `less`, the side that is claimed.
        least: the least p-value that is returned.

    Returns:
        p; NaN where an argument is not finite or there is no degree of freedom. Without any
        spread, `least` for a difference on the claimed side and 1 otherwise.

    >>> round(student_p(2.0, 1.0, 7), 3)
    0.043
    """
    signed = difference if direction == "greater" else -difference
    if not np.isfinite([signed, standard_error]).all() or degrees < 1:
        return float("nan")
    if standard_error <= 0:
        return least if signed > 0 else 1.0
    return max(least, float(stats.t.sf(signed / standard_error, degrees)))


def effect_size(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    """Distance of an observed statistic from the mean of its null, in the null's deviations.

    Args:
        observed: the statistic, `(...)`.
        null: the same statistic in each draw of the null, `(draw, ...)`.

    Returns:
        Effect, `(...)`, without unit; the denominator is the standard deviation of the draws with
        denominator draws - 1. NaN where a value is not finite, and, with one `UndefinedWarning`,
        where the draws do not differ or are fewer than two.

    Raises:
        InputError: the shapes do not fit.

    >>> float(effect_size(5.0, [0.0, 1.0, 2.0]))
    4.0
    """
    value, draws = _aligned(observed, null, "effect_size")
    if len(draws) < 2:
        warnings.warn(
            f"the effect size is undefined for {len(draws)} draws of the null; it takes two",
            UndefinedWarning,
            stacklevel=2,
        )
        return np.full(value.shape, np.nan)[()]
    # Equal draws are told by their range: the deviation of equal numbers may round above zero.
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


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted for the false discovery rate over their family, all that are given.

    Args:
        p: p-values, of any shape; NaN marks a test that could not be made.

    Returns:
        Adjusted p-values of the same shape; NaN stays NaN and does not count in the family.

    Raises:
        InputError: a p-value lies outside 0 to 1.

    >>> benjamini_hochberg([0.01, 0.04, float("nan"), 0.03])
    array([0.03, 0.04,  nan, 0.04])
    """
    values = np.array(p, dtype=np.float64)
    made = ~np.isnan(values)
    family = values[made]
    outside = family[(family < 0) | (family > 1)]
    if outside.size:
        raise InputError(
            f"got the p-value {outside[0]}; p-values lie between 0 and 1, or are NaN where a test "
            "could not be made: benjamini_hochberg([0.01, 0.04])"
        )
    values[made] = stats.false_discovery_control(family) if family.size else family
    return values


def _aligned(
    observed: ArrayLike, null: ArrayLike, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 arrays, `(...)` and `(draw, ...)`."""
    value, draws = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if draws.ndim == 0 or draws.shape[1:] != value.shape:
        raise InputError(
            f"got an observed value of shape {value.shape} and a null of shape {draws.shape}; the "
            f"null has one more axis in front, its draws: {name}(0.3, [0.1, 0.2, 0.15])"
        )
    return value, draws
