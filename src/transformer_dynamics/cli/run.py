"""Command `tdyn run`."""

from __future__ import annotations

import typer

from transformer_dynamics.cli.inputs import (
    command_line,
    load_model_of,
    load_preset_texts_of,
    load_texts_of,
    recording_options_of,
    run_folder,
)
from transformer_dynamics.cli.options import (
    AttentionOption,
    BatchOption,
    BootstrapOption,
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
    NullsOption,
    OfflineOption,
    PerturbedOption,
    PresetOption,
    RevisionOption,
    RunFolderOption,
    SamplesOption,
    SeedOption,
    TextsOption,
    TextsRevisionOption,
    TooLongOption,
    TwinsOption,
)
from transformer_dynamics.cli.progress import Bars
from transformer_dynamics.cli.tables import console, print_paths, verdict_table


def run(
    context: typer.Context,
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: RunFolderOption = None,
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
    nulls: NullsOption = None,
    twins: TwinsOption = 8,
    bootstrap: BootstrapOption = 999,
    perturbed: PerturbedOption = None,
    preset: PresetOption = None,
    offline: OfflineOption = False,
    trust_remote_code: CodeOption = False,
) -> None:
    """Record, measure, perturb, test the claims against their nulls, and write the report."""
    from transformer_dynamics.experiment import Experiment, Settings

    loaded = load_model_of(context)
    if preset is None:
        chosen, note = load_texts_of(context), ""
    else:
        chosen, note = load_preset_texts_of(context, preset)
    folder = out or run_folder(loaded.name)
    settings = Settings(
        seed=seed,
        preset={} if preset is None else {"name": preset, "note": note},
        recording=recording_options_of(context),
        n_null=nulls,
        n_twins=twins,
        n_bootstrap=bootstrap,
        n_perturbed=perturbed,
        command=command_line(),
    )
    with Bars() as bars:
        verdicts = Experiment(loaded, chosen, folder, settings, bars).run()
    console.print(verdict_table(verdicts))
    console.print()
    print_paths(folder / "report.html", folder / "claims.json")
