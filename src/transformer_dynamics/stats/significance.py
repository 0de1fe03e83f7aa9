"""P-values of a statistic against draws of a null model, and against Student's t.

    Monte Carlo   p = (1 + #{null >= observed}) / (1 + B),  B draws of the null
    sequential    p = h / l, where the h-th draw to exceed the observed value is the l-th
    Student's t   p = P(T >= difference / standard error)

The observed value counts as one of the draws: p is never 0, and a test at level alpha rejects a
true null with probability at most alpha for any B. p-values below 1/(1 + B) cannot be resolved.
`scipy.stats.monte_carlo_test` draws the null itself and does not stop early. Sources: Phipson and
Smyth (arXiv 1603.05766); for stopping, Besag and Clifford (Biometrika 78, 301, 1991); for joint
errors, Cochran (Biometrics 20, 191, 1964).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from transformer_dynamics.errors import InputError

Direction = Literal["greater", "less", "two-sided"]


def monte_carlo_p(
    observed: ArrayLike, null: ArrayLike, *, direction: Direction = "greater"
) -> NDArray[np.float64]:
    """Compute the Monte Carlo p-value of a statistic against draws of its null.

    Args:
        observed: observed statistic, `(...)`.
        null: statistic in each draw of the null, `(draw, ...)`.
        direction: `greater` counts draws at least as large as the observed value, `less` draws at
            most as large, `two-sided` doubles the smaller of the two p-values, up to 1.

    Returns:
        p, `(...)`, between 1/(1 + draws) and 1; NaN where the observed value or any draw is NaN.

    Raises:
        InputError: there is no draw, the shapes do not match, or the direction is unknown.

    >>> float(monte_carlo_p(2.5, [0, 1, 2, 3]))
    0.4
    """
    value, draws = aligned(observed, null, "monte_carlo_p")
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
    """Test whether enough draws of a null reach the observed value for sequential draws to stop.

    Args:
        observed: observed statistic.
        null: statistic in the draws made so far, `(draw)`.
        direction: claimed side, `greater` or `less`.
        n_exceeding: number of draws that end the test.

    Returns:
        Also True where p is undefined: the observed value or a draw is NaN.
    """
    draws = np.asarray(null, dtype=np.float64)
    if np.isnan(observed) or np.isnan(draws).any():
        return True
    return int(_reaching(observed, draws, direction).sum()) >= n_exceeding


def sequential_p(
    observed: float, null: ArrayLike, *, direction: Direction = "greater", n_exceeding: int = 20
) -> float:
    """Compute the sequential Monte Carlo p-value of draws in the order in which they were made.

    Args:
        observed: observed statistic.
        null: statistic in each draw of the null, `(draw)`.
        direction: claimed side, `greater` or `less`.
        n_exceeding: number of draws reaching the observed value that end the test; later draws do
            not count.

    Returns:
        `n_exceeding` over the number of draws up to the end of the test; the Monte Carlo p-value of
        all draws where fewer reach the observed value. NaN where the observed value or any draw is
        NaN.

    Raises:
        InputError: there is no draw.

    >>> sequential_p(0.5, [0, 1, 0, 1, 1, 0], n_exceeding=2)
    0.5
    >>> sequential_p(0.5, [0, 1, 0, 0], n_exceeding=2)
    0.4
    """
    draws = np.asarray(null, dtype=np.float64)
    p_of_all = float(monte_carlo_p(observed, draws, direction=direction))
    reached = np.flatnonzero(_reaching(observed, draws, direction))
    if np.isnan(p_of_all) or len(reached) < n_exceeding:
        return p_of_all
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
    """Compute the one-sided p-value of a difference by Student's t.

    Args:
        difference: observed value less the value of the null.
        standard_error: standard error of the difference, in the same unit.
        degrees: degrees of freedom of the standard error.
        direction: claimed side, `greater` or `less`.
        least: smallest p-value that is returned.

    Returns:
        p; NaN where an argument is not finite or there is no degree of freedom. For a standard
        error of zero, `least` for a difference on the claimed side and 1 otherwise.

    >>> round(student_p(2.0, 1.0, 7), 3)
    0.043
    """
    signed = difference if direction == "greater" else -difference
    if not np.isfinite([signed, standard_error]).all() or degrees < 1:
        return float("nan")
    if standard_error <= 0:
        return least if signed > 0 else 1.0
    return max(least, float(special.stdtr(degrees, -signed / standard_error)))


def joint_student_p(
    difference: float,
    parts: Sequence[tuple[float, float]],
    *,
    direction: Direction = "greater",
    least: float = 1e-12,
) -> float:
    """Compute the one-sided p-value of a difference whose error is a sum of independent errors.

    After Cochran and Cox: the quantile of the difference over its standard error is the mean of the
    quantiles of Student's t of the parts, weighted with their variances. From five observations of
    each part on, a true null is rejected at most at the level; degrees of freedom after
    Satterthwaite would reject it up to twice as often at a level of 0.4 %. With two observations of
    a part the level of 1 % is up to 1.7 %.

    Args:
        difference: observed value less the value of the null.
        parts: standard error of each part, in the same unit, and its degrees of freedom.
        direction: claimed side, `greater` or `less`.
        least: smallest p-value that is returned, above 0.

    Returns:
        p as of `student_p`, which it is for one part, and for parts with the same degrees.

    >>> round(joint_student_p(2.0, [(1.0, 7), (0.0, 99)]), 3)
    0.043
    >>> round(joint_student_p(2.0, [(0.8, 4), (0.6, 99)]), 3)
    0.048
    """
    given = [each for each in parts if each[0] != 0]
    error = math.hypot(*(part for part, _ in given))
    degrees = min((each for _, each in given), default=max(each for _, each in parts))
    signed = difference if direction == "greater" else -difference
    plain = student_p(signed, error, degrees, least=least)
    if len(given) < 2 or not np.isfinite(plain):
        return plain
    weights = [((part / error) ** 2, each) for part, each in given]

    def quantile(p: float) -> float:
        return -sum(weight * float(special.stdtrit(each, p)) for weight, each in weights)

    # Bisection of the logarithm: more digits of a p-value than its test can use.
    low, high = math.log(least), math.log(0.5)
    for _ in range(60):
        middle = (low + high) / 2
        if quantile(math.exp(middle)) > abs(signed) / error:
            low = middle
        else:
            high = middle
    return math.exp(high) if signed >= 0 else 1 - math.exp(high)


def aligned(
    observed: ArrayLike, null: ArrayLike, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert an observed statistic and its null to float64 arrays, `(...)` and `(draw, ...)`.

    Args:
        observed: observed statistic, `(...)`.
        null: statistic in each draw of the null, `(draw, ...)`.
        name: name of the calling function, for the error message.

    Raises:
        InputError: the shapes do not match.
    """
    value, draws = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if draws.ndim == 0 or draws.shape[1:] != value.shape:
        raise InputError(
            f"got an observed value of shape {value.shape} and a null of shape {draws.shape}; the "
            f"null has one more axis in front, its draws: {name}(0.3, [0.1, 0.2, 0.15])"
        )
    return value, draws
