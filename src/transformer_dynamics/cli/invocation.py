"""One call of a command: its options resolved, its messages, its errors and exit statuses."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from transformer_dynamics.cli.options.configuration import resolve
from transformer_dynamics.cli.options.flags import OutputFlags, RunFlags
from transformer_dynamics.cli.output.choice import output_of
from transformer_dynamics.cli.output.lines import LogFile
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.environment import system_information
from transformer_dynamics.errors import TdynError

# Exit status of the command: an error, and Ctrl-C (128 + SIGINT, as in shells). Typer ends with 2
# where the command line cannot be read.
FAILED, INTERRUPTED = 1, 130


def command_line() -> str:
    """Command as it was typed."""
    return shlex.join(["tdyn", *sys.argv[1:]])


def invoke(function: Callable[[Any, Output], None], options: Any, context: typer.Context) -> None:
    """Call a command with its options and its output.

    Args:
        function: The command.
        options: Its options, with the values of the command line.
        context: Context of the command, which knows what was typed.
    """
    flags = options if isinstance(options, OutputFlags) else OutputFlags()
    with output_of(flags, context.info_name or "") as output, _ending(output):
        if flags.log is not None:
            output.add(LogFile(flags.log, command_line()))
        if isinstance(options, RunFlags):
            given = {
                name: getattr(options, name) for name in context.params if _was_given(context, name)
            }
            options = resolve(options, given, context)
        versions = [f"{name} {value}" for name, value in system_information().items()]
        output.detail(f"versions: {', '.join(versions)}")
        function(options, output)


@contextmanager
def _ending(output: Output) -> Iterator[None]:
    """Report warnings as they come, and the error or the interruption that ends a command."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: output.warned(str(message))
        try:
            yield
        except TdynError as error:
            output.failed(str(error))
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            output.interrupted(command_line())
            raise typer.Exit(INTERRUPTED) from None


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
