"""Command `tdyn measure`."""

from __future__ import annotations

from functools import partial
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
    from transformer_dynamics.experiment.stages.measurements import measured
    from transformer_dynamics.numerics.dask_clients import connected
    from transformer_dynamics.numerics.parallel import timed
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
    if moments is not None and options.dask is not None:
        raise TdynError(
            f"{path} holds moments, which are measured in this process in seconds; leave --dask "
            f"out: tdyn measure {path}"
        )
    table = Table("measure", Column("variables", overflow="fold"), "seconds")
    variables: dict[str, list[str]] = {}
    with connected(options.dask) as client, output.stage("measure", "measures") as progress:
        if moments is None:
            results = measured(open_recording(path), chosen, client=client)
        else:
            results = ((each, *timed(partial(moments.measure, each))) for each in chosen)
        for n_before, (each, result, seconds) in enumerate(results):
            save_result(store, each, result)
            variables[each] = [str(variable) for variable in result.data_vars]
            table.add_row(each, ", ".join(variables[each]), f"{seconds:.2f}")
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
