"""Recurrence of traces: encounters with a periodic point, and close returns.

Encounter (after Pierson and Moss, PRL 75, 2124, 1995): five increments in a row that approach the
diagonal of the delay plane (x[s], x[s+1]) along one direction and leave it along one direction,

    |d1| > |d2| > |d3| < |d4| < |d5|,   d1 d2 and d2 d3 of one sign,   d3 d4 and d4 d5 of one sign.

Close return (Lathrop and Kostelich, PRA 40, 4028, 1989): |x[s+p] - x[s]| < radius.
Known answers: docs/measures/orbits.periodic_orbits.md. Cost: some ten operations per value.
Not handled: encounters in several dimensions, where a state that stays in place for one step need
not be a fixed point (the Henon map also has encounters at 0.46).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.arrays import Floats

ENCOUNTER_SITES = 6


def encounters(traces: NDArray[Any], *, radius: float = np.inf) -> Floats:
    """Find windows in which a trace approaches a point along one direction and leaves it again.

    Args:
        traces: `(..., site)`, in any unit.
        radius: largest increment at the nearest point, in the unit of the traces; smaller values
            give levels nearer to the periodic point, and fewer encounters.

    Returns:
        `(..., window)`: the level at which the increment is smallest, in the unit of the traces,
        and NaN for windows of six sites without an encounter.

    >>> approach_and_leave = np.array([0.0, 8.0, 4.0, 5.0, 3.0, 9.0])
    >>> encounters(approach_and_leave), encounters(np.arange(6.0))
    (array([4.5]), array([nan]))
    """
    n_windows = max(0, traces.shape[-1] - ENCOUNTER_SITES + 1)
    values = traces.astype(np.float64)
    increments = np.diff(values, axis=-1)
    sizes, signs = np.abs(increments), np.sign(increments)
    at = [slice(start, start + n_windows) for start in range(ENCOUNTER_SITES)]
    is_encounter = sizes[..., at[2]] < radius
    for step, nearer in enumerate((True, True, False, False)):
        first, second = sizes[..., at[step]], sizes[..., at[step + 1]]
        is_encounter &= first > second if nearer else first < second
    for step in (0, 2):
        is_encounter &= signs[..., at[step]] == signs[..., at[step + 2]]
    nearest = (values[..., at[2]] + values[..., at[3]]) / 2
    return np.where(is_encounter, nearest, np.nan)


def close_returns(traces: NDArray[Any], max_period: int, *, radius: float) -> NDArray[np.int64]:
    """Count close returns of traces by the number of sites in between.

    Args:
        traces: `(..., site)`, in any unit.
        max_period: longest time of return, in sites.
        radius: largest distance of a close return, in the unit of the traces.

    Returns:
        Counts `(period, ...)` of the sites s with |x[s + period] - x[s]| < `radius`, periods from 1
        on, of `site - period` possible ones each.

    Raises:
        InputError: the longest period is below 1.

    >>> close_returns(np.array([0.0, 1.0, 0.0, 1.0, 0.0]), 3, radius=0.1)
    array([0, 3, 0])
    """
    if max_period < 1:
        raise InputError(
            f"got max_period={max_period}; it is at least 1: close_returns(traces, 8, radius=0.1)"
        )
    counts = np.zeros((max_period, *traces.shape[:-1]), dtype=np.int64)
    for period in range(1, min(max_period, traces.shape[-1] - 1) + 1):
        gap = np.abs(traces[..., period:] - traces[..., :-period])
        counts[period - 1] = np.count_nonzero(gap < radius, axis=-1)
    return counts
