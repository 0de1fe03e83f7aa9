"""JSON on standard output: one object per line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TextIO

from transformer_dynamics.cli.output.beating import Beating
from transformer_dynamics.cli.output.form import Form, Result
from transformer_dynamics.cli.output.stage import Stage
from transformer_dynamics.environment import version
from transformer_dynamics.storage.files import plain


def write_event(stream: TextIO, event: str, **entries: Any) -> None:
    """Write an event as one line of JSON."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps(
        {"event": event, "time": now, **entries}, ensure_ascii=True, allow_nan=False, default=plain
    )
    stream.write(line + "\n")
    stream.flush()


class FinalEvent(Form):
    """The final result or the error alone.

    Args:
        stream: The stream.
        command: Name of the command.
    """

    def __init__(self, stream: TextIO, command: str) -> None:
        self._stream, self._command = stream, command

    def result(self, result: Result) -> None:
        """Write the result."""
        entries = {**result.fields, "paths": dict(result.paths)}
        write_event(self._stream, "result", command=self._command, **entries)

    def failed(self, message: str) -> None:
        """Write the error."""
        write_event(self._stream, "error", command=self._command, message=message)

    def interrupted(self, command: str) -> None:
        """Write that the command was interrupted."""
        write_event(self._stream, "interrupted", command=self._command, continue_with=command)


class Events(Beating):
    """The stages of a command.

    Args:
        stream: The stream.
        command: Name of the command.
        timing: `clock` and `interval` of `Beating`.
    """

    def __init__(self, stream: TextIO, command: str, **timing: Any) -> None:
        super().__init__(**timing)
        self._stream = stream
        self._write("command", command=command, version=version())

    def begun(self, stage: Stage) -> None:
        """Write that a stage begins."""
        self._write("stage_begin", stage=stage.name, unit=stage.unit)

    def running(self, stage: Stage, now: float) -> None:
        """Write work done, rate and seconds left."""
        self._write(
            "stage_progress",
            stage=stage.name,
            unit=stage.unit,
            done=stage.done,
            total=stage.total or None,
            rate=stage.rate(now),
            seconds=round(now - stage.began, 2),
            seconds_left=stage.seconds_left(now),
        )

    def ended(self, stage: Stage, seconds: float, *, finished: bool) -> None:
        """Write that a stage ends."""
        self._write("stage_end", stage=stage.name, seconds=round(seconds, 2), finished=finished)

    def between(self, seconds: float) -> None:
        """Write that the command works between two stages."""
        self._write("between_stages", seconds=round(seconds, 2))

    def skipped(self, name: str) -> None:
        """Write that a stage was done before."""
        self._write("stage_skipped", stage=name)

    def refused(self, name: str, why: str) -> None:
        """Write the reason why a stage is left out."""
        self._write("stage_refused", stage=name, why=why)

    def note(self, text: str) -> None:
        """Write a note."""
        self._write("note", text=text)

    def warned(self, text: str) -> None:
        """Write a warning."""
        self._write("warning", text=text)

    def _write(self, event: str, **entries: Any) -> None:
        with self._lock:
            write_event(self._stream, event, **entries)
