"""Workers of this machine as processes: started together, watched, and never started again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

# Seconds between two looks at the progress, and until a process that should end is killed.
POLL, PATIENCE = 0.5, 10.0
# Lines of the standard error of a process that ended without a message.
LAST_LINES = 3
Event = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """End of a worker.

    Attributes:
        number: Number of the worker, from 0.
        error: Why it ended before its work was done; None if it was done.
    """

    number: int
    error: str | None


def run_workers(
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    on_poll: Callable[[], None],
    on_event: Callable[[int, Event], None],
) -> Iterator[Ended]:
    """Run one process for each environment, and yield the end of each.

    Processes that still run when the caller stops, or is interrupted, are ended.

    Args:
        command: Command that prints one JSON object per line.
        environments: Variables to be added to those of this process, for each worker.
        on_poll: Called every half second.
        on_event: Called with the number of a worker and each object that it prints.
    """
    events: queue.SimpleQueue[tuple[int, Event | Ended]] = queue.SimpleQueue()
    processes: list[subprocess.Popen[str]] = []
    with _terminable():
        try:
            for number, added in enumerate(environments):
                processes.append(_start(command, added, number, events))
            running = len(processes)
            while running:
                on_poll()
                try:
                    number, event = events.get(timeout=POLL)
                except queue.Empty:
                    continue
                if isinstance(event, Ended):
                    running -= 1
                    yield event
                else:
                    on_event(number, event)
        finally:
            _end(processes)


def _start(
    command: Sequence[str],
    added: Mapping[str, str],
    number: int,
    events: queue.SimpleQueue[tuple[int, Event | Ended]],
) -> subprocess.Popen[str]:
    errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        command,
        env={**os.environ, **added},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        errors="replace",
    )
    reader = threading.Thread(
        target=_read, args=(process, errors, number, events), name=f"tdyn-worker-{number}"
    )
    reader.start()
    return process


def _read(
    process: subprocess.Popen[str],
    errors: IO[str],
    number: int,
    events: queue.SimpleQueue[tuple[int, Event | Ended]],
) -> None:
    """Hand on what a worker prints, and its end."""
    message = None
    with process, errors:
        for line in process.stdout or ():
            event = _event(line)
            if event.get("event") == "error":
                message = str(event.get("message"))
            elif event:
                events.put((number, event))
        process.wait()
        errors.seek(0)
        last = [line.strip() for line in errors if line.strip()][-LAST_LINES:]
    error = None if process.returncode == 0 else message or _reason(process.returncode, last)
    events.put((number, Ended(number, error)))


def _event(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:  # a library that prints
        return {}
    return event if isinstance(event, dict) else {}


def _reason(status: int, last: Sequence[str]) -> str:
    if status < 0:
        names = {each.value: each.name for each in signal.Signals}
        return f"ended by {names.get(-status, f'signal {-status}')}"
    return ": ".join([f"exit status {status}", *([" / ".join(last)] if last else [])])


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exit that ends the workers too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
