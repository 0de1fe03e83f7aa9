"""Reference list of the page, derived from the sources of the entries that the page shows.

Every arXiv number in a source becomes a link. Other works are found by their authors in `WORKS`, as
a registry entry cites them; a work that is not in the table is listed as the source cites it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from transformer_dynamics.report.methods import METHODS
from transformer_dynamics.report.methods import WORKS as METHODS_WORKS

NUMBER = r"(?:\d{4}\.\d{4,5}|[a-z-]+/\d{7})"
NUMBERS = re.compile(rf"arXiv[: ]({NUMBER}(?:, {NUMBER})*)")
NAME = r"[A-ZÀ-Ý][\w'’-]+"
# Authors with a year, as "Facco et al. 2017" or "Pierson and Moss (PRL 75, 2124, 1995)".
NAMED = re.compile(
    rf"(?<!\w){NAME}(?: et al\.| (?:and|&) {NAME})?(?:,? \d{{4}}(?![\d.]*\d)| \([^()]*\d{{4}}\))"
)
# Works that entries of the registry cite by name.
WORKS = {
    "Blondel et al.": (
        "Blondel, Guillaume, Lambiotte and Lefebvre (2008), Journal of Statistical Mechanics P10008"
    ),
    "Churchland et al.": "Churchland et al. (2012), Nature 487, 51",
    "Elsayed and Cunningham": "Elsayed and Cunningham (2017), Nature Neuroscience 20, 1310",
    "Facco et al.": "Facco, d'Errico, Rodriguez and Laio (2017), arXiv 1803.06992",
    "Ince et al.": "Ince et al. (2017), Human Brain Mapping 38, 1541",
    "JMLR 13, 1393": (
        "Song, Smola, Gretton, Bedo and Borgwardt (2012), Journal of Machine Learning Research 13, "
        "1393"
    ),
    "Lathrop and Kostelich": "Lathrop and Kostelich (1989), Physical Review A 40, 4028",
    "Nostalgebraist": "nostalgebraist (2020), Interpreting GPT: the logit lens, LessWrong",
    "Pierson and Moss": "Pierson and Moss (1995), Physical Review Letters 75, 2124",
    "Russo et al.": "Russo et al. (2018), Neuron 97, 953",
    "So et al.": (
        "So, Ott, Schiff, Kaplan, Sauer and Grebogi (1996), Physical Review Letters 76, 4705"
    ),
    "Sussillo and Barak": "Sussillo and Barak (2013), Neural Computation 25, 626",
    "Treves & Rolls": "Treves and Rolls (1991), Network 2, 371",
}


@dataclass
class Reference:
    """A work in the reference list.

    Attributes:
        text: bibliographic text.
        url: address of its arXiv page, or empty.
        cited_by: label and anchor of each entry that cites it.
    """

    text: str
    url: str
    cited_by: list[tuple[str, str]] = field(default_factory=list)


def references(sources: Iterable[tuple[str, str, str]]) -> list[Reference]:
    """Works that the page cites, arXiv numbers first.

    Args:
        sources: label, anchor and source of every entry that the page shows.

    >>> first = references([("C13", "C13", "arXiv 2410.01545: the law holds in GPT-2 medium")])[0]
    >>> first.url, first.cited_by
    ('https://arxiv.org/abs/2410.01545', [('C13', 'C13')])
    """
    known: dict[str, Reference] = {}
    cited = [(label, anchor, works(source)) for label, anchor, source in sources]
    cited.append(("methods", "methods", _methods_works()))
    for label, anchor, texts in cited:
        for text in texts:
            number = NUMBERS.search(text)
            key = number[1] if number else text
            url = f"https://arxiv.org/abs/{number[1]}" if number else ""
            entry = known.setdefault(key, Reference(text, url))
            entry.text = max(entry.text, text, key=len)
            if (label, anchor) not in entry.cited_by:
                entry.cited_by.append((label, anchor))
    return sorted(known.values(), key=lambda one: (not one.text.startswith("arXiv"), one.text))


def works(source: str) -> list[str]:
    """Bibliographic texts of the works that a source cites.

    >>> works("Treves & Rolls 1991; arXiv 1905.00414, 2010.15327; Doe and Roe (1999)")
    ['arXiv 1905.00414', 'arXiv 2010.15327',
     'Treves and Rolls (1991), Network 2, 371',
     'Doe and Roe (1999)']
    """
    numbers = [number for run in NUMBERS.findall(source) for number in run.split(", ")]
    named = [text for authors, text in WORKS.items() if authors in source]
    texts = [f"arXiv {number}" for number in numbers] + named
    return texts + [each for each in _unknown(source) if each not in texts]


def _unknown(source: str) -> Iterator[str]:
    """Works with authors and a year that are not in the table."""
    for match in NAMED.finditer(source):
        if not match[0].startswith(tuple(WORKS)) and "arXiv" not in match[0]:
            yield match[0]


def _methods_works() -> list[str]:
    """Works that the methods section cites."""
    text = " ".join(METHODS)
    return [work for authors, work in METHODS_WORKS.items() if authors in text]
