"""Command `tdyn run`."""

from __future__ import annotations

from dataclasses import replace

from transformer_dynamics.cli.inputs import load_model_of, load_run_texts, run_folder
from transformer_dynamics.cli.options.configuration import as_yaml, configuration
from transformer_dynamics.cli.options.flags import RunFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.settings import settings_of
from transformer_dynamics.cli.tables import verdict_table


def run(options: RunFlags, output: Output) -> None:
    """Record, measure, perturb, test the claims against their nulls, and write the report."""
    from transformer_dynamics.experiment import Experiment, select
    from transformer_dynamics.numerics.dask_clients import check_address, connected

    settings = settings_of(options)
    if options.dask is not None:
        check_address(options.dask)
    select(settings)  # names that do not exist are refused before the model is loaded
    if options.print_config:
        config = configuration(options)
        output.result(Result([as_yaml(config).rstrip()], {"config": config}))
        return
    with connected(options.dask) as client:
        model = load_model_of(options, output)
        texts, note = load_run_texts(options, output)
        settings = replace(settings_of(options, note), client=client)
        folder = run_folder(options, model.name)
        verdicts = Experiment(model, texts, folder, settings, output).run()
    output.result(
        Result(
            [verdict_table(verdicts), ""],
            {"verdicts": [verdict.as_json() for verdict in verdicts]},
            {"report": folder / "report.html", "claims": folder / "claims.json"},
        )
    )
