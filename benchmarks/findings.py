"""Write the verdicts of a run as the table of `docs/findings.md`.

    python benchmarks/findings.py runs/smollm2-135m

The table replaces what stands between the two markers of the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformer_dynamics.registry import CLAIMS

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"
BEGIN, END = "<!-- verdicts -->\n", "<!-- /verdicts -->"


def table(entries: Iterable[Mapping[str, Any]]) -> str:
    """The claims of `claims.json` as Markdown: value, interval, deciding nulls, verdict."""
    lines = ["| claim | value [95 %] | deciding nulls: mean (p) | verdict |", "|---|---|---|---|"]
    for entry in entries:
        low, high = entry["interval"]
        nulls = "; ".join(
            f"{name.replace('_', ' ')} {null['mean']:.3g} ({null['p']:.2g})"
            for name, null in entry["nulls"].items()
            if name in CLAIMS.get(entry["id"]).nulls
        )
        lines.append(
            f"| {entry['id']}. {entry['statement']} | {entry['value']:.3g} [{low:.3g}, {high:.3g}] "
            f"| {nulls} | {entry['verdict']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the run and rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    found = table(json.loads((parser.parse_args().run / "claims.json").read_text("utf-8")))
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + found + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
