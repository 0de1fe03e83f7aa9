"""Measures of a recording, and its comparison with an untrained twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from transformer_dynamics.environment import return_memory, version
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.numerics.parallel import task_pool, timed
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import COMPARISONS, MEASURES
from transformer_dynamics.storage.results import result_stamp, save_result

if TYPE_CHECKING:
    import distributed

COMPARISON = "similarity.between_recordings"


def measure(run: Run, recording: Recording, names: Sequence[str] | None = None) -> None:
    """Run measures with their defaults and store their results; by default all measures."""
    inputs = _inputs(recording)
    chosen = MEASURES.all() if names is None else names
    pending = [name for name in chosen if not is_measured(run, recording, name)]
    if not pending:
        run.reporter.skipped("measure")
        return
    with run.reporter.stage("measure", "measures") as progress:
        for n_before, (name, result, seconds) in enumerate(
            measured(recording, pending, client=run.settings.client)
        ):
            save_result(run.store, name, result)
            return_memory()
            run.ledger.finished(f"measure {name}", inputs, seconds)
            if progress is not None:
                progress(n_before + 1, len(pending))


def measured(
    recording: Recording, names: Sequence[str], *, client: distributed.Client | None = None
) -> Iterator[tuple[str, xr.Dataset, float]]:
    """Run measures with their defaults, and iterate over name, result and seconds, in order.

    Args:
        recording: the recording; one on disk is opened by the workers.
        names: names of the measures.
        client: Dask client, each of whose workers runs one measure at a time; by default the
            measures run one after another in this process.
    """
    functions = [MEASURES.get(name).function for name in names]
    if client is None:
        loaded = recording.load_if_small()
        for name, function in zip(names, functions, strict=True):
            result, seconds = timed(function, loaded)
            yield name, result, seconds
        return
    with task_pool(client=client) as pool:
        data = pool.once(Recording.load_if_small, pool.share(recording))
        tasks = [pool.submit(timed, function, data) for function in functions]
        for name, task in zip(names, tasks, strict=True):
            result, seconds = task.result()
            yield name, result, seconds


def is_measured(run: Run, recording: Recording, name: str) -> bool:
    """Whether there is a result of a measure on this recording."""
    is_done = run.ledger.is_done(f"measure {name}", _inputs(recording))
    return is_done and result_stamp(run.store, name) is not None


def _inputs(recording: Recording) -> dict[str, Any]:
    return {"recording": identity(recording), "version": version()}


def compare(run: Run, recording: Recording, twin: Recording) -> None:
    """Compare the arrangement of the same samples in the model and in an untrained twin."""
    inputs = _inputs_of_comparison(run, recording, twin)
    if is_compared(run, recording, twin):
        run.reporter.skipped(COMPARISON)
        return
    shared = np.isin(recording.text_index, twin.text_index)
    function = partial(_compared, COMPARISONS.get(COMPARISON).function, run.settings.seed)
    with run.stage(COMPARISON, "recordings", inputs):
        both = recording.isel(sample=shared), twin
        if run.settings.client is None:
            result = function(*both)
        else:
            with task_pool(client=run.settings.client) as pool:
                result = pool.submit(function, *map(pool.share, both)).result()
        save_result(run.store, COMPARISON, result)


def _compared(
    function: Callable[..., xr.Dataset], seed: int, recording: Recording, twin: Recording
) -> xr.Dataset:
    return function(recording.load_if_small(), twin.load_if_small(), seed=seed)


def is_compared(run: Run, recording: Recording, twin: Recording) -> bool:
    """Whether there is a result of the comparison with this twin."""
    is_done = run.ledger.is_done(COMPARISON, _inputs_of_comparison(run, recording, twin))
    return is_done and result_stamp(run.store, COMPARISON) is not None


def _inputs_of_comparison(run: Run, recording: Recording, twin: Recording) -> dict[str, Any]:
    return {
        **_inputs(recording),
        "untrained": identity(twin),
        "seed": run.settings.seed,
    }
