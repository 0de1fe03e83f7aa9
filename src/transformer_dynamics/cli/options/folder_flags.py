"""Options of the commands on finished folders: status, verify, merge, report, compare, figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from transformer_dynamics.cli.options.flags import RUN, OutputFlags

_run = partial(typer.Option, rich_help_panel=RUN)


@dataclass(frozen=True, kw_only=True)
class StatusFlags(OutputFlags):
    """Options of `tdyn status`."""

    folder: Annotated[
        str,
        typer.Argument(help="A recording, a growing one, moments, or the folder of a run."),
    ]


@dataclass(frozen=True, kw_only=True)
class VerifyFlags(OutputFlags):
    """Options of `tdyn verify`."""

    folder: Annotated[
        str,
        typer.Argument(
            help="A recording, a growing one, moments, the folder of a run, or an address such as "
            "s3://bucket/recording.zarr."
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class MergeFlags(OutputFlags):
    """Options of `tdyn merge`."""

    recordings: Annotated[
        list[str],
        typer.Argument(help="Two or more recordings, or moments, such as a.zarr b.zarr."),
    ]
    out: Annotated[Path, _run(help="Folder of the merged recording, ending in .zarr.")]
    keep_duplicates: Annotated[
        bool,
        _run(
            "--keep-duplicates",
            help="Keep a text that is in two recordings; its samples count twice.",
            show_default=False,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class ReportFlags(OutputFlags):
    """Options of `tdyn report`."""

    run_folder: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/demo.")]
    open: Annotated[
        bool, _run("--open", help="Open the page in the browser.", show_default=False)
    ] = False


@dataclass(frozen=True, kw_only=True)
class CompareFlags(OutputFlags):
    """Options of `tdyn compare`."""

    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more folders of finished runs, or recordings, such as "
            "runs/a/nulls/untrained-0.zarr. Each is compared with the first."
        ),
    ]
    out: Annotated[
        Path, _run(help="HTML page; a JSON file of the same name is written to the same folder.")
    ] = Path("comparison/report.html")
    bootstrap: Annotated[int, _run(min=2, help="Number of bootstrap draws over texts.")] = 499
    seed: Annotated[int, _run(help="Seed of all random draws.")] = 0


@dataclass(frozen=True, kw_only=True)
class FiguresFlags(OutputFlags):
    """Options of `tdyn figures`."""

    run_folder: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/demo.")]
    format: Annotated[str, _run(help="pdf, svg or png.")] = "pdf"
    only: Annotated[
        list[str] | None,
        _run(
            help="Names of results, claims or single figures, separated by commas or repeated; by "
            "default all."
        ),
    ] = None
    out: Annotated[
        Path | None, _run(help="Folder of the figures; by default figures in the run's folder.")
    ] = None
