"""False discovery rate over a family of tests, by Benjamini and Hochberg (1995).

`scipy.stats.false_discovery_control` refuses NaN, which marks tests that could not be made.
Not handled: families under arbitrary dependence (Benjamini and Yekutieli).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_dynamics.errors import InputError


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p-values of one family of tests for the false discovery rate.

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
    from scipy import stats  # takes a second to import

    values[made] = stats.false_discovery_control(family) if family.size else family
    return values
