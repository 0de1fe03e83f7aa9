"""Progress bars on a terminal, with rate and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

from transformer_dynamics.cli.output.form import Form, Result, spoken
from transformer_dynamics.cli.output.stage import rounded
from transformer_dynamics.experiment.reporter import Progress as Advance


class _Rate(ProgressColumn):
    """Column with the work per second and its unit."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{rounded(speed)} {task.fields['unit']}/s")


class Bars(Form):
    """One bar per stage; notes above them.

    Args:
        console: Console of a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> Form:
        """Begin to draw."""
        self._progress.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Advance]:
        """Show one bar."""
        task = self._progress.add_task(spoken(name), total=None, unit=unit)

        def advance(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        try:
            yield advance
            if self._progress.tasks[task].total is None:  # a stage that is one piece of work
                advance(1, 1)
        finally:
            self._progress.stop_task(task)

    def skipped(self, name: str) -> None:
        """Print that a stage was done before."""
        self.note(f"  {spoken(name)}: done before")

    def refused(self, name: str, why: str) -> None:
        """Print the reason why a stage is left out."""
        self.note(f"  {spoken(name)}: left out: {why}")

    def warned(self, text: str) -> None:
        """Print a warning."""
        self.note(f"warning: {text}")

    def note(self, text: str) -> None:
        """Print a note."""
        self._progress.console.print(Text(text), soft_wrap=True)

    def result(self, result: Result) -> None:
        """Stop, so that tables stand below the bars."""
        self._progress.stop()

    def failed(self, message: str) -> None:
        """Stop, so that the error stands below the bars."""
        self._progress.stop()

    def interrupted(self, command: str) -> None:
        """Stop, so that the message stands below the bars."""
        self._progress.stop()
