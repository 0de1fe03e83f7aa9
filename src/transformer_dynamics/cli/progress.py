"""Progress bars of the command on standard error, with rate and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

complaints = Console(stderr=True)


class _Rate(ProgressColumn):
    """Column with the work per second and its unit."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} {task.fields['unit']}/s")


class Bars:
    """Reporter that shows each stage as a bar with rate and remaining time."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=complaints,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Any]:
        """Show one bar."""
        task = self._progress.add_task(name.replace("_", " "), total=None, unit=unit)

        def advance(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        yield advance
        if self._progress.tasks[task].total is None:  # a stage that is one piece of work
            advance(1, 1)

    def skipped(self, name: str) -> None:
        """Print that a stage was done before."""
        self._progress.console.print(f"  {name.replace('_', ' ')}: done before")

    def refused(self, name: str, why: str) -> None:
        """Print the reason why a stage is left out."""
        self._progress.console.print(Text(f"  {name.replace('_', ' ')}: left out: {why}"))
