"""Measures of a recording, and its comparison with an untrained twin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transformer_dynamics.environment import version
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import COMPARISONS, MEASURES
from transformer_dynamics.storage.results import load_result, save_result

COMPARISON = "similarity.between_recordings"


def measure(run: Run, recording: Recording, names: Sequence[str] | None = None) -> None:
    """Run measures with their defaults and store their results; by default all measures."""
    inputs = {"recording": identity(recording), "version": version()}
    pending = [
        name
        for name in (MEASURES.all() if names is None else names)
        if not run.ledger.is_done(f"measure {name}", inputs) or load_result(run.store, name) is None
    ]
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


def compare(run: Run, recording: Recording, twin: Recording) -> None:
    """Compare the arrangement of the same samples in the model and in an untrained twin."""
    inputs = {
        "recording": identity(recording),
        "untrained": identity(twin),
        "seed": run.settings.seed,
        "version": version(),
    }
    if run.ledger.is_done(COMPARISON, inputs) and load_result(run.store, COMPARISON) is not None:
        run.reporter.skipped(COMPARISON)
        return
    shared = np.isin(recording.text_index, twin.text_index)
    both = recording.isel(sample=shared).load_if_small(), twin.load_if_small()
    with run.reporter.stage(COMPARISON, "recordings"), run.ledger.timed(COMPARISON, inputs):
        result = COMPARISONS.get(COMPARISON).function(*both, seed=run.settings.seed)
        save_result(run.store, COMPARISON, result)
