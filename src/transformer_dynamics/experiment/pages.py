"""Page of a run while it goes on: what is there, and what is still to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformer_dynamics.environment import version
from transformer_dynamics.experiment.costs import estimated_seconds
from transformer_dynamics.experiment.page import RunPage
from transformer_dynamics.experiment.run import Run
from transformer_dynamics.registry import PERTURBATIONS
from transformer_dynamics.storage.files import read_json
from transformer_dynamics.storage.results import result_stamp, saved_names

REPORT = "report"


class Pages:
    """Writer of the page, which it writes only when there is something new to show."""

    def __init__(self, run: Run) -> None:
        self._run, self._page = run, RunPage(run.out)
        self._shown = self._stages()

    def write(self, to_come: Sequence[str]) -> None:
        """Write the page before the run has finished, if a stage has ended since the last page.

        Args:
            to_come: stages that are not done; results that an earlier run left under their names
                are not shown.
        """
        if self._stages() != self._shown:
            self._write([self._pending(name) for name in to_come])

    def finish(self) -> None:
        """Write the page of the finished run, unless it shows the present results already."""
        self._run.ledger.note(pending=[])
        if self._run.ledger.is_done(REPORT, self._inputs()) and self._page.path.exists():
            self._run.reporter.skipped(REPORT)
        else:
            self._write([])

    def _write(self, pending: list[dict[str, Any]]) -> None:
        run = self._run
        run.ledger.note(pending=pending)
        self._shown = self._stages()
        with run.stage(REPORT, "pages", self._inputs()):
            self._page.write()

    def _pending(self, name: str) -> dict[str, Any]:
        run = self._run
        recorded = run.ledger.entries()["stages"].get("record", {}).get("seconds")
        seconds = None
        if recorded is not None:
            n_followed = 0
            if name in PERTURBATIONS.all():
                n_followed = PERTURBATIONS.get(name).n_followed(run.settings.n_perturbed)
            n_followed = min(n_followed, run.n_texts)
            seconds = estimated_seconds(name, recorded, run.n_texts, n_followed)
        return {"stage": name, "seconds": seconds}

    def _stages(self) -> dict[str, str]:
        """End of every finished stage but the page; a stage that is done again has another."""
        stages = self._run.ledger.entries().get("stages", {})
        return {name: stage.get("ended", "") for name, stage in stages.items() if name != REPORT}

    def _inputs(self) -> list[Any]:
        """Everything that the page shows: provenance, stages, verdicts as adjusted, results."""
        run = self._run
        entries = {**run.ledger.entries(), "version": version()}
        entries.pop("stages", None)
        results = {name: result_stamp(run.store, name) for name in saved_names(run.store)}
        return [entries, self._stages(), read_json(run.out / "claims.json"), results]
