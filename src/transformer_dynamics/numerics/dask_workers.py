"""Pool of tasks on the workers of a `distributed.Client`.

Shared values are futures of the client, so each worker receives a value once. What a worker
computes once (`Once`) it keeps until the pool ends. The tasks of a worker that dies, and those
whose results it held, run again on another one.
Dask (BSD) is an extra: `pip install transformer-dynamics[dask]`.
"""

from __future__ import annotations

import pickle
import threading
import uuid
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask.config
import threadpoolctl
from dask.utils import funcname

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.numerics.parallel import Once, Pool, Task

if TYPE_CHECKING:
    import distributed

# Larger values are sent to the workers by themselves, not as a part of a task.
LARGE_BYTES = 2**20
# Pools whose values a worker keeps at the same time, where it was not told that one has ended.
MOST_POOLS = 4
FORGETTING_SECONDS = 2.0
# Times that a task is started again because a value was lost with its last worker.
MOST_LOSSES = 3
SHOWN = "td.evaluate_claims(recording, client=distributed.Client('tcp://host:8786'))"


@contextmanager
def worker_pool(client: distributed.Client) -> Iterator[WorkerPool]:
    """Open a pool on the workers of a client; at its end no further task starts.

    Raises:
        InputError: no client of `distributed`, or one that cannot run tasks.
        TdynError: each worker that ran one of the tasks died.
    """
    pool = WorkerPool(checked_client(client))
    try:
        yield pool
    finally:
        pool.close()


def checked_client(client: Any) -> distributed.Client:
    """Return a client that is connected and not asynchronous.

    Raises:
        InputError: another object, a closed client, or an asynchronous one.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            f"got client={client!r:.60}, and distributed is not installed: "
            "pip install 'transformer-dynamics[dask]'"
        ) from None
    if not isinstance(client, distributed.Client):
        raise InputError(
            f"got client={client!r:.60} of type {type(client).__name__}; allowed is a "
            f"distributed.Client: {SHOWN}"
        )
    if client.status != "running" or client.asynchronous:
        state = "asynchronous" if client.asynchronous else client.status
        raise InputError(f"got a client that is {state}; allowed is one that is connected: {SHOWN}")
    return client


class Shared:
    """Handle of a value that the workers hold.

    A small value, such as a recording on disk, is part of the graph, from which Dask makes it again
    when the worker that holds it dies. A large one is sent to every worker, and Dask drops copies
    that no task waits for; it is sent again where the last one is lost.

    Attributes:
        key: name of the value in the tasks that receive it.
    """

    def __init__(self, client: distributed.Client, value: Any) -> None:
        self._client, self._value = client, value
        self._is_small = _n_bytes(value) <= LARGE_BYTES
        self.key = f"tdyn-value-{uuid.uuid4().hex}"
        self._future: Any = None

    def current(self) -> Any:
        """Return the client's future of the value, a new one where it was lost."""
        if self._future is None or self._future.status in {"cancelled", "lost"}:
            if self._is_small:
                packed = cloudpickle.dumps(self._value)
                self._future = self._client.submit(pickle.loads, packed, key=self.key)
            else:
                self._future = self._client.scatter(self._value, broadcast=True, hash=False)
        return self._future

    def __reduce__(self) -> tuple[Any, ...]:
        # The future travels as an argument of the task, by its key.
        return _Named, (self.key,)


class _Named:
    """A shared value as a worker receives it, by its key."""

    def __init__(self, key: str) -> None:
        self.key = key


class _NamedResult(_Named):
    """The result of another task, with its warnings, as a worker receives it."""


class _SharedOnce(Once):
    """A `Once` that each worker computes and keeps in its cells."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__(function, args)
        self.key = uuid.uuid4().hex

    def __reduce__(self) -> tuple[Any, ...]:
        return _named_once, (self.key, self.function, self.args)


def _named_once(key: str, function: Callable[..., Any], args: tuple[Any, ...]) -> _SharedOnce:
    once = _SharedOnce(function, args)
    once.key = key
    return once


class WorkerPool(Pool):
    """Pool of the workers of a client."""

    def __init__(self, client: distributed.Client) -> None:
        self._client, self._name = client, uuid.uuid4().hex
        self._tasks: weakref.WeakSet[_WorkerTask] = weakref.WeakSet()
        self._shown: dict[Any, Any] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Task:
        """Start a task on a worker."""
        packed = cloudpickle.dumps((function, args))
        shared = list(_shared_in(args))

        def start(given: Sequence[Shared | _WorkerTask]) -> Any:
            return self._client.submit(
                run_packed,
                packed,
                {each.key: each.current() for each in given},
                self._name,
                key=f"{funcname(function)}-{uuid.uuid4().hex}",
                pure=False,
            )

        # A task with the results of others is not started again: it would hold them in memory.
        again = None if _has_tasks(shared) else partial(start, shared)
        task = _WorkerTask(start(shared), again, self._shown)
        self._tasks.add(task)
        return task

    def share(self, value: Any) -> Shared:
        """Send a value to the workers."""
        return Shared(self._client, value)

    def once(self, function: Callable[..., Any], /, *args: Any) -> Once:
        """Return a handle of a value that each worker computes once."""
        return _SharedOnce(function, args)

    def close(self) -> None:
        """Cancel the tasks that have not ended, and let the workers forget what they computed once.

        A worker that does not answer is not waited for.
        """
        pending = [task.future for task in self._tasks if not task.future.done()]
        if pending:
            self._client.cancel(pending)
        if self._tasks or self._shown:
            forgetting = threading.Thread(target=self._forget, daemon=True)
            forgetting.start()
            forgetting.join(timeout=FORGETTING_SECONDS)

    def _forget(self) -> None:
        with suppress(Exception):
            self._client.run(forget, self._name, on_error="ignore")


def _n_bytes(value: Any) -> int:
    """Size of a pickled value; its arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    head = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(each.raw().nbytes for each in buffers)


