"""One self-contained HTML page: verdicts, figures with their nulls, texts, provenance, methods.

The page lays out verdicts and results and computes nothing. It opens without a network: the
plotting library is inside it, and its content policy forbids requests and any other script. Text
from a corpus, a model or a configuration is escaped by jinja2's autoescape and in the labels of
every figure.

Limit: a few dozen figures per page; each claim and measure adds two to five.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.environment import version
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import NULLS
from transformer_dynamics.report.content.bibtex import bibtex, described
from transformer_dynamics.report.content.panels import (
    TABLE,
    by_statistic,
    other_claims,
    paper_figures,
)
from transformer_dynamics.report.entries import (
    FOLDERS,
    Entry,
    cited_sources,
    result_sections,
    verdict_entry,
)
from transformer_dynamics.report.figures import FigureCache, PageFigures
from transformer_dynamics.report.methods import METHODS
from transformer_dynamics.report.packing import island_json, packed_text
from transformer_dynamics.report.provenance import (
    grouping_of,
    page_title,
    recording_facts,
    table_rows,
    text_entries,
)
from transformer_dynamics.report.references import references
from transformer_dynamics.report.scripts import content_policy, static_text
from transformer_dynamics.report.templating import page_templates

# Seconds after which the open page of an unfinished run loads itself again.
RELOAD_SECONDS = 60


def render_page(
    results: Mapping[str, xr.Dataset],
    verdicts: Sequence[Verdict],
    recording: Recording | None,
    run: Mapping[str, Any],
    cache: FigureCache | None = None,
    islands: Mapping[str, Any] | None = None,
) -> str:
    """HTML of the page.

    Args:
        results: results of measures, perturbations and panels, by name.
        verdicts: verdicts of claims.
        recording: source of the texts and the provenance.
        run: further provenance, as in `run.json`; `pending` holds the stages to come.
        cache: figures of an earlier page of the same results.
        islands: further data by name, as `explore-states`: values of JSON with packed arrays.
    """
    figures = PageFigures(cache)
    grouping = "texts" if recording is None else grouping_of(recording)
    verdict_entries = [verdict_entry(verdict, figures, grouping) for verdict in verdicts]
    sections = result_sections(results, figures)
    cited = references(cited_sources(verdict_entries, sections))
    page: str = _template().render(
        title=page_title(recording, run),
        verdicts=verdict_entries,
        **_paper(verdict_entries, sections),
        folders=_folders(sections),
        **_recorded(recording, run),
        grouping=grouping,
        preset_note=dict(run.get("preset", {})).get("note", ""),
        provenance=table_rows(run, skip=("system", "stages", "pending")),
        system=table_rows(dict(run.get("system", {}))),
        stages=run.get("stages", {}),
        pending=run.get("pending", []),
        reload_seconds=RELOAD_SECONDS,
        nulls=list(NULLS.all().values()),
        methods=METHODS,
        references=cited,
        bibtex=bibtex(cited, version()),
        islands=_islands(figures, islands or {}),
        policy=content_policy(),
        style=static_text("page.css"),
        script=static_text("page.js"),
    )
    return page


def _paper(verdicts: list[Entry], sections: Mapping[str, list[Entry]]) -> dict[str, Any]:
    """Variables of the view Paper: the paper's figures and table, and all further claims."""
    panels = {entry["name"]: entry for entry in sections["panels"]}
    others = {
        entry["name"]: entry
        for folder, entries in sections.items()
        if folder != "panels"
        for entry in entries
    }
    by_id = {entry["verdict"].id: entry for entry in verdicts}
    figures = paper_figures(panels, by_id, others)
    table = panels.get(TABLE)
    return {"figures": figures, "other_claims": other_claims(figures, verdicts), "table": table}


def _folders(sections: Mapping[str, list[Entry]]) -> list[tuple[str, str, list[Entry]]]:
    """Name, heading and entries of each folder that has any."""
    named = {**FOLDERS, **{name: name for name in sections if name not in FOLDERS}}
    return [
        (name, heading, sections[name])
        for name, heading in named.items()
        if name != "panels" and sections[name]
    ]


def _recorded(recording: Recording | None, run: Mapping[str, Any]) -> dict[str, Any]:
    """Variables that describe the recording and its texts."""
    if recording is None:
        return {"facts": {}, "texts": [], "n_texts": 0, "recording_provenance": {}, "sites": []}
    return {
        "facts": recording_facts(recording, run),
        "texts": text_entries(recording),
        "n_texts": len(recording.texts),
        "recording_provenance": table_rows(recording.provenance),
        "sites": list(recording.sites),
    }


def _islands(figures: PageFigures, others: Mapping[str, Any]) -> dict[str, str]:
    """Data islands by name: figures by element id, data of a view, the plotting library."""
    library = {} if not figures.islands else {"plotly": _library()}
    return {
        **figures.islands,
        **{name: island_json(value) for name, value in others.items()},
        **library,
    }


@cache
def _library() -> str:
    return island_json(packed_text(static_text("plotly.js")))


@cache
def _template() -> Any:
    """Template of the page, compiled once: an unfinished run writes its page many times."""
    environment = page_templates()
    environment.filters["described"] = described
    environment.filters["by_statistic"] = by_statistic
    return environment.get_template("page.html")
