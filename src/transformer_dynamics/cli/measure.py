"""Command `tdyn measure`."""

from __future__ import annotations

import time

from rich.table import Column, Table

from transformer_dynamics.cli.options import MeasureOption, RecordingArgument, ResultsOption
from transformer_dynamics.cli.tables import console, print_paths
from transformer_dynamics.errors import TdynError


def measure(
    recording: RecordingArgument, name: MeasureOption = None, out: ResultsOption = None
) -> None:
    """Run measures on a recording or on moments, and store their results."""
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.recording.moments.moments import holds_moments, open_moments
    from transformer_dynamics.registry import MEASURES
    from transformer_dynamics.storage.results import save_result

    known = MEASURES.all()
    moments = open_moments(recording) if holds_moments(recording) else None
    chosen = name or [each for each in known if moments is None or moments.can_measure(each)]
    for each in chosen:
        if each not in known:
            raise TdynError(f"there is no measure {each!r}; there are: {', '.join(known)}")
    loaded = None if moments is not None else open_recording(recording).load_if_small()
    store = out or recording.parent / "results.zarr"
    table = Table("measure", Column("variables", overflow="fold"), "seconds")
    for each in chosen:
        start = time.perf_counter()
        result = known[each].function(loaded) if moments is None else moments.measure(each)
        save_result(store, each, result)
        seconds = f"{time.perf_counter() - start:.2f}"
        table.add_row(each, ", ".join(str(variable) for variable in result.data_vars), seconds)
    console.print(table)
    print_paths(store)
