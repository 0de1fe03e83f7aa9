"""Result and error of a command for people."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from transformer_dynamics.cli.output.form import Form, Result, interruption


class Messages(Form):
    """Tables and paths of the result, and the error.

    Args:
        console: Console of the result; None for no result.
        complaints: Console of errors.
    """

    def __init__(self, console: Console | None, complaints: Console) -> None:
        self._console, self._complaints = console, complaints

    def result(self, result: Result) -> None:
        """Print tables, then the paths of written files, one per line."""
        if self._console is None:
            return
        for part in result.shown:
            self._console.print(part, soft_wrap=isinstance(part, str))
        for path in result.paths.values():
            self._console.print(str(path), highlight=False, markup=False, soft_wrap=True)

    def failed(self, message: str) -> None:
        """Print the error."""
        self._complaints.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)

    def interrupted(self, command: str) -> None:
        """Print how to go on."""
        self._complaints.print(Text(interruption(command)), soft_wrap=True)
