"""One self-contained HTML page: verdicts, figures with their nulls, texts, provenance, methods.

The page lays out verdicts and results and computes nothing. It opens without a network: the
plotting library is inside it, and its content policy forbids requests and any other script. Text
from a corpus, a model or a configuration is escaped by jinja2's autoescape and in the labels of
every figure.

Limit: a few dozen figures per page; each claim and measure adds two to five.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import NULLS
from transformer_dynamics.report.entries import cited_sources, result_sections, verdict_entry
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
    page: str = _template().render(
        title=page_title(recording, run),
        verdicts=verdict_entries,
        **sections,
        facts={} if recording is None else recording_facts(recording, run),
        grouping=grouping,
        preset_note=dict(run.get("preset", {})).get("note", ""),
        texts=[] if recording is None else text_entries(recording),
        n_texts=0 if recording is None else len(recording.texts),
        provenance=table_rows(run, skip=("system", "stages", "pending")),
        recording_provenance={} if recording is None else table_rows(recording.provenance),
        system=table_rows(dict(run.get("system", {}))),
        stages=run.get("stages", {}),
        pending=run.get("pending", []),
        reload_seconds=RELOAD_SECONDS,
        nulls=list(NULLS.all().values()),
        methods=METHODS,
        references=references(cited_sources(verdict_entries, sections)),
        islands=_islands(figures, islands or {}),
        policy=content_policy(),
        style=static_text("page.css"),
        script=static_text("page.js"),
    )
    return page


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


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transformer_dynamics.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template("page.html")


def _number(value: float) -> str:
    """Three digits, or nothing where the value is undefined."""
    return f"{value:.3g}" if math.isfinite(value) else ""
