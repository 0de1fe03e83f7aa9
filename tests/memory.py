"""Peak memory of a call: the bytes that Python and NumPy allocate, counted by tracemalloc."""

import gc
import tracemalloc
from collections.abc import Callable

MOST_CALLS = 4


def peak(function: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy held at once for a call, whatever else runs."""
    gc.collect()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def least_peak(function: Callable[[], object], limit: float) -> int:
    """The first peak of some calls that is below `limit`, else the least of them.

    A thread that reads may hold a block a moment longer when the machine is busy, which only adds
    to a peak. Memory that the function needs is in the peaks of all calls.
    """
    least = peak(function)
    for _ in range(MOST_CALLS - 1):
        if least < limit:
            break
        least = min(least, peak(function))
    return least
