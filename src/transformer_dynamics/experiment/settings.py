"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformer_dynamics.claims.options import N_BOOTSTRAP, N_TWINS
from transformer_dynamics.recording.options import RecordingOptions


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run, in addition to model, texts and folder.

    Attributes:
        seed: Seed of nulls and bootstrap, and of the first untrained twin.
        recording: Options of `td.record`.
        n_null: Largest number of draws of each null; by default the number that a single claim
            needs to be supported after adjustment.
        n_twins: Number of untrained twins.
        n_bootstrap: Number of bootstrap draws over texts.
        n_perturbed: Number of texts that each perturbation follows; by default the perturbation's
            own number, or all texts if there are fewer.
        command: Command line of the run, for provenance.
        preset: `name` and `note` of the preset; the preset of the paper adds its panels and table.
    """

    seed: int = 0
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    n_null: int | None = None
    n_twins: int = N_TWINS
    n_bootstrap: int = N_BOOTSTRAP
    n_perturbed: int | None = None
    command: str = ""
    preset: Mapping[str, str] = field(default_factory=dict)
