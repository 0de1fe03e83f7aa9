"""Thread pools in which every thread has a linear algebra of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from transformer_dynamics.numerics.arrays import Floats


@contextmanager
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, each with linear algebra of its own: many small matrices, not one."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor() as pool:
        yield pool


def map_in_threads(function: Callable[[Any], Any], matrices: Floats) -> list[Any]:
    """Apply to every matrix, several at a time with one thread of BLAS each."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"), ThreadPoolExecutor() as pool:
        return list(pool.map(function, matrices))
