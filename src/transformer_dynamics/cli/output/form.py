"""Form of messages: receiver of the stages, notes and results of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from transformer_dynamics.experiment.reporter import Silent


@dataclass(frozen=True)
class Result:
    """Final result of a command.

    Attributes:
        shown: Tables and texts for people.
        fields: The same for programs, by name; values that JSON holds.
        paths: Written files by name.
    """

    shown: Sequence[RenderableType] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)


class Form(Silent):
    """Form of messages; silent where it does not say otherwise."""

    def __enter__(self) -> Form:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End."""

    def note(self, text: str) -> None:
        """Tell the user something that is no stage."""

    def warned(self, text: str) -> None:
        """Report a warning."""

    def result(self, result: Result) -> None:
        """Report the final result."""

    def failed(self, message: str) -> None:
        """Report the error that ended the command."""

    def interrupted(self, command: str) -> None:
        """Report an interruption; `command` continues."""


def spoken(stage: str) -> str:
    """Name of a stage for people."""
    return stage.replace("_", " ")


def interruption(command: str) -> str:
    """Sentence after an interruption."""
    return f"interrupted; finished parts are kept. To go on: {command}"
