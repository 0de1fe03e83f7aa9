"""Runs of the model that claims need: recordings of nulls, and results of perturbations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.nulls.reruns import CONTROL_TEXTS, text_subset, untrained_twins
from transformer_dynamics.perturbation.systems import systems as make_systems
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS, PERTURBATIONS

Nulls = dict[str, Recording | Sequence[Recording]]


@dataclass(frozen=True)
class ModelRuns:
    """A model and the recording whose claims are tested.

    Attributes:
        model: the loaded model.
        recording: its recording.
        n_twins: number of untrained twins.
        seed: seed of the first twin, of shuffled texts and of perturbations.
    """

    model: Any
    recording: Recording
    n_twins: int
    seed: int

    def nulls(self, claims: Sequence[Claim], given: Nulls) -> Nulls:
        """Recordings of the nulls that run the model, the given ones among them."""
        named = {name for claim in claims if claim.perturbation is None for name in claim.all_nulls}
        made: Nulls = {}
        for name in sorted(named - set(given)):
            if name == "untrained":
                seeds = range(self.seed, self.seed + self.n_twins)
                made[name] = untrained_twins(self.recording, model=self.model, seeds=seeds)
            elif NULLS.get(name).needs_model:
                function = NULLS.get(name).function
                subset = text_subset(self.recording, CONTROL_TEXTS)
                made[name] = function(subset, model=self.model, seed=self.seed)
        return {**given, **made}

    def perturbed(
        self, claims: Sequence[Claim], given: Mapping[str, xr.Dataset], nulls: Nulls
    ) -> dict[str, xr.Dataset]:
        """Results of the perturbations that claims are tested on, the given ones among them."""
        named = {claim.perturbation for claim in claims if claim.perturbation is not None}
        missing = sorted(named - set(given))
        if not missing:
            return dict(given)
        twins = nulls.get("untrained", ())
        systems = make_systems(
            self.model,
            self.recording,
            twins=(twins,) if isinstance(twins, Recording) else tuple(twins),
            n_twins=self.n_twins,
            seed=self.seed,
        )
        n_recorded = len(np.unique(self.recording.text_index))
        made = {}
        for name in missing:
            perturbation = PERTURBATIONS.get(name)
            n_texts = min(perturbation.n_texts, n_recorded)
            made[name] = perturbation.function(systems, n_texts=n_texts, seed=self.seed)
        return {**given, **made}
