"""Paragraphs of prose in one page's markup.

A hole inside parentheses removes the parenthetical; any other hole drops the paragraph, because its
sentence would miss a word. Tables, lists, headings, boxes and block quotations are not paragraphs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from transformer_dynamics.texts.markup import HOLE, LIST_ITEM, markup_parser, render

_PARENTHETICAL_WITH_HOLE = re.compile(rf"\s*\([^()]*{HOLE}[^()]*\)")
_EMPTY_PARENTHESES = re.compile(r"\s*\([\s,;:]*\)")
_RESIDUE = re.compile(
    rf"[{{}}|{HOLE}{LIST_ITEM}\ufffd]"  # braces and pipes do not occur in prose
    r"|\[\[|\]\]|''|==|~~~|\[\s*\]|\(\s*\)|\(\W\)"
    r"|</?[a-zA-Z!]|/>|&#?\w+;|__[A-Z]+__"
    r"|\b(?:[Ff]ile|[Ii]mage|Category):\S|\bthumb\b.*px|\b\d+px\b"
    r"|\bhttps?:|\bwww\.|\bISBN\b"
    r"|\[\d+\]"  # number of a footnote
    r"|[,;:]\s*(?:[,;]|\.(?!\.))"  # two marks with nothing between them
)
_OPENERS = "\"'“‘(["
_CLOSERS = "\"'”’)]"
_PAIRS = ("()", "[]", "“”")


def clean(wikitext: str) -> list[str]:
    """Return the paragraphs of prose in one page's markup.

    Raises:
        TextsError: mwparserfromhell is not installed.

    Examples:
        >>> clean("'''Albedo''' is a [[ratio|fraction]]{{cn}} (from {{lang-la|albus}}) of light.")
        ['Albedo is a fraction of light.']
    """
    rendered = render(markup_parser().parse(wikitext))
    tidied = (_tidy(chunk) for chunk in _chunks(rendered))
    return [text for text in tidied if _is_prose(text)]


def _chunks(rendered: str) -> Iterator[str]:
    """Yield the runs of lines that MediaWiki shows as one paragraph."""
    for separates, lines in itertools.groupby(rendered.split("\n"), key=_separates):
        if not separates:
            yield " ".join(lines)


def _separates(line: str) -> bool:
    """Return whether a line separates paragraphs: blank, a list item, preformatted, or a box."""
    return line.startswith(" ") or LIST_ITEM in line or not line.strip(f"{HOLE} \t")


def _tidy(chunk: str) -> str:
    """Close the gaps left by removed markup."""
    text = " ".join(chunk.split())
    text = _without(_PARENTHETICAL_WITH_HOLE, text)
    text = _without(_EMPTY_PARENTHESES, text)
    text = re.sub(r"\((?:\s*[,;])*\s*", "(", text)
    text = re.sub(r"[\s,;]+\)", ")", text)
    return re.sub(r"\s+([,;:.!?])(?![\w.])", r"\1", text)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """Remove a pattern repeatedly until it no longer occurs."""
    while (shorter := pattern.sub("", text)) != text:
        text = shorter
    return text


def _is_prose(text: str) -> bool:
    """Return whether a chunk consists of complete sentences without gaps or markup."""
    first = text.lstrip(_OPENERS)[:1]
    return (
        (first.isupper() or first.isdigit())
        and text.rstrip(_CLOSERS).endswith((".", "!", "?"))
        and all(text.count(pair[0]) == text.count(pair[1]) for pair in _PAIRS)
        and text.count('"') % 2 == 0
        and not _RESIDUE.search(text)
    )
