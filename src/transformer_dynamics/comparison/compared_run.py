"""A run or a bare recording as it enters a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdicts
from transformer_dynamics.claims.subjects import Subject, subject_of
from transformer_dynamics.comparison.texts import SharedTexts, shared_texts, texts_sha256
from transformer_dynamics.plots.side_by_side import recording_name
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS


def _nothing(name: str) -> xr.Dataset | None:
    """Result of a bare recording, which has none."""
    return None


@dataclass(frozen=True)
class ComparedRun:
    """A finished run, or a recording without measured results and verdicts.

    Attributes:
        name: name in the comparison.
        path: folder of the run or of the recording; None for a recording in memory.
        recording: the recording.
        verdicts: verdicts of the run; empty for a bare recording.
        entries: provenance, as in `run.json`; empty for a bare recording.
        names: names of the stored results.
        load: function that returns a stored result by name, or None.
    """

    name: str
    path: Path | None
    recording: Recording
    verdicts: Verdicts = field(default_factory=Verdicts)
    entries: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    load: Callable[[str], xr.Dataset | None] = _nothing

    @property
    def is_bare(self) -> bool:
        """Whether it is a recording without results and verdicts."""
        return not self.entries

    @property
    def is_null(self) -> bool:
        """Whether the states come from a null model, as an untrained twin."""
        provenance = self.recording.provenance
        return "null" in provenance or "untrained_seed" in dict(provenance.get("origin") or {})

    @cached_property
    def loaded(self) -> Recording:
        """The recording, in memory up to 4 GiB."""
        return self.recording.load_if_small()

    @cached_property
    def sublayers(self) -> Recording:
        """Sites that claims are tested on."""
        return self.loaded.sublayers

    @cached_property
    def tested(self) -> dict[str, Any]:
        """Verdict of each claim by its id."""
        return {verdict.id: verdict for verdict in self.verdicts}

    def subject(self, claim: str) -> Subject | None:
        """Data that a claim is tested on; None where its perturbation was not run."""
        perturbation = CLAIMS.get(claim).perturbation
        perturbed = {}
        if perturbation is not None:
            result = self.load(perturbation)
            if result is None:
                return None
            perturbed = {perturbation: result}
        return subject_of(CLAIMS.get(claim), self.sublayers, {}, perturbed)

    def shared_with(self, other: ComparedRun) -> SharedTexts:
        """Texts that this run shares with another one."""
        return shared_texts(self.recording, other.recording, (self.name, other.name))

    def description(self) -> dict[str, Any]:
        """Facts for the head of the page and for the JSON file."""
        n_samples, n_sites, n_units = self.recording.shape
        provenance = self.recording.provenance
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "model": recording_name(provenance),
            "described": dict(provenance.get("origin") or {}).get("described", ""),
            "is_null": self.is_null,
            "has_verdicts": bool(self.verdicts),
            "texts": dict(provenance.get("texts") or {}).get("source", "not stated"),
            "texts_sha256": texts_sha256(self.recording),
            "n_texts": len(set(self.recording.text_index.tolist())),
            "n_samples": n_samples,
            "n_sites": n_sites,
            "n_units": n_units,
            "sites": list(self.recording.sites),
            "preset": dict(self.entries.get("preset") or {}).get("name", ""),
            "command": self.entries.get("command", ""),
        }
