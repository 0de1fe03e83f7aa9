"""The command `tdyn`: it parses, calls and prints, and computes nothing itself."""

from __future__ import annotations

import typer
from rich.text import Text

from transformer_dynamics.cli.inputs import command_line
from transformer_dynamics.cli.inspect import doctor, list_entries, sites
from transformer_dynamics.cli.measure import measure
from transformer_dynamics.cli.perturb import perturb
from transformer_dynamics.cli.progress import complaints
from transformer_dynamics.cli.record import record
from transformer_dynamics.cli.report import compare, report
from transformer_dynamics.cli.run import run
from transformer_dynamics.errors import TdynError

# Exit status of typer after Ctrl-C: 128 + SIGINT, as in shells.
INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The residual stream of a transformer as a dynamical system over depth.",
)
for command in (run, record, measure, perturb, compare, report, sites):
    app.command()(command)
app.command("list")(list_entries)
app.command()(doctor)


def main() -> None:
    """Entry point: an error for the user is one message and a non-zero exit status."""
    try:
        app()
    except TdynError as error:
        complaints.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            message = f"interrupted; finished parts are kept. To go on: {command_line()}"
            complaints.print(Text(message), soft_wrap=True)
        raise
