"""Command `tdyn perturb`."""

from __future__ import annotations

from transformer_dynamics.cli.inputs import load_model_of, load_texts_of, run_folder
from transformer_dynamics.cli.options.flags import PerturbFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.cli.settings import settings_of
from transformer_dynamics.cli.tables import perturbation_table
from transformer_dynamics.errors import TdynError


def perturb(options: PerturbFlags, output: Output) -> None:
    """Perturb states, compute Jacobians, and skip or swap layers, with the model in the loop.

    The texts are recorded first if they are not recorded yet. A later `tdyn run` into the same
    folder continues from there.
    """
    from transformer_dynamics.experiment import Experiment, select

    settings = settings_of(options)
    names = select(settings).perturbations
    if not names:
        raise TdynError(
            "no perturbation is chosen; name one: tdyn perturb --perturbations "
            "perturbation.teleport; or use all: tdyn perturb"
        )
    model = load_model_of(options, output)
    texts = load_texts_of(options, output)
    folder = run_folder(options, model.name)
    results = Experiment(model, texts, folder, settings, output).perturb(names)
    variables = {name: [str(each) for each in made.data_vars] for name, made in results.items()}
    output.result(
        Result(
            [perturbation_table(results)],
            {"perturbations": variables},
            {"results": folder / "results.zarr", "report": folder / "report.html"},
        )
    )
