"""Pools of tasks: threads of this process, or the workers of a Dask client.

Every task runs BLAS on one thread, so that many small matrices are computed in parallel and the
bits of a result do not depend on the pool. The threads come from `concurrent.futures`, not from
joblib: it drops pending tasks after an error.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import threadpoolctl

if TYPE_CHECKING:
    import distributed

# From this size on two threads decompose a matrix faster than one.
SMALL_UNITS = 1024


def n_cores() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(TypedDict, total=False):
    """Processes that compute, as a keyword of a function: `client=client`.

    Attributes:
        client: a `distributed.Client`; None, the default, for this process.
    """

    client: distributed.Client | None


def client_of(name: str, workers: Workers) -> distributed.Client | None:
    """Return the client that was given to a function.

    Raises:
        TypeError: another keyword.
    """
    unknown = sorted(set(workers) - {"client"})
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    return workers.get("client")


class Task(Protocol):
    """A task that was started."""

    def result(self) -> Any:
        """Wait for the task and return its result, or raise its error."""
        ...


class Pool(ABC):
    """Pool that runs tasks; their arguments may be handles of `share` and `once`, or tasks.

    A task as an argument stands for its result, which stays on the workers.
    """

    @abstractmethod
    def submit(self, function: Callable[..., Any], /, *args: Any) -> Task:
        """Start a task; its result, its warnings and its error come with `result()`."""

    @abstractmethod
    def share(self, value: Any) -> Any:
        """Return a handle of a value that many tasks read; it is sent once to each process."""

    def once(self, function: Callable[..., Any], /, *args: Any) -> Once:
        """Return a handle of `function(*args)`, which each process computes when it is needed."""
        return Once(function, args)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Apply a function to every item; results keep the order of the items."""
        tasks = [self.submit(function, item) for item in items]
        return [task.result() for task in tasks]


class Once:
    """A value that is computed once in each process.

    Attributes:
        function: the function that computes it.
        args: its arguments, which may be handles.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args
        self._lock, self._values = threading.Lock(), list[Any]()

    def value(self, resolve: Callable[[Any], Any]) -> Any:
        """Return the value; the first caller computes it, and others wait.

        Args:
            resolve: function from an argument, or its handle, to the argument.
        """
        with self._lock:
            if not self._values:
                self._values.append(self.function(*map(resolve, self.args)))
            return self._values[0]


class ThreadPool(Pool):
    """Pool of threads of this process; a shared value is the value itself."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Task:
        """Start a task in a thread."""
        return self._threads.submit(_called, function, args)

    def share(self, value: Any) -> Any:
        """Return the value, which all threads see."""
        return value


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return function(*map(_resolved, args))


def _resolved(argument: Any) -> Any:
    if isinstance(argument, Future):
        return argument.result()  # started before, so that it does not wait for a free thread
    return argument.value(_resolved) if isinstance(argument, Once) else argument


@contextmanager
def task_pool(n_threads: int | None = None, client: Any = None) -> Iterator[Pool]:
    """Open a pool of tasks.

    After an error or Ctrl-C no further task starts.

    Args:
        n_threads: number of threads; by default one per processor.
        client: a `distributed.Client`, whose workers run the tasks in place of threads.

    Raises:
        InputError: the client is none, or is not connected.
    """
    if client is not None:
        from transformer_dynamics.numerics.dask_workers import worker_pool

        with worker_pool(client) as workers:
            yield workers
        return
    with thread_pool(n_threads) as threads:
        yield ThreadPool(threads)


@contextmanager
def thread_pool(n_threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, each of which runs BLAS on one thread.

    After an error or Ctrl-C the running tasks finish and no further task starts.

    Args:
        n_threads: number of threads; by default one per processor: more of them hold more memory
            and push each other's arrays out of the cache.
    """
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(n_threads or n_cores())
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def blas_threads_for(n_units: int) -> Iterator[None]:
    """Run BLAS on one thread inside the block where matrices have fewer than `SMALL_UNITS` units.

    The threads of a decomposition wait for each other at every column: on two cores that of a few
    hundred units takes up to ten times as long as on one.
    """
    if n_units >= SMALL_UNITS:
        yield
        return
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> threadpoolctl.ThreadpoolController:
    """Return the loaded BLAS libraries; they are searched again after further imports.

    A search takes some milliseconds, as long as the work of a small pool.
    """
    return threadpoolctl.ThreadpoolController()


def map_in_threads(
    function: Callable[[Any], Any], items: Iterable[Any], *, n_threads: int | None = None
) -> list[Any]:
    """Apply a function to every item in a `thread_pool`; results keep the order of the items."""
    with thread_pool(n_threads) as pool:
        return list(pool.map(function, items))


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Call a function and return its result with the seconds that it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start
