"""Increments over depth and states built from them: kernels that several nulls share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from transformer_dynamics.errors import RecordingError

Floats = NDArray[Any]


def accumulate(values: Floats, increment: Callable[[int], Floats]) -> Floats:
    """States that start as `values` do and move by `increment(step)`, `(sample, unit)`."""
    states = np.empty(values.shape, values.dtype)
    states[:, 0] = values[:, 0]
    running = values[:, 0].astype(np.float64)
    with within_range(values.dtype):
        for step in range(values.shape[1] - 1):
            running += increment(step)
            states[:, step + 1] = running
    return states


def increments(values: Floats, step: int) -> Floats:
    """One step of all samples, `(sample, unit)`."""
    dtype = working_dtype(values.dtype)
    return np.asarray(np.subtract(values[:, step + 1], values[:, step], dtype=dtype))


def working_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float64 for float64 and wider, float32 for what is narrower."""
    return np.dtype(np.float64 if np.dtype(dtype).itemsize >= 8 else np.float32)


@contextmanager
def within_range(dtype: np.dtype[Any]) -> Iterator[None]:
    """Refuse finite states that the recording's dtype cannot hold, instead of storing infinity."""
    try:
        with np.errstate(over="raise"):
            yield
    except FloatingPointError as error:
        raise RecordingError(
            f"a surrogate of this recording leaves the range of its dtype, {dtype} (at most "
            f"{np.finfo(dtype).max:.3g}); convert it first: "
            "recording.with_values(recording.values.astype('float32'))"
        ) from error
