"""Command `tdyn merge`."""

from __future__ import annotations

from transformer_dynamics.cli.options.folder_flags import MergeFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output


def merge(options: MergeFlags, output: Output) -> None:
    """Merge recordings, or moments, of one model over several sets of texts."""
    from transformer_dynamics.recording.joining.merging import merge_folders

    with output.stage("merge", "samples") as progress:
        merged = merge_folders(
            options.recordings,
            options.out,
            keep_duplicates=options.keep_duplicates,
            on_progress=progress,
        )
    n_samples, n_sites, n_units = merged.shape
    shown = f"{options.out}: {n_samples} samples, {n_sites} sites, {n_units} units"
    sizes = {"samples": n_samples, "sites": n_sites, "units": n_units}
    output.result(Result([shown], sizes, {"recording": options.out}))
