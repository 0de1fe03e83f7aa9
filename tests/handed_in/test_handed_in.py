"""Every row of the page *Accepted inputs*; TDYN_WRITE_TABLES=1 writes the page anew."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "handed_in.md"
SECTIONS = sorted(path.stem for path in Path(__file__).parent.glob("given_*.py"))
CASES = {
    f"{section}: {case.what}": (section, case)
    for section in SECTIONS
    for case in importlib.import_module(f"handed_in.{section}").CASES
}
HEAD = "| input | result |"
PREFACE = """# Accepted inputs

Each row is a test. An accepted input gives the same values as a plain run; a refused input raises
the error that is shown.
"""


@pytest.mark.parametrize("name", CASES)
def test_what_is_handed_in(name, tmp_path, monkeypatch):
    section, case = CASES[name]
    monkeypatch.chdir(tmp_path)
    if case.refused is None:
        case.check(tmp_path)
        happens = case.happens
    else:
        with pytest.raises(case.refused) as caught:
            case.check(tmp_path)
        happens = f"refused: {_plain(str(caught.value), tmp_path)}"
    row = f"| {case.what} | {happens} |"
    if os.environ.get("TDYN_WRITE_TABLES"):
        _write(section, name, row)
    assert row in PAGE.read_text(encoding="utf-8").splitlines(), (
        "TDYN_WRITE_TABLES=1 python -m pytest tests/handed_in -n 0 writes the page"
    )


def test_the_page_has_no_other_rows():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and HEAD not in line]
    assert len(rows) == len(CASES)
    assert len({case.what for _, case in CASES.values()}) == len(CASES)


def _plain(message: str, folder: Path) -> str:
    """A message as a table cell: one line, without the test's own folder."""
    shown = message.replace(f"{folder}/", "").replace(str(folder), ".")
    shown = re.sub(r"\s+", " ", shown).replace("|", "\\|")
    return shown.replace("<", "&lt;").replace("{", "&#123;").replace("*", "\\*")


_written: dict[str, str] = {}


def _write(section: str, name: str, row: str) -> None:
    _written[name] = row
    pieces = [PREFACE]
    for each in SECTIONS:
        rows = [
            _written[key] for key, (found, _) in CASES.items() if found == each and key in _written
        ]
        title = importlib.import_module(f"handed_in.{each}").TITLE
        pieces.append(f"## {title}\n\n{HEAD}\n|---|---|\n" + "\n".join(rows) + "\n")
    PAGE.write_text("\n".join(pieces), encoding="utf-8")
