"""Command `tdyn perturb`."""

from __future__ import annotations

import typer

from transformer_dynamics.cli.inputs import (
    command_line,
    load_model_of,
    load_texts_of,
    recording_options_of,
    run_folder,
)
from transformer_dynamics.cli.options import (
    AttentionOption,
    BatchOption,
    BosOption,
    CodeOption,
    ColumnOption,
    CutOption,
    DeviceOption,
    DtypeOption,
    GroupOption,
    MaxOption,
    MinOption,
    ModelArgument,
    OfflineOption,
    PerturbationOption,
    PerturbedOption,
    RevisionOption,
    RunFolderOption,
    SamplesOption,
    SeedOption,
    TextsOption,
    TextsRevisionOption,
    TooLongOption,
)
from transformer_dynamics.cli.progress import Bars
from transformer_dynamics.cli.tables import console, perturbation_table, print_paths


def perturb(
    context: typer.Context,
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: RunFolderOption = None,
    name: PerturbationOption = None,
    perturbed: PerturbedOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    attention: AttentionOption = None,
    revision: RevisionOption = None,
    bos: BosOption = "tokenizer",
    too_long: TooLongOption = "refuse",
    batch_tokens: BatchOption = None,
    column: ColumnOption = "text",
    group: GroupOption = None,
    cut: CutOption = None,
    min_chars: MinOption = None,
    max_chars: MaxOption = None,
    texts_revision: TextsRevisionOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
) -> None:
    """Perturb states, compute Jacobians, and skip or swap layers, with the model in the loop.

    The texts are recorded first if they are not recorded yet. A later `tdyn run` into the same
    folder continues from there.
    """
    from transformer_dynamics.experiment import Experiment, Settings

    loaded = load_model_of(context)
    chosen = load_texts_of(context)
    folder = out or run_folder(loaded.name)
    settings = Settings(
        seed=seed,
        recording=recording_options_of(context),
        n_perturbed=perturbed,
        command=command_line(),
    )
    with Bars() as bars:
        results = Experiment(loaded, chosen, folder, settings, bars).perturb(name)
    console.print(perturbation_table(results))
    print_paths(folder / "results.zarr", folder / "report.html")
