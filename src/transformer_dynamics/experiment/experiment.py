"""Experiment: every stage from recording to report, each done once.

Each stage writes its output to the run's folder and a fingerprint of its inputs to `run.json`. A
stage whose inputs have not changed is skipped, and an interrupted run continues where it stopped.

    <out>/recording.zarr        the recording
    <out>/nulls/<name>.zarr     of the untrained twins (`untrained-<seed>`) and the shuffled texts
    <out>/results.zarr          results of measures and perturbations, and the claims' evidence
    <out>/claims.json           the verdicts
    <out>/report.html           the page
    <out>/run.json              model, texts, settings, versions, timings
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from transformer_dynamics.claims import Verdicts
from transformer_dynamics.claims.options import ClaimOptions, check_size
from transformer_dynamics.environment import version
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.measurements import compare, measure
from transformer_dynamics.experiment.page import report_run
from transformer_dynamics.experiment.panels import make_panels
from transformer_dynamics.experiment.perturbations import known_perturbations, perturb
from transformer_dynamics.experiment.recordings import (
    UNTRAINED,
    nulls_of_claims,
    record_model,
    record_nulls,
)
from transformer_dynamics.experiment.run import Run
from transformer_dynamics.experiment.settings import select
from transformer_dynamics.experiment.verdicts import verdicts_of
from transformer_dynamics.paper import CONTROLS
from transformer_dynamics.recording import Recording
from transformer_dynamics.storage.files import make_folder

REPORT = "report"


@dataclass
class Experiment(Run):
    """A run: a model, texts and a folder.

    Attributes:
        model: A `td.Model`, or anything that `td.load_model` takes.
        texts: Texts in any form that `td.record` takes.
        out: Folder of the run.
        settings: Settings.
        reporter: Receiver of the stages.
    """

    def run(self) -> Verdicts:
        """Do every stage that is not done yet, and return the verdicts.

        Raises:
            TdynError: an error that the user can correct; the finished stages are kept.
        """
        settings = self.settings
        options = ClaimOptions(n_null=settings.n_null, n_bootstrap=settings.n_bootstrap)
        check_size(self.n_texts, self.model.sites, options)
        chosen = select(settings)
        recording = self._recording()
        controls = {UNTRAINED, *(CONTROLS if settings.panels else ())}
        nulls = record_nulls(self, recording, nulls_of_claims(chosen.claims) | controls)
        measure(self, recording, chosen.measures)
        compare(self, recording, nulls[UNTRAINED][0])
        perturbed = perturb(self, recording, nulls[UNTRAINED], chosen.perturbations)
        if settings.panels:
            make_panels(self, recording, nulls)
        verdicts = verdicts_of(self, recording, nulls, perturbed)
        self._report()
        return verdicts

    def perturb(self, names: Sequence[str] | None = None) -> dict[str, xr.Dataset]:
        """Record, and run perturbations alone; by default all perturbations.

        Raises:
            TdynError: an unknown perturbation, or the model allows none of them.
        """
        chosen = known_perturbations(names)
        recording = self._recording()
        twins = record_nulls(self, recording, {UNTRAINED})[UNTRAINED]
        perturbed = perturb(self, recording, twins, chosen)
        if not perturbed:
            refused = self.ledger.entries().get("refused", {})
            raise TdynError("; ".join(f"{name}: {why}" for name, why in refused.items()))
        self._report()
        return perturbed

    def paper(self) -> None:
        """Record, and compute the panels and the table of arXiv 2502.12131 alone."""
        recording = self._recording()
        make_panels(self, recording, record_nulls(self, recording, set(CONTROLS)))
        self._report()

    def measure(self, recording: Recording, names: Sequence[str] | None = None) -> None:
        """Run measures with their defaults and store their results; by default all measures."""
        measure(self, recording, names)

    def _recording(self) -> Recording:
        make_folder(self.out)
        # The first stage refuses a folder that holds another run, before anything is changed.
        recording = record_model(self)
        self.note_provenance(recording)
        return recording

    def _report(self) -> None:
        """Write the page, unless it shows the present results already."""
        shown = {**self.ledger.entries(), "version": version()}
        stages = shown.pop("stages", {})
        inputs = [shown, {name: stages[name]["inputs"] for name in stages if name != REPORT}]
        if self.ledger.is_done(REPORT, inputs) and (self.out / "report.html").exists():
            self.reporter.skipped(REPORT)
            return
        with self.reporter.stage(REPORT, "pages"), self.ledger.timed(REPORT, inputs):
            report_run(self.out)
