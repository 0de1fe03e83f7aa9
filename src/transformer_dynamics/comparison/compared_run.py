"""A run or a bare recording as it enters a comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims import Verdicts
from transformer_dynamics.claims.subjects import Subject, subject_of
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
    def sublayers(self) -> Recording:
        """Sites that claims are tested on, in memory."""
        return self.recording.sublayers.load()

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


def texts_sha256(recording: Recording) -> str | None:
    """SHA-256 of the texts of a recording; None if it does not hold them."""
    texts = recording.texts
    return hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else None


def different_texts(a: ComparedRun, b: ComparedRun) -> str:
    """Reason why two runs do not hold the same texts; empty where they do.

    The texts agree as strings, or, under one tokenizer, as tokens: strings that were decoded from
    tokens may differ in special tokens.
    """
    ours, theirs = (texts_sha256(run.recording) for run in (a, b))
    lacking = [run.name for run, sha in ((a, ours), (b, theirs)) if sha is None]
    if ours is None or theirs is None:
        return f"{' and '.join(lacking)} holds no texts, so that nothing shows whether they agree"
    tokens = [run.recording.token_lists for run in (a, b)]
    if ours == theirs or (tokens[0] and tokens[0] == tokens[1]):
        return ""
    return f"the texts of {a.name} (sha256 {ours[:8]}) and of {b.name} (sha256 {theirs[:8]}) differ"


def shared_texts(a: Any, b: Any) -> set[int]:
    """Indices of the texts that two subjects of a claim share."""
    return set(texts_of(a).tolist()) & set(texts_of(b).tolist())


def texts_of(data: Any) -> NDArray[np.int64]:
    """Index of the text of each sample of a recording or of a perturbation's result."""
    if isinstance(data, Recording):
        return data.text_index
    if "text" in data.coords:
        return np.asarray(data["text"].values, dtype=np.int64)
    return np.arange(data.sizes["sample"])
