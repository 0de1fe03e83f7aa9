"""Commands that write pages and figures: `tdyn report`, `tdyn compare`, `tdyn figures`."""

from __future__ import annotations

from transformer_dynamics.cli.inputs import names_in
from transformer_dynamics.cli.options.folder_flags import CompareFlags, FiguresFlags, ReportFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.tables import compared_table, comparison_table


def report(options: ReportFlags, output: Output) -> None:
    """Write the page of a finished run again."""
    from transformer_dynamics.experiment import report_run

    with output.stage("report", "pages"):
        page = report_run(options.run_folder)
    if options.open:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            output.note(f"no browser was found; open this file in one: {page.resolve()}")
    output.result(Result(paths={"report": page}))


def compare(options: CompareFlags, output: Output) -> None:
    """Compare runs of any depths and widths: claims, profiles over relative depth, similarity."""
    from transformer_dynamics.comparison import compare_runs
    from transformer_dynamics.comparison.files import as_json
    from transformer_dynamics.comparison.page import json_path

    compared = compare_runs(
        options.runs, n_bootstrap=options.bootstrap, seed=options.seed, reporter=output
    )
    with output.stage("report", "pages"):
        page = compared.save(options.out)
    shown = [compared_table(compared)]
    for similarity in compared.similarities:
        if similarity.result is None:
            output.note(f"no similarity with {similarity.other}: {similarity.reason}")
        else:
            shown.append(comparison_table(similarity.result, similarity.other))
    fields = {"runs": compared.names, "claims": as_json(compared)["claims"]}
    output.result(Result(shown, fields, {"report": page, "json": json_path(page)}))


def figures(options: FiguresFlags, output: Output) -> None:
    """Write every figure of a run for print, and a file with their captions."""
    from transformer_dynamics.experiment import save_figures

    with output.stage("figures", "figures") as progress:
        saved = save_figures(
            options.run_folder,
            options.out,
            file_format=options.format,
            only=names_in(options.only),
            on_progress=progress,
        )
    paths = {"folder": saved.folder, "captions": saved.captions}
    output.result(Result([f"{len(saved.paths)} figures"], {"figures": list(saved.paths)}, paths))
