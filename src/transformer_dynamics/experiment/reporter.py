"""Reporter of a run: its stages as they begin, advance and end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with the work done and the work in all."""


class Reporter(Protocol):
    """Receiver of the stages of a run; silent by default."""

    def stage(self, name: str, unit: str) -> AbstractContextManager[Progress | None]:
        """Begin a stage; the yielded function is called with the work done and in all."""
        ...

    def skipped(self, name: str) -> None:
        """Report a stage that was done before."""
        ...

    def refused(self, name: str, why: str) -> None:
        """Report a stage that the model does not allow."""
        ...


class Silent:
    """Reporter without output."""

    def stage(self, name: str, unit: str) -> AbstractContextManager[Progress | None]:
        """Begin a stage without output."""
        return nullcontext()

    def skipped(self, name: str) -> None:
        """Report nothing."""

    def refused(self, name: str, why: str) -> None:
        """Report nothing."""