def _shared_in(args: tuple[Any, ...]) -> Iterator[Shared | _WorkerTask]:
    for argument in args:
        if isinstance(argument, Shared | _WorkerTask):
            yield argument
        elif isinstance(argument, Once):
            yield from _shared_in(argument.args)


def _has_tasks(handles: Sequence[Shared | _WorkerTask]) -> bool:
    return any(isinstance(each, _WorkerTask) for each in handles)


class _WorkerTask:
    """A task on a worker; it is started again where a value that it reads was lost."""

    def __init__(self, future: Any, again: Callable[[], Any] | None, shown: dict[Any, Any]) -> None:
        self.future, self._again, self._shown = future, again, shown
        self.key = f"tdyn-task-{uuid.uuid4().hex}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _NamedResult, (self.key,)

    def current(self) -> Any:
        """Return the client's future of the result."""
        return self.future

    def result(self) -> Any:
        """Wait for the task, give its warnings as if they came from here, and return its result.

        Raises:
            TdynError: each worker that ran the task died.
        """
        from distributed import KilledWorker

        try:
            value, caught = self._outcome()
        except KilledWorker as error:
            raise TdynError(
                f"the task {self.future.key} was given up because every worker that ran it died; "
                "often their memory is too small: give fewer and larger workers, as --dask local:2"
            ) from error
        for message, category, filename, line in caught:
            warnings.warn_explicit(message, category, filename, line, registry=self._shown)
        return value

    def _outcome(self) -> Any:
        for _ in range(MOST_LOSSES):
            try:
                return self.future.result()
            except CancelledError:
                if self._again is None or self.future.client.status != "running":
                    raise
                self.future = self._again()
        return self.future.result()


_KEPT: OrderedDict[str, dict[str, _SharedOnce]] = OrderedDict()
_KEPT_LOCK = threading.Lock()


def _kept(pool: str, once: _SharedOnce) -> _SharedOnce:
    """Return the first of all handles of the same value in this process, which holds it."""
    with _KEPT_LOCK:
        own = _KEPT.setdefault(pool, {})
        _KEPT.move_to_end(pool)
        while len(_KEPT) > MOST_POOLS:
            _KEPT.popitem(last=False)
        return own.setdefault(once.key, once)


def forget(pool: str) -> None:
    """Forget, in a worker, the values of a pool that has ended."""
    with _KEPT_LOCK:
        _KEPT.pop(pool, None)


def run_packed(packed: bytes, shared: dict[str, Any], pool: str) -> tuple[Any, list[Any]]:
    """Run a task in a worker.

    Args:
        packed: the function and its arguments, pickled.
        shared: the shared values among the arguments, by key.
        pool: name of the pool.

    Returns:
        The result, and the warnings `(message, category, filename, line)`.
    """

    def resolved(argument: Any) -> Any:
        if isinstance(argument, _NamedResult):
            result, earlier = shared[argument.key]
            caught.extend(earlier)
            return result
        if isinstance(argument, _Named):
            return shared[argument.key]
        if isinstance(argument, _SharedOnce):
            return _kept(pool, argument).value(resolved)
        return argument

    function, args = pickle.loads(packed)
    with _PROCESS.task() as caught:
        result = function(*map(resolved, args))
    return result, caught


class _Process:
    """Settings of a worker's process while it runs tasks.

    BLAS has one thread, warnings are kept, and a lazy array is computed by the task that reads it:
    tasks of its own, for which it would wait, could find no free worker.

    They hold for the whole process, so the first of several concurrent tasks makes them and the
    last one restores them.
    """

    def __init__(self) -> None:
        self._lock, self._local = threading.Lock(), threading.local()
        self._running: list[list[Any]] = []
        self._settings: list[Any] = []

    @contextmanager
    def task(self) -> Iterator[list[Any]]:
        """Run a task; its warnings are appended to the list."""
        caught: list[Any] = []
        with self._lock:
            if not self._running:
                self._enter()
            self._running.append(caught)
        self._local.caught = caught
        try:
            yield caught
        finally:
            self._local.caught = None
            with self._lock:
                self._running = [each for each in self._running if each is not caught]
                if not self._running:
                    for setting in self._settings:
                        setting.__exit__(None, None, None)

    def _enter(self) -> None:
        limits = threadpoolctl.threadpool_limits(1, user_api="blas")
        kept = warnings.catch_warnings()
        limits.__enter__()
        kept.__enter__()
        reads = dask.config.set(scheduler="synchronous")
        reads.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._keep  # type: ignore[assignment]
        self._settings = [reads, kept, limits]

    def _keep(
        self, message: Any, category: type[Warning], filename: str, lineno: int, *_: Any
    ) -> None:
        # A thread that a task started has no list of its own.
        caught = getattr(self._local, "caught", None)
        lists = [caught] if caught is not None else self._running[-1:]
        for each in lists:
            each.append((str(message), category, filename, lineno))


_PROCESS = _Process()
