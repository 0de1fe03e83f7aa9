"""Forms of messages that the options of a command ask for."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from transformer_dynamics.cli.options.flags import OutputFlags
from transformer_dynamics.cli.output.bars import Bars
from transformer_dynamics.cli.output.events import Events, FinalEvent
from transformer_dynamics.cli.output.form import Form
from transformer_dynamics.cli.output.lines import Lines
from transformer_dynamics.cli.output.messages import Messages
from transformer_dynamics.cli.output.output import Output


def output_of(flags: OutputFlags, command: str) -> Output:
    """Make the output of a command.

    Args:
        flags: Options of the messages.
        command: Name of the command.

    Raises:
        typer.BadParameter: both `--quiet` and `--verbose`.
    """
    if flags.quiet and flags.verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other; give one of them")
    errors = Console(stderr=True, no_color=flags.no_color or None)
    standard = errors if flags.json else Console(no_color=flags.no_color or None)
    forms: list[Form] = []
    if not flags.quiet:
        forms.append(_progress(errors))
        if flags.json:
            forms.append(Events(sys.stdout, command))
    if flags.json:
        forms.append(FinalEvent(sys.stdout, command))
    shown = None if flags.json and flags.quiet else standard
    return Output([*forms, Messages(shown, errors)], verbose=flags.verbose)


def _progress(console: Console) -> Form:
    """Bars on a terminal; elsewhere log lines, as in a SLURM log or in continuous integration."""
    # Not the console's own idea of a terminal, which the variable FORCE_COLOR turns on for files.
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        return Bars(console)
    return Lines(sys.stderr)
