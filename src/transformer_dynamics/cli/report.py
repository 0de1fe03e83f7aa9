"""Commands that write a page: `tdyn report` and `tdyn compare`."""

from __future__ import annotations

from pathlib import Path

from transformer_dynamics.cli.options import (
    FirstArgument,
    PageOption,
    RunArgument,
    SecondArgument,
    SeedOption,
)
from transformer_dynamics.cli.tables import comparison_table, console, print_paths


def report(run_folder: RunArgument) -> None:
    """Write the page of a finished run again."""
    from transformer_dynamics.experiment import report_run

    print_paths(report_run(run_folder))


def compare(
    run: FirstArgument,
    other: SecondArgument,
    out: PageOption = Path("comparison/report.html"),
    seed: SeedOption = 0,
) -> None:
    """Compare two recordings of the same texts, site by site."""
    from transformer_dynamics.measures.similarity import between_recordings
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.report import write_report
    from transformer_dynamics.storage.results import save_result

    in_runs = [folder / "recording.zarr" for folder in (run, other)]
    paths = [a if a.exists() else b for a, b in zip(in_runs, (run, other), strict=True)]
    recordings = [open_recording(path).load_if_small() for path in paths]
    result = between_recordings(*recordings, seed=seed)
    name = result.attrs["measure"]
    write_report(out, {name: result}, [], recording=recordings[0])
    save_result(out.parent / "results.zarr", name, result)
    console.print(comparison_table(result))
    print_paths(out)
