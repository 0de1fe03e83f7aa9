"""Commands that write a page: `tdyn report` and `tdyn compare`."""

from __future__ import annotations

from transformer_dynamics.cli.options.flags import CompareFlags, ReportFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.tables import comparison_table


def report(options: ReportFlags, output: Output) -> None:
    """Write the page of a finished run again."""
    from transformer_dynamics.experiment import report_run

    with output.stage("report", "pages"):
        page = report_run(options.run_folder)
    output.result(Result(paths={"report": page}))


def compare(options: CompareFlags, output: Output) -> None:
    """Compare two recordings of the same texts, site by site."""
    from transformer_dynamics.measures.similarity import between_recordings
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.report import write_report
    from transformer_dynamics.storage.results import save_result

    given = (options.run, options.other)
    in_runs = [folder / "recording.zarr" for folder in given]
    paths = [a if a.exists() else b for a, b in zip(in_runs, given, strict=True)]
    recordings = [open_recording(path).load_if_small() for path in paths]
    with output.stage("compare", "recordings"):
        result = between_recordings(*recordings, seed=options.seed)
    name = result.attrs["measure"]
    with output.stage("report", "pages"):
        write_report(options.out, {name: result}, [], recording=recordings[0])
    save_result(options.out.parent / "results.zarr", name, result)
    output.result(Result([comparison_table(result)], {"measure": name}, {"report": options.out}))
