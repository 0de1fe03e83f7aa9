"""Legend of a figure, as a list of the page and not of the plotting library.

A legend in the page wraps, can be read before the figure is drawn, and is the same for figures in
the plane and in space.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Entry = dict[str, Any]


def legend_of(specification: Mapping[str, Any]) -> list[Entry]:
    """Entries of the legend: `name`, `color`, `dash`, `role`, `traces` and `hidden`.

    `traces` are the indices of the entry's traces, a line and its band; `hidden` says that they are
    not shown at first.
    """
    traces = specification["data"]
    groups: dict[str, list[int]] = {}
    for index, trace in enumerate(traces):
        groups.setdefault(trace.get("legendgroup") or f"trace {index}", []).append(index)
    entries = [_entry(traces, indices) for indices in groups.values()]
    return [entry for entry in entries if entry is not None]


def is_of_null(specification: Mapping[str, Any]) -> bool:
    """Whether a figure shows nothing but null models and controls."""
    roles = {trace.get("meta", {}).get("role", "model") for trace in specification["data"]}
    return roles == {"null"}


def _entry(traces: Sequence[Mapping[str, Any]], indices: list[int]) -> Entry | None:
    named = [traces[index] for index in indices if traces[index].get("showlegend") is not False]
    if not named or not named[0].get("name"):
        return None
    trace = named[0]
    has_line = "lines" in trace["mode"]
    return {
        "name": html.unescape(trace["name"]),
        "color": trace["line"]["color"],
        "dash": trace["line"].get("dash", "solid") if has_line else "points",
        "role": trace.get("meta", {}).get("role", "model"),
        "traces": indices,
        "hidden": trace.get("visible") == "legendonly",
    }
