"""Thread pools for many small matrices: parallel over matrices, one BLAS thread in each.

The pool comes from `concurrent.futures`, not from joblib: it drops pending tasks after an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import threadpoolctl


@contextmanager
def thread_pool(n_threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, each of which runs BLAS on one thread.

    After an error or Ctrl-C the running tasks finish and no further task starts.

    Args:
        n_threads: number of threads; by default the standard library's choice.
    """
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        pool = ThreadPoolExecutor(n_threads)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def map_in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Apply a function to every item in a `thread_pool`; results keep the order of the items."""
    with thread_pool() as pool:
        return list(pool.map(function, items))
