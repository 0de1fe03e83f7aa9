"""Command `tdyn record`."""

from __future__ import annotations

from transformer_dynamics.cli.inputs import load_model_of, load_texts_of, recording_options_of
from transformer_dynamics.cli.options.flags import RecordFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output


def record(options: RecordFlags, output: Output) -> None:
    """Record the residual stream of a model over texts."""
    from transformer_dynamics.recording.record import record as record_states

    recording_options = recording_options_of(options)
    model = load_model_of(options, output)
    texts = load_texts_of(options, output)
    with output.stage("record", "tokens") as progress:
        made = record_states(
            model,
            texts,
            options.positions,
            out=options.out,
            keep=options.keep,  # type: ignore[call-overload]
            options=recording_options,
            on_progress=progress,
        )
    n_samples, n_sites, n_units = made.shape
    kind = "" if options.keep == "states" else "moments of "
    shown = f"{options.out}: {kind}{n_samples} samples, {n_sites} sites, {n_units} units"
    sizes = {"samples": n_samples, "sites": n_sites, "units": n_units, "keep": options.keep}
    output.result(Result([shown], sizes, {"recording": options.out}))
