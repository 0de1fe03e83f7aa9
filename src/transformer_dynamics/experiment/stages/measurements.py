"""Measures of a recording, and its comparison with an untrained twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_dynamics.environment import version
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import COMPARISONS, MEASURES
from transformer_dynamics.storage.results import result_stamp, save_result

COMPARISON = "similarity.between_recordings"


def measure(run: Run, recording: Recording, names: Sequence[str] | None = None) -> None:
    """Run measures with their defaults and store their results; by default all measures."""
    inputs = _inputs(recording)
    chosen = MEASURES.all() if names is None else names
    pending = [name for name in chosen if not is_measured(run, recording, name)]
    if not pending:
        run.reporter.skipped("measure")
        return
    loaded = recording.load_if_small()
    with run.reporter.stage("measure", "measures") as progress:
        for n_before, name in enumerate(pending):
            with run.ledger.timed(f"measure {name}", inputs):
                save_result(run.store, name, MEASURES.get(name).function(loaded))
            if progress is not None:
                progress(n_before + 1, len(pending))


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
    both = recording.isel(sample=shared).load_if_small(), twin.load_if_small()
    with run.reporter.stage(COMPARISON, "recordings"), run.ledger.timed(COMPARISON, inputs):
        result = COMPARISONS.get(COMPARISON).function(*both, seed=run.settings.seed)
        save_result(run.store, COMPARISON, result)


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
