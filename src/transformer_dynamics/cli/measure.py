"""Command `tdyn measure`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.table import Column, Table

from transformer_dynamics.cli.inputs import names_in
from transformer_dynamics.cli.options.flags import MeasureFlags
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import TdynError


def measure(options: MeasureFlags, output: Output) -> None:
    """Run measures on a recording or on moments, and store their results."""
    from transformer_dynamics.experiment.settings import known_names
    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.recording.moments.moments import holds_moments, open_moments
    from transformer_dynamics.registry import MEASURES
    from transformer_dynamics.storage.addresses import place
    from transformer_dynamics.storage.results import save_result

    path, named = place(options.recording), names_in(options.measures)
    chosen = known_names("measure", MEASURES, named)
    store = _store(path, options.out)
    moments = open_moments(path) if isinstance(path, Path) and holds_moments(path) else None
    if moments is not None and named is None:
        chosen = tuple(each for each in chosen if moments.can_measure(each))
    loaded = None if moments is not None else open_recording(path).load_if_small()
    table = Table("measure", Column("variables", overflow="fold"), "seconds")
    variables: dict[str, list[str]] = {}
    with output.stage("measure", "measures") as progress:
        for n_before, each in enumerate(chosen):
            start = time.perf_counter()
            function = MEASURES.get(each).function
            result = function(loaded) if moments is None else moments.measure(each)
            save_result(store, each, result)
            variables[each] = [str(variable) for variable in result.data_vars]
            table.add_row(each, ", ".join(variables[each]), f"{time.perf_counter() - start:.2f}")
            progress(n_before + 1, len(chosen))
    output.result(Result([table], {"measures": variables}, {"results": store}))


def _store(recording: Path | str, out: Path | None) -> Path:
    """Store of the results, by default next to the recording."""
    if out is not None:
        return out
    if isinstance(recording, str):
        raise TdynError(
            "results are written to this machine and not to the store of the recording; name "
            f"their store: tdyn measure {recording} --out results.zarr"
        )
    return recording.parent / "results.zarr"
