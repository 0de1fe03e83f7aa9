"""BibTeX of the works that the page cites, from the catalog, else from their bibliographic texts.

Of a work outside the catalog, journal, volume and pages stand in `note` as the reference list
prints them; of an arXiv number alone only the number is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from transformer_dynamics.report.content.works import CATALOG, Work
from transformer_dynamics.report.references import NUMBERS, Reference

WORK = re.compile(r"^(?P<authors>[^()]+) \((?P<year>\d{4})\)(?:, (?P<note>.*))?$")
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


def catalog_entry(work: Reference) -> Work | None:
    """Find a cited work in the catalog by its arXiv number, or by first author and year."""
    number, match = NUMBERS.search(work.text), WORK.match(work.text)
    if number is not None and number[1] in CATALOG:
        return CATALOG[number[1]]
    return None if match is None else CATALOG.get(_key(_fields(match)))


def described(work: Reference) -> str:
    """Authors and title of a work as far as its text lacks them; empty outside the catalog.

    >>> described(Reference("arXiv 1905.00414", ""))
    'Kornblith, Norouzi, Lee and Hinton (2019). Similarity of neural network representations
    revisited'
    """
    known = catalog_entry(work)
    if known is None or known.title in work.text:
        return ""
    if WORK.match(work.text):
        return known.title
    return f"{_named(known.author)} ({known.year}). {known.title}"


def _named(author: str) -> str:
    """Family names of BibTeX's authors, as a list in words."""
    names = [name.partition(",")[0] for name in author.split(" and ")]
    if names[-1] == "others":
        return f"{', '.join(names[:-1])} et al."
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _of_work(work: Reference) -> str:
    number, match = NUMBERS.search(work.text), WORK.match(work.text)
    known = catalog_entry(work)
    fields = {} if match is None else _fields(match)
    if known is not None:
        fields = {
            "author": known.author,
            # A second pair of braces keeps the capitals of names.
            "title": f"{{{known.title}}}",
            "journal": known.journal,
            "volume": known.volume,
            "pages": known.pages,
            "year": known.year,
        }
    elif number is not None:
        fields.pop("note", None)
    if number is None:
        return _entry("article", _key(fields) or "work", fields or {"note": work.text})
    kind = "article" if fields.get("journal") else "misc"
    key = _key(fields) or f"arxiv{number[1]}"
    source = {"eprint": number[1], "archivePrefix": "arXiv", "url": work.url}
    return _entry(kind, key, {**fields, **source})


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
