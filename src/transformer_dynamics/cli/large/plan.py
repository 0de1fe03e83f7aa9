"""Command `tdyn plan`."""

from __future__ import annotations

from rich.table import Table

from transformer_dynamics.cli.inputs import load_model_of, load_texts_of, recording_options_of
from transformer_dynamics.cli.options.flags import PlanFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import RecordingError


def plan(options: PlanFlags, output: Output) -> None:
    """Print the cost of a recording before it is made: tokens, operations, bytes, memory, time."""
    from transformer_dynamics.recording.cost.planning import Resources
    from transformer_dynamics.recording.cost.planning import plan as plan_recording
    from transformer_dynamics.storage.files import local_path

    recording_options = recording_options_of(options)
    # Refused before the model is loaded.
    Resources(options.workers, options.tokens_per_second)
    local_path(options.out, RecordingError)
    # Without weights, a plan needs neither their download nor their memory.
    is_measured = options.tokens_per_second is None
    model = load_model_of(options, output, weights=is_measured)
    texts = load_texts_of(options, output)
    stage = "measure_throughput" if is_measured else "count_operations"
    with output.stage(stage, "measurements"):
        cost = plan_recording(
            model,
            texts,
            options.positions,
            out=options.out,
            options=recording_options,
            workers=options.workers,
            tokens_per_second=options.tokens_per_second,
        )
    table = Table("property", "value", show_header=False)
    for name, value in cost.rows():
        table.add_row(name, value)
    output.result(Result([table], cost.to_dict()))
