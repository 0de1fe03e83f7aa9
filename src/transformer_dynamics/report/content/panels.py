"""The paper's figures in their order: each panel with its drawings, numbers and verdicts.

A run without panels shows for each the figure of a claim or measure of the same quantity, as the
panel's registration names it; where there is none, the page names the command that adds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_dynamics.registry import PANELS, Panel

Entry = dict[str, Any]

TABLE = "paper.table"
# Panel that shows the rows of the table that name a figure alone.
PANEL_OF = {"2": "2B"}
TOPICS = {
    "1": "Single units and the whole stream over depth",
    "2": "Rotation of single units",
    "3": "The path in an autoencoder",
    "4": "The path in principal components, and states replaced in their plane",
}


def paper_figures(
    panels: Mapping[str, Entry], verdicts: Mapping[str, Entry], others: Mapping[str, Entry]
) -> list[Entry]:
    """Figures of the paper in its order.

    Args:
        panels: entries of the panels that were computed, by name.
        verdicts: entries of the tested claims, by id.
        others: entries of the measures and perturbations, by name.

    Returns:
        `number`, `topic` and `panels` of each figure; of a panel `id`, `title`, `reports`, the
        `figures` that show it, `stands_in` (the claim or result that they are of, or nothing), its
        `rows` of the paper's table, the `claims` that test it, and `of`, those of these claims that
        no earlier panel shows.
    """
    rows = panels.get(TABLE, {}).get("rows", [])
    known = {**others, **verdicts}
    shown: set[str] = set()
    figures: dict[str, Entry] = {}
    for name, panel in PANELS.all().items():
        if name == TABLE:
            continue
        id = name.partition(".")[2]
        figure = figures.setdefault(
            id[0], {"number": id[0], "topic": TOPICS.get(id[0], ""), "panels": []}
        )
        claims = [verdicts[claim] for claim in panel.claims if claim in verdicts]
        new = [claim for claim in claims if claim["verdict"].id not in shown]
        shown.update(claim["verdict"].id for claim in new)
        figure["panels"].append(
            {
                "id": id,
                "title": panel.title.partition(" ")[2],
                "reports": panel.reports,
                "parameters": panels.get(name, {}).get("parameters", {}),
                "rows": [row for row in rows if PANEL_OF.get(row["panel"], row["panel"]) == id],
                "claims": claims,
                "of": new,
                **_drawn(panels.get(name), panel, known),
            }
        )
    return list(figures.values())


def other_claims(figures: Sequence[Entry], verdicts: Sequence[Entry]) -> list[Entry]:
    """Entries of the claims that test no panel, as those of other papers."""
    shown = {
        claim["verdict"].id
        for figure in figures
        for panel in figure["panels"]
        for claim in panel["of"]
    }
    return [entry for entry in verdicts if entry["verdict"].id not in shown]


def by_statistic(claims: Sequence[Entry]) -> list[Entry]:
    """Claims in their order, those of one statistic together: `statistic` and `claims`."""
    groups: dict[str, list[Entry]] = {}
    for claim in claims:
        groups.setdefault(claim["verdict"].statistic, []).append(claim)
    return [{"statistic": name, "claims": group} for name, group in groups.items()]


def _drawn(own: Entry | None, panel: Panel, known: Mapping[str, Entry]) -> Entry:
    """Figures of a panel: its own, or one of a claim or result that stands in."""
    if own is not None:
        return {"figures": own["figures"], "stands_in": None, "target": f"measure-{panel.name}"}
    for reference in panel.stand_ins:
        name, _, index = reference.partition("#")
        figures = known.get(name, {}).get("figures", [])
        if int(index) < len(figures):
            target = name if "verdict" in known[name] else f"measure-{name}"
            return {"figures": [figures[int(index)]], "stands_in": name, "target": target}
    return {"figures": [], "stands_in": None, "target": ""}
