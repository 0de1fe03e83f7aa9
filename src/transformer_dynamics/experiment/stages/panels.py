"""Panels and table of arXiv 2502.12131."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformer_dynamics.environment import version
from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.paper import PAPER, paper_conditions
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import PANELS
from transformer_dynamics.storage.results import save_result


def make_panels(run: Run, recording: Recording, nulls: Mapping[str, Sequence[Recording]]) -> None:
    """Compute the panels and store their results.

    Panels that the model does not allow are noted as refused.
    """
    first = {name: recordings[0] for name, recordings in nulls.items()}
    inputs = {
        "recording": identity(recording),
        "nulls": {name: identity(null) for name, null in first.items()},
        "seed": run.settings.seed,
        "version": version(),
    }
    pending = [name for name in PANELS.all() if not run.ledger.is_done(name, inputs)]
    if not pending:
        run.reporter.skipped(PAPER)
        return
    refused = {}
    with run.reporter.stage(PAPER, "panels") as progress:
        conditions = paper_conditions(recording, first, model=run.model, seed=run.settings.seed)
        for n_before, name in enumerate(pending):
            try:
                with run.ledger.timed(name, inputs):
                    save_result(run.store, name, PANELS.get(name).function(conditions))
            except (ModelError, InputError) as error:
                refused[name] = str(error)
                run.reporter.refused(name, str(error))
            if progress is not None:
                progress(n_before + 1, len(pending))
    run.ledger.note(refused={**run.ledger.entries().get("refused", {}), **refused})
