"""Kernels that several nulls share: increments over depth, their signs, and sums of increments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from transformer_dynamics.errors import RecordingError

# States of any floating-point type; those of `numerics.arrays` are float64.
States = NDArray[Any]


def accumulate(values: States, increment: Callable[[int], States]) -> States:
    """Add increments to the states of the first site.

    Args:
        values: states `(sample, site, unit)`; the first site and the dtype are taken over.
        increment: increments of a step, `(sample, unit)`, given its index.

    Returns:
        States `(sample, site, unit)`, summed in float64.

    Raises:
        RecordingError: a state leaves the range of the dtype.
    """
    states = np.empty(values.shape, values.dtype)
    states[:, 0] = values[:, 0]
    running = values[:, 0].astype(np.float64)
    with within_range(values.dtype):
        for step in range(values.shape[1] - 1):
            running += increment(step)
            states[:, step + 1] = running
    return states


def increments(values: States, step: int) -> States:
    """Increments of all samples in one step, `(sample, unit)`."""
    dtype = working_dtype(values.dtype)
    return np.asarray(np.subtract(values[:, step + 1], values[:, step], dtype=dtype))


def random_signs(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> States:
    """Independent signs, 1 or -1 with equal probability, in the working dtype."""
    return np.asarray((1 - 2 * rng.integers(0, 2, size=shape)).astype(working_dtype(dtype)))


def working_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float64 for dtypes of at least 64 bits, else float32."""
    return np.dtype(np.float64 if np.dtype(dtype).itemsize >= 8 else np.float32)


@contextmanager
def within_range(dtype: np.dtype[Any]) -> Iterator[None]:
    """Refuse finite states that the recording's dtype cannot hold, instead of storing infinity.

    Raises:
        RecordingError: a conversion to the dtype overflows.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except FloatingPointError as error:
        raise range_error(dtype) from error


def range_error(dtype: np.dtype[Any]) -> RecordingError:
    """Error for a surrogate whose states the recording's dtype cannot hold."""
    return RecordingError(
        f"a surrogate of this recording leaves the range of its dtype, {dtype} (at most "
        f"{np.finfo(dtype).max:.3g}); convert it first: "
        "recording.with_values(recording.values.astype('float32'))"
    )
