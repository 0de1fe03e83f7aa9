"""The table of families in the documentation agrees with the proofs."""

import os
import re
from pathlib import Path

import tiny
from transformer_dynamics.model.sites import find_sites

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
MARKS = re.compile(r"(<!-- families -->\n).*?(<!-- /families -->)", re.DOTALL)
BOUND = 1e-6


def table() -> str:
    lines = ["| family | layers | sites of 3 layers | adds | identity holds to |"]
    lines.append("|---|---|---|---|---|")
    for family in sorted(tiny.FAMILIES):
        sites = find_sites(tiny.hf_model(family))
        first = sites.proofs[0]
        kinds = dict.fromkeys(proof.kind for proof in sites.proofs)
        added = ", ".join(branch.formula for branch in first.branches)
        error = max(proof.error for proof in sites.proofs)
        held = f"{BOUND:.0e}" if error < BOUND else f"{error:.0e}"
        place = "" if sites.causal else ", encoder"
        count = f"{len(sites.sites)}"
        lines.append(f"| {family} | {', '.join(kinds)}{place} | {count} | {added} | {held} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_families_as_proved():
    found = MARKS.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    expected = MARKS.sub(lambda match: match[1] + table() + match[2], found[0])
    if os.environ.get("TDYN_WRITE_TABLES"):
        written = PAGE.read_text(encoding="utf-8").replace(found[0], expected)
        PAGE.write_text(written, encoding="utf-8")
    assert found[0] == expected, "TDYN_WRITE_TABLES=1 python -m pytest tests/model writes it"
