"""BibTeX of the works that the page cites, from their bibliographic texts.

Journal, volume and pages stand in `note` as the reference list prints them; of an arXiv number
without authors only the number is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from transformer_dynamics.report.references import NUMBERS, Reference

WORK = re.compile(r"^(?P<authors>[^()]+) \((?P<year>\d{4})\)(?:, (?P<note>.*))?$")
AUTHORS = {"2502.12131": "Fernando, Jesseba and Guitchounts, Grigori"}
TITLES = {
    "2502.12131": (
        "Transformer Dynamics: A neuroscientific approach to interpretability of large language "
        "models"
    )
}
YEARS = {"2502.12131": "2025"}
SOFTWARE = {
    "author": "{The transformer-dynamics authors}",
    "title": "transformer-dynamics",
    "version": "",
}


def bibtex(works: Iterable[Reference], version: str) -> str:
    """BibTeX entries of the program and of the works, in their order.

    >>> print(bibtex([], "0.1.0"))
    @software{transformer-dynamics,
      author = {{The transformer-dynamics authors}},
      title = {transformer-dynamics},
      version = {0.1.0},
    }
    """
    software = _entry("software", "transformer-dynamics", {**SOFTWARE, "version": version})
    return "\n\n".join([software, *(_of_work(work) for work in works)])


def _of_work(work: Reference) -> str:
    number = NUMBERS.search(work.text)
    match = WORK.match(work.text)
    fields = {} if match is None else _fields(match)
    if number is None:
        return _entry("article", _key(fields) or "work", fields or {"note": work.text})
    id = number[1]
    fields = {key: value for key, value in fields.items() if key != "note"} | {
        key: table[id]
        for key, table in (("author", AUTHORS), ("title", TITLES), ("year", YEARS))
        if id in table
    }
    key = _key(fields) or f"arxiv{id}"
    return _entry("misc", key, {**fields, "eprint": id, "archivePrefix": "arXiv", "url": work.url})


def _fields(match: re.Match[str]) -> dict[str, str]:
    authors = re.sub(r",? et al\.", " and others", match["authors"]).replace(", ", " and ")
    fields = {"author": authors, "year": match["year"]}
    return fields | ({"note": match["note"]} if match["note"] else {})


def _key(fields: dict[str, str]) -> str:
    """Key of a work: its first author and year; empty without authors."""
    if "author" not in fields:
        return ""
    first = re.split(r",| and ", fields["author"])[0]
    return re.sub(r"\W", "", first).lower() + fields.get("year", "")


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
