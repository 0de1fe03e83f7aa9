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
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.costs import QUICK_MEASURES, SLOW_CLAIMS
from transformer_dynamics.experiment.pages import Pages
from transformer_dynamics.experiment.run import Run
from transformer_dynamics.experiment.settings import select
from transformer_dynamics.experiment.stages.claim_tests import ClaimTests, stage_of
from transformer_dynamics.experiment.stages.measurements import (
    COMPARISON,
    compare,
    is_compared,
    is_measured,
    measure,
)
from transformer_dynamics.experiment.stages.panels import make_panels
from transformer_dynamics.experiment.stages.perturbations import (
    is_perturbed,
    known_perturbations,
    perturb,
)
from transformer_dynamics.experiment.stages.recordings import (
    UNTRAINED,
    nulls_of_claims,
    nulls_to_record,
    record_model,
    record_nulls,
)
from transformer_dynamics.experiment.verdicts import CLAIM_TESTS, SLOW_CLAIM_TESTS
from transformer_dynamics.paper import CONTROLS, PAPER
from transformer_dynamics.recording import Recording
from transformer_dynamics.storage.files import make_folder


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

        The page is written after the quick measures, after the claims of the recording but those
        with slow draws, after these and the other measures, and after each perturbation; it names
        what is still to come.

        Raises:
            TdynError: an error that the user can correct; the finished stages are kept.
        """
        settings = self.settings
        options = ClaimOptions(n_null=settings.n_null, n_bootstrap=settings.n_bootstrap)
        check_size(self.n_texts, self.model.sites, options)
        chosen = select(settings)
        slow = [name for name in chosen.measures if name not in QUICK_MEASURES]
        panels = [PAPER] if settings.panels else []
        slow_tests = [SLOW_CLAIM_TESTS] if set(SLOW_CLAIMS) & set(chosen.claims) else []
        last = [COMPARISON, *slow_tests, *chosen.perturbations, *panels]
        recording, pages = self._recording(), Pages(self)
        measure(self, recording, [name for name in chosen.measures if name in QUICK_MEASURES])
        controls = {UNTRAINED, *(CONTROLS if settings.panels else ())}
        needed = nulls_of_claims(chosen.claims) | controls
        unrecorded = nulls_to_record(self, recording, needed)
        if unrecorded:
            pages.write([*unrecorded, CLAIM_TESTS, *slow, *last])
        nulls = record_nulls(self, recording, needed)
        tests = ClaimTests(self, recording, nulls)
        tests.test(CLAIM_TESTS, {})
        twins = nulls[UNTRAINED]
        measured = [name for name in slow if not is_measured(self, recording, name)]
        compared = [] if is_compared(self, recording, twins[0]) else [COMPARISON]
        to_come = [*self._to_perturb(chosen.perturbations, recording, twins), *panels]
        tested = [] if tests.is_done(SLOW_CLAIM_TESTS) else [SLOW_CLAIM_TESTS]
        pages.write([*measured, *compared, *tested, *to_come])
        measure(self, recording, slow)
        compare(self, recording, twins[0])
        tests.test(SLOW_CLAIM_TESTS, {})
        pages.write(to_come)
        perturbed: dict[str, xr.Dataset] = {}
        for name, result in perturb(self, recording, twins, chosen.perturbations):
            perturbed[name] = result
            tests.test(stage_of(name), perturbed)
            to_come = [each for each in to_come if each != name]
            pages.write(to_come)
        if settings.panels:
            make_panels(self, recording, nulls)
        verdicts = tests.finished()
        pages.finish()
        return verdicts

    def perturb(self, names: Sequence[str] | None = None) -> dict[str, xr.Dataset]:
        """Record, and run perturbations alone; by default all perturbations.

        Raises:
            TdynError: an unknown perturbation, or the model allows none of them.
        """
        chosen = known_perturbations(names)
        recording = self._recording()
        twins = record_nulls(self, recording, {UNTRAINED})[UNTRAINED]
        perturbed = dict(perturb(self, recording, twins, chosen))
        if not perturbed:
            refused = self.ledger.entries().get("refused", {})
            raise TdynError("; ".join(f"{name}: {why}" for name, why in refused.items()))
        Pages(self).finish()
        return perturbed

    def paper(self) -> None:
        """Record, and compute the panels and the table of arXiv 2502.12131 alone."""
        recording = self._recording()
        make_panels(self, recording, record_nulls(self, recording, set(CONTROLS)))
        Pages(self).finish()

    def measure(self, recording: Recording, names: Sequence[str] | None = None) -> None:
        """Run measures with their defaults and store their results; by default all measures."""
        measure(self, recording, names)

    def _to_perturb(
        self, names: Sequence[str], recording: Recording, twins: Sequence[Recording]
    ) -> list[str]:
        """Perturbations without a result, and not refused by this model before."""
        refused = self.ledger.entries().get("refused", {})
        return [
            name
            for name in names
            if name not in refused and not is_perturbed(self, name, recording, twins)
        ]

    def _recording(self) -> Recording:
        make_folder(self.out)
        # The first stage refuses a folder that holds another run, before anything is changed.
        recording = record_model(self)
        self.note_provenance(recording)
        return recording
