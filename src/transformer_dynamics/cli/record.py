"""Command `tdyn record`."""

from __future__ import annotations

from pathlib import Path

import typer

from transformer_dynamics.cli.inputs import load_model_of, load_texts_of, recording_options_of
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
    KeepOption,
    MaxOption,
    MinOption,
    ModelArgument,
    OfflineOption,
    PositionsOption,
    RecordingOption,
    RevisionOption,
    SamplesOption,
    SeedOption,
    SitesOption,
    StorageOption,
    TextsOption,
    TextsRevisionOption,
    TooLongOption,
)
from transformer_dynamics.cli.progress import Bars
from transformer_dynamics.cli.tables import console


def record(
    context: typer.Context,
    model: ModelArgument = "smollm2-135m",
    texts: TextsOption = "wikipedia-sample",
    samples: SamplesOption = None,
    seed: SeedOption = 0,
    out: RecordingOption = Path("recording.zarr"),
    positions: PositionsOption = "last",
    keep: KeepOption = "states",
    storage: StorageOption = "auto",
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
    sites: SitesOption = None,
) -> None:
    """Record the residual stream of a model over texts."""
    from transformer_dynamics.recording.record import record as record_states

    options = recording_options_of(context, seed=seed, storage=storage)
    loaded = load_model_of(context, sites)
    chosen = load_texts_of(context)
    with Bars() as bars, bars.stage("record", "tokens") as progress:
        made = record_states(
            loaded,
            chosen,
            positions,
            out=out,
            keep=keep,  # type: ignore[call-overload]
            options=options,
            on_progress=progress,
        )
    n_samples, n_sites, n_units = made.shape
    kind = "" if keep == "states" else "moments of "
    console.print(
        f"{out}: {kind}{n_samples} samples, {n_sites} sites, {n_units} units", soft_wrap=True
    )
