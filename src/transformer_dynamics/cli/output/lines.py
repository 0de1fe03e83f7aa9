"""Log lines: each stage as it begins, advances and ends, with the time of day."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TextIO

from transformer_dynamics.cli.output.beating import Beating
from transformer_dynamics.cli.output.form import Result, interruption, spoken
from transformer_dynamics.cli.output.stage import Stage, clock_time, rounded
from transformer_dynamics.errors import TdynError


class Lines(Beating):
    """Log lines on a stream, each flushed.

    Args:
        stream: The stream.
        timing: `clock` and `interval` of `Beating`.
    """

    def __init__(self, stream: TextIO, **timing: Any) -> None:
        super().__init__(**timing)
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a line with date and time."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with self._lock:
            self._stream.write(f"{stamp} {' '.join(text.splitlines())}\n")
            self._stream.flush()

    def begun(self, stage: Stage) -> None:
        """Write that a stage begins."""
        self.write(f"{spoken(stage.name)}: begins")

    def running(self, stage: Stage, now: float) -> None:
        """Write share done, rate and time left."""
        if not stage.total:
            self.write(f"{spoken(stage.name)}: working for {clock_time(now - stage.began)}")
            return
        parts = [f"{stage.done / stage.total:.0%}", f"{stage.done} of {stage.total} {stage.unit}"]
        rate, left = stage.rate(now), stage.seconds_left(now)
        if rate is not None and left is not None:
            parts += [f"{rounded(rate)} {stage.unit}/s", f"{clock_time(left)} left"]
        else:
            parts += [f"working for {clock_time(now - stage.began)}"]
        self.write(f"{spoken(stage.name)}: {', '.join(parts)}")

    def ended(self, stage: Stage, seconds: float, *, finished: bool) -> None:
        """Write that a stage is done, or was stopped."""
        how = "done in" if finished else "stopped after"
        self.write(f"{spoken(stage.name)}: {how} {clock_time(seconds)}")

    def between(self, seconds: float) -> None:
        """Write that the command works between two stages."""
        self.write(f"between stages for {clock_time(seconds)}")

    def skipped(self, name: str) -> None:
        """Write that a stage was done before."""
        self.write(f"{spoken(name)}: done before")

    def refused(self, name: str, why: str) -> None:
        """Write the reason why a stage is left out."""
        self.write(f"{spoken(name)}: left out: {why}")

    def note(self, text: str) -> None:
        """Write a note."""
        self.write(text)

    def warned(self, text: str) -> None:
        """Write a warning."""
        self.write(f"warning: {text}")


class LogFile(Lines):
    """Log lines appended to a file, with command, written files and errors.

    Args:
        path: The file; its folder is made.
        command: Command line, the first line.
        timing: `clock` and `interval` of `Beating`.

    Raises:
        TdynError: the file cannot be written.
    """

    def __init__(self, path: Path, command: str, **timing: Any) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a", encoding="utf-8", errors="replace")
        except OSError as error:
            raise TdynError(
                f"cannot write the log {path}: {error.strerror}; name a writable file: "
                "--log runs/demo.log"
            ) from error
        super().__init__(stream, **timing)
        self.write(command)

    def __exit__(self, *error: object) -> None:
        """End the thread and close the file."""
        super().__exit__(*error)
        self._stream.close()

    def result(self, result: Result) -> None:
        """Write the paths of the files."""
        self.write(f"finished: {', '.join(map(str, result.paths.values()))}")

    def failed(self, message: str) -> None:
        """Write the error."""
        self.write(f"error: {message}")

    def interrupted(self, command: str) -> None:
        """Write that the command was interrupted."""
        self.write(interruption(command))
