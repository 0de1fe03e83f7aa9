"""Entries of the page: verdicts, results of measures and perturbations, panels of the paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.paper import table_rows
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.registry import CLAIMS, PANELS, PERTURBATIONS, entry_of
from transformer_dynamics.report.figures import PageFigures
from transformer_dynamics.storage.attributes import attribute

TABLE = "paper.table"
Entry = dict[str, Any]


def verdict_entry(verdict: Verdict, figures: PageFigures, grouping: str) -> Entry:
    """Entry of a verdict.

    Args:
        verdict: the verdict.
        figures: receives its figures.
        grouping: unit of resampling of the recording: texts, groups or articles.
    """
    claim = CLAIMS.all().get(verdict.id)
    has_evidence = bool(verdict.evidence.data_vars)

    def drawings() -> Sequence[Drawing]:
        return claim.drawings(verdict.evidence) if claim is not None and has_evidence else []

    resampled = verdict.evidence.attrs.get("resampled", "texts")
    return {
        "verdict": verdict,
        "css": re.sub(r"[^a-z]+", "-", verdict.verdict),
        "source": verdict.evidence.attrs.get("source", ""),
        "reasons": attribute(verdict.evidence, "reasons", {}),
        "resampled": "texts" if resampled == "texts" else grouping,
        "figures": figures.add(f"claim {verdict.id}", verdict.evidence, drawings),
    }


def result_sections(
    results: Mapping[str, xr.Dataset], figures: PageFigures
) -> dict[str, list[Entry]]:
    """Entries of measures, of perturbations and of the paper's panels, the table first."""
    sections: dict[str, list[Entry]] = {"measures": [], "perturbations": [], "panels": []}
    for name, result in sorted(results.items(), key=lambda item: item[0] != TABLE):
        measure = result.attrs["measure"]
        entry = _result_entry(name, result, figures)
        if measure in PANELS.all():
            entry["reports"] = PANELS.get(measure).reports
            entry["rows"] = table_rows(result) if measure == TABLE else []
            sections["panels"].append(entry)
        else:
            is_perturbation = measure in PERTURBATIONS.all()
            sections["perturbations" if is_perturbation else "measures"].append(entry)
    return sections


def cited_sources(
    verdicts: list[Entry], sections: Mapping[str, list[Entry]]
) -> list[tuple[str, str, str]]:
    """Label, anchor and source of every entry of the page, for the reference list."""
    claims = [(each["verdict"].id, each["verdict"].id, each["source"]) for each in verdicts]
    results = [entry for section in sections.values() for entry in section]
    return claims + [(each["name"], f"measure-{each['name']}", each["source"]) for each in results]


def _result_entry(name: str, result: xr.Dataset, figures: PageFigures) -> Entry:
    measure = entry_of(result.attrs["measure"])
    return {
        "name": name,
        "title": measure.title,
        "source": measure.source,
        "parameters": attribute(result, "parameters", {}),
        "figures": figures.add(name, result, lambda: result.td.drawings),
    }
