"""Entries of the page: verdicts, results of measures and perturbations, panels of the paper."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.paper import table_rows
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.registry import CLAIMS, PANELS, PERTURBATIONS, entry_of
from transformer_dynamics.report.content.findings import MARKS, finding
from transformer_dynamics.report.content.panels import TABLE
from transformer_dynamics.report.figures import PageFigures
from transformer_dynamics.storage.attributes import attribute

Entry = dict[str, Any]

# Lines of Python that draw a figure again, in the folder of the run; `{name}` is a JSON string.
OF_RESULT = (
    "import xarray, transformer_dynamics.registry  # in the folder of the run\n"
    "xarray.open_zarr({path}, consolidated=False).load().td.drawings[{index}].plot()"
)
OF_CLAIM = (
    "import xarray; from transformer_dynamics.registry import CLAIMS  # in the folder of the run\n"
    "CLAIMS.get({name}).drawings("
    "xarray.open_zarr({path}, consolidated=False).load())[{index}].plot()"
)
# Groups of results by the first word of their names, in the order of the page.
FOLDERS = {
    "units": "Single units",
    "orbits": "Orbits of units",
    "paths": "Paths over depth",
    "dimension": "Dimension",
    "dynamics": "Linear dynamics",
    "similarity": "Similarity",
    "massive": "Massive activations",
    "perturbation": "Perturbations of the model",
}


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

    code = _filled(OF_CLAIM, name=verdict.id, path=f"results.zarr/claims/{verdict.id}")
    resampled = verdict.evidence.attrs.get("resampled", "texts")
    source = verdict.evidence.attrs.get("source", "") or getattr(claim, "source", "")
    return {
        "verdict": verdict,
        "css": re.sub(r"[^a-z]+", "-", verdict.verdict),
        "mark": MARKS.get(verdict.verdict, ""),
        "finding": finding(verdict),
        "source": source,
        "reports": _reported(source),
        "reasons": attribute(verdict.evidence, "reasons", {}),
        "resampled": "texts" if resampled == "texts" else grouping,
        "figures": figures.add(f"claim {verdict.id}", verdict.evidence, drawings, code),
    }


def result_sections(
    results: Mapping[str, xr.Dataset], figures: PageFigures
) -> dict[str, list[Entry]]:
    """Entries of the paper's panels, and of other results by folder."""
    sections: dict[str, list[Entry]] = {"panels": [], **{folder: [] for folder in FOLDERS}}
    for name, result in sorted(results.items(), key=lambda item: item[0] != TABLE):
        measure = result.attrs["measure"]
        entry = _result_entry(name, result, figures)
        if measure in PANELS.all():
            entry["reports"] = PANELS.get(measure).reports
            entry["rows"] = table_rows(result) if measure == TABLE else []
            sections["panels"].append(entry)
        elif measure in PERTURBATIONS.all():
            sections["perturbation"].append(entry)
        else:
            sections.setdefault(measure.partition(".")[0], []).append(entry)
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
    code = _filled(OF_RESULT, name=name, path=f"results.zarr/{name}")
    return {
        "name": name,
        "title": measure.title,
        "source": measure.source,
        "parameters": attribute(result, "parameters", {}),
        "figures": figures.add(name, result, lambda: result.td.drawings, code),
    }


def _filled(code: str, **names: str) -> str:
    for name, value in names.items():
        code = code.replace(f"{{{name}}}", json.dumps(value, ensure_ascii=False))
    return code


def _reported(source: str) -> str:
    """Report of a source on its claim, where it says more than its number.

    >>> _reported("arXiv 2605.14258: asymmetric early, near-symmetric late")
    'asymmetric early, near-symmetric late'
    """
    return source.partition(": ")[2]
