"""Form that reports a stage as it begins and ends, and at regular intervals in between.

A thread reports the stages in progress at least every 30 seconds, also while a stage's progress
function is not called, and the work between two stages. The thread ends with the form.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transformer_dynamics.cli.output.form import Form
from transformer_dynamics.cli.output.stage import Stage
from transformer_dynamics.experiment.reporter import Progress

# A report at least every 30 seconds is promised, and a busy machine wakes the thread late.
INTERVAL = 25.0


class Beating(Form):
    """Form with a line for each stage at regular intervals.

    Args:
        clock: Function that returns seconds.
        interval: Seconds between two reports.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, interval: float = INTERVAL
    ) -> None:
        self._clock, self._interval = clock, interval
        self._stages: list[Stage] = []
        self._idle_since = clock()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beats, name="tdyn-progress", daemon=True)

    def __enter__(self) -> Form:
        """Start the thread."""
        self._thread.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Progress]:
        """Report the begin and the end of a stage."""
        stage = Stage(name, unit, self._clock())
        with self._lock:
            self._stages.append(stage)
            self.begun(stage)
        finished = False
        try:
            yield stage.advance
            finished = True
        finally:
            with self._lock:
                self._stages.remove(stage)
                self._idle_since = self._clock()
                self.ended(stage, self._idle_since - stage.began, finished=finished)

    def beat(self) -> None:
        """Report every stage in progress, or that none is."""
        with self._lock:
            now = self._clock()
            for stage in self._stages:
                self.running(stage, now)
                stage.mark(now)
            if not self._stages:
                self.between(now - self._idle_since)

    @abstractmethod
    def begun(self, stage: Stage) -> None:
        """Report that a stage begins."""

    @abstractmethod
    def running(self, stage: Stage, now: float) -> None:
        """Report a stage in progress."""

    @abstractmethod
    def ended(self, stage: Stage, seconds: float, *, finished: bool) -> None:
        """Report the end of a stage, finished or stopped by an error."""

    @abstractmethod
    def between(self, seconds: float) -> None:
        """Report that the command works and no stage is in progress."""

    def _beats(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self.beat()
            except (OSError, ValueError):  # the stream is closed; the command finds out itself
                return
