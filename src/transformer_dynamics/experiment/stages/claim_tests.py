"""Claims of a run, tested as soon as there is what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.claims import ClaimOptions, Verdict, Verdicts, evaluate_claims
from transformer_dynamics.claims.decision import adjusted_together
from transformer_dynamics.claims.options import draws_needed
from transformer_dynamics.environment import version
from transformer_dynamics.experiment.costs import SLOW_CLAIMS
from transformer_dynamics.experiment.run import Run, identity
from transformer_dynamics.experiment.settings import select
from transformer_dynamics.experiment.stages.perturbations import inputs_of
from transformer_dynamics.experiment.verdicts import (
    CLAIM_TESTS,
    SLOW_CLAIM_TESTS,
    readable_verdicts,
)
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.storage.files import write_json
from transformer_dynamics.storage.results import result_digest, save_result


class ClaimTests:
    """Tests of the chosen claims, by what they need: the recording alone, or a perturbation.

    The claims of a stage are tested together and stored. P-values are adjusted over all chosen
    claims; those that are not tested yet count with p = 1.
    """

    def __init__(
        self, run: Run, recording: Recording, nulls: Mapping[str, list[Recording]]
    ) -> None:
        self._run, self._recording, self._nulls = run, recording, nulls
        chosen = select(run.settings)
        for claim, perturbation in chosen.left_out.items():
            run.reporter.refused(claim, f"its perturbation, {perturbation}, is not chosen")
        self._chosen = chosen.claims
        self._stages = _stages_of(chosen.claims)
        self._verdicts = self._done_before()
        self._visited: set[str] = set()

    def is_done(self, stage: str) -> bool:
        """Whether there are verdicts on the present inputs for all claims of a stage."""
        return all(name in self._verdicts for name in self._stages.get(stage, ()))

    def test(self, stage: str, perturbed: Mapping[str, xr.Dataset]) -> None:
        """Test the claims of a stage, and store them.

        Args:
            stage: name of the stage; one without claims is left out.
            perturbed: results of perturbations so far, by name.
        """
        claims = self._stages.get(stage, ())
        if claims and stage not in self._visited:
            self._visited.add(stage)
            if claims[0] in self._verdicts:
                self._run.reporter.skipped(stage)
            else:
                self._test(stage, claims, perturbed)
        self._write(len(self._chosen) - len(self._verdicts))

    def finished(self) -> Verdicts:
        """Verdicts adjusted over the claims that were tested, when no other can be."""
        self._write(0)
        return Verdicts(self._verdicts.values())

    def _done_before(self) -> dict[str, Verdict]:
        """Stored verdicts of the present inputs."""
        stored = readable_verdicts(self._run.out)
        verdicts: dict[str, Verdict] = {}
        for stage, claims in self._stages.items():
            is_done = self._run.ledger.is_done(stage, self._inputs(claims))
            if is_done and set(claims) <= set(stored):
                verdicts |= {name: stored[name] for name in claims}
        return verdicts

    def _test(self, stage: str, claims: Sequence[str], perturbed: Mapping[str, xr.Dataset]) -> None:
        run, inputs = self._run, self._inputs(claims)
        settings = run.settings
        with run.stage(stage, "draws", inputs) as progress:
            recording, nulls = self._data(claims)
            verdicts = evaluate_claims(
                recording,
                model_nulls=nulls,
                perturbed=perturbed,
                claims=claims,
                options=ClaimOptions(n_null=self._n_null, n_bootstrap=settings.n_bootstrap),
                seed=settings.seed,
                client=settings.client,
                on_progress=progress,
            )
            for verdict in verdicts:
                save_result(run.store, f"claims/{verdict.id}", verdict.evidence)
            self._verdicts |= {verdict.id: verdict for verdict in verdicts}
            self._write(len(self._chosen) - len(self._verdicts))

    def _data(self, claims: Sequence[str]) -> tuple[Recording, dict[str, list[Recording]] | None]:
        """Recording and nulls that the claims of a stage read; workers open them themselves."""
        if _perturbation_of(claims):  # its result holds its own nulls
            return self._recording, None
        if self._run.settings.client is not None:
            return self._recording, dict(self._nulls)
        nulls = {
            name: [each.load_if_small() for each in drawn] for name, drawn in self._nulls.items()
        }
        return self._recording.load_if_small(), nulls

    def _write(self, n_to_come: int) -> None:
        """Adjust the verdicts so far as one family, and write them in the order of the claims."""
        tested = [self._verdicts[name] for name in self._chosen if name in self._verdicts]
        adjusted = adjusted_together(tested, n_to_come=n_to_come)
        self._verdicts = {verdict.id: verdict for verdict in adjusted}
        write_json(self._run.out / "claims.json", [verdict.as_json() for verdict in adjusted])

    @property
    def _n_null(self) -> int:
        """Largest number of draws; by default that for all chosen claims together."""
        return self._run.settings.n_null or draws_needed(len(self._chosen))

    def _inputs(self, claims: Sequence[str]) -> dict[str, Any]:
        """Inputs of the verdicts on the claims of a stage."""
        run, settings = self._run, self._run.settings
        need = _perturbation_of(claims)
        perturbed = need and {
            **inputs_of(run, need, self._recording, self._nulls["untrained"]),
            "result": result_digest(run.store, need),
        }
        return {
            "recording": identity(self._recording),
            "nulls": {
                name: [identity(each) for each in drawn] for name, drawn in self._nulls.items()
            },
            "perturbed": perturbed,
            "claims": {name: _definition(name) for name in claims},
            "seed": settings.seed,
            "n_null": self._n_null,
            "n_bootstrap": settings.n_bootstrap,
            "version": version(),
        }


def _definition(claim: str) -> list[Any]:
    """Parts of a claim that its stored verdict depends on."""
    tested = CLAIMS.get(claim)
    conditions = [(each.name, each.threshold) for each in tested.conditions]
    return [tested.statistic, tested.threshold, conditions, list(tested.nulls), tested.all_nulls]


def _stages_of(claims: Sequence[str]) -> dict[str, list[str]]:
    """Claims of each stage, by its name."""
    stages: dict[str, list[str]] = {}
    for name in claims:
        perturbation = CLAIMS.get(name).perturbation
        of_recording = SLOW_CLAIM_TESTS if name in SLOW_CLAIMS else CLAIM_TESTS
        stage = of_recording if perturbation is None else stage_of(perturbation)
        stages.setdefault(stage, []).append(name)
    return stages


def _perturbation_of(claims: Sequence[str]) -> str | None:
    """Perturbation whose result the claims of one stage are about."""
    perturbation: str | None = CLAIMS.get(claims[0]).perturbation
    return perturbation


def stage_of(perturbation: str) -> str:
    """Name of the stage that tests the claims of a perturbation."""
    return f"{CLAIM_TESTS} of {perturbation}"
