"""The command `tdyn`: it parses, calls and prints, and computes nothing itself."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import transformer_dynamics
from transformer_dynamics.cli.inspect import doctor, list_entries, sites
from transformer_dynamics.cli.invocation import FAILED
from transformer_dynamics.cli.large.merge import merge
from transformer_dynamics.cli.large.plan import plan
from transformer_dynamics.cli.large.slurm import record as slurm_record
from transformer_dynamics.cli.large.status import status
from transformer_dynamics.cli.large.verify import verify
from transformer_dynamics.cli.measure import measure
from transformer_dynamics.cli.options.signature import command
from transformer_dynamics.cli.perturb import perturb
from transformer_dynamics.cli.record import record
from transformer_dynamics.cli.report import compare, figures, report
from transformer_dynamics.cli.run import run
from transformer_dynamics.errors import TdynError

EXIT_STATUSES = {
    0: "done",
    1: "an error: one message says how to correct it",
    2: "a command line that cannot be read",
    130: "interrupted: the same command continues",
}
EPILOG = (
    f"Exit status: {', '.join(f'{status} ({what})' for status, what in EXIT_STATUSES.items())}.\n\n"
    "Environment: TDYN_CACHE names the folder of downloaded and converted files, NO_COLOR turns "
    "colors off."
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
slurm = typer.Typer(no_args_is_help=True, help="Jobs for a cluster with SLURM.")
slurm.command()(command(slurm_record))
app.add_typer(slurm, name="slurm")
for function in (
    run,
    plan,
    record,
    status,
    verify,
    merge,
    measure,
    perturb,
    compare,
    report,
    figures,
    sites,
):
    app.command()(command(function))
app.command("list")(list_entries)
app.command()(doctor)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"transformer-dynamics {transformer_dynamics.__version__}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_print_version),
    ] = False,
) -> None:
    """The residual stream of a transformer as a dynamical system over depth."""


def main() -> None:
    """Entry point: an error for the user is one message and a non-zero exit status."""
    try:
        app(prog_name="tdyn")
    except TdynError as error:  # of a command without output of its own
        message = Text.assemble(("error: ", "bold red"), str(error))
        Console(stderr=True).print(message, soft_wrap=True)
        raise SystemExit(FAILED) from None
