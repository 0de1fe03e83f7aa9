"""Clean paragraphs of prose out of a MediaWiki dump.

The dump is streamed page by page, each page's markup is parsed into a tree by mwparserfromhell,
and the tree is rendered to plain text: links to their words, styles to their contents, references,
comments, images and categories to nothing. What carries content that plain text cannot show (most
templates, formulas, code) leaves a *hole*. A hole inside parentheses takes the parenthetical with
it; a hole anywhere else drops the paragraph, because nobody wrote the sentence with the word
missing. Tables, lists, headings, boxes and quotations set apart are no paragraphs.

Cost: about 4 s for the 106 articles of the bundled sample on one core, once; the result is kept
in the cache.

Source: the export format at https://www.mediawiki.org/wiki/Help:Export.

Does not handle: transclusion (no template is expanded; a few are known by name), dumps with
several revisions per page (the first is taken), wikis in other languages than English.
"""

from __future__ import annotations

import bz2
import importlib
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from transformer_dynamics.errors import TextsError
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.files import write_text

if TYPE_CHECKING:
    from mwparserfromhell.nodes import ExternalLink, Node, Tag, Template, Wikilink
    from mwparserfromhell.wikicode import Wikicode

CLEANER_VERSION = 1
"""Part of the cached file's name: raise it whenever the cleaned text changes."""

# Unicode noncharacters, which are reserved for a program's own use.
_HOLE = "\ufdd0"  # here was content that plain text cannot show
_LIST_ITEM = "\ufdd1"  # this line is an item of a list
_BREAK = "\n\n"

_PROSE_TAGS = frozenset(
    ["b", "big", "em", "i", "nowiki", "onlyinclude", "s", "small", "span", "strong", "u"]
)
_UNSEEN_TAGS = frozenset(["ref", "references"])
_BLOCK_TAGS = frozenset(
    ["blockquote", "center", "div", "dl", "gallery", "hr", "ol", "poem", "source", "table", "ul"]
)
_UNSEEN_NAMESPACES = frozenset(["category", "file", "image", "media"])

# Templates that put nothing into the sentence: notes, maintenance tags, page furniture.
_UNSEEN_PREFIXES = ("cite ", "harv", "sfn", "vcite", "#tag:ref")
_UNSEEN_TEMPLATES = frozenset(
    [
        *("according to whom", "anchor", "better source", "by whom", "citation"),
        *("citation needed", "clarify", "clear", "cn", "dead link", "dubious", "efn", "fact"),
        *("failed verification", "full", "page needed", "qualify evidence", "refn"),
        *("relevance inline", "rp", "specify", "unreliable source?", "vague", "verify source"),
        *("wayback", "weasel-inline", "when", "where", "which", "who"),
    ]
)
# Templates that show one of their positional arguments (the last: -1) as it is.
_SHOWN_ARGUMENT = {"lang": -1, "transl": -1} | dict.fromkeys(
    ["big", "linktext", "nihongo", "noitalic", "nowrap", "sc", "small", "smaller", "vanchor"], 0
)
_FIXED_TEXT = {"'s": "'s", "'": "'", "' \"": "' \"", '-"': '"', "nbsp": " ", "spaces": " "}
_FIXED_TEXT |= {"mdashb": "—", "ndash": "–", "snd": " – ", "snds": " – ", "spaced ndash": " – "}
_UNITS = {unit: unit for unit in ["cm", "ft", "g", "ha", "in", "kg", "km", "lb", "m", "mi", "mm"]}
_UNITS |= {"acre": "acres", "sqmi": "sq mi", "km2": "km²", "m2": "m²", "m3": "m³", "nmi": "nmi"}
_UNITS |= {"C": "°C", "F": "°F", "°C": "°C", "°F": "°F", "K": "K", "km/h": "km/h", "mph": "mph"}
_RANGE_WORDS = {"to": " to ", "and": " and ", "by": " by ", "or": " or ", "-": "–", "–": "–"}

_SUPERSCRIPT = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_SUBSCRIPT = str.maketrans("0123456789+-−n", "₀₁₂₃₄₅₆₇₈₉₊₋₋ₙ")

_LANGUAGE_PREFIX = re.compile(r"[a-z]{2,3}(-[a-z]+)*|simple")
_PARENTHETICAL_WITH_HOLE = re.compile(rf"\s*\([^()]*{_HOLE}[^()]*\)")
_EMPTY_PARENTHESES = re.compile(r"\s*\([\s,;:]*\)")
_RESIDUE = re.compile(
    rf"[{{}}|{_HOLE}{_LIST_ITEM}\ufffd]"  # braces and pipes are no prose
    r"|\[\[|\]\]|''|==|~~~|\[\s*\]|\(\s*\)|\(\W\)"
    r"|</?[a-zA-Z!]|/>|&#?\w+;|__[A-Z]+__"
    r"|\b(?:[Ff]ile|[Ii]mage|Category):\S|\bthumb\b.*px|\b\d+px\b"
    r"|\bhttps?:|\bwww\.|\bISBN\b"
    r"|\[\d+\]"  # the number of a footnote
    r"|[,;:]\s*(?:[,;]|\.(?!\.))"  # what stood between two marks is gone
)
_OPENERS = "\"'“‘(["
_CLOSERS = "\"'”’)]"
_PAIRS = ("()", "[]", "“”")


class Paragraph(NamedTuple):
    """A paragraph of prose and the article it is from."""

    title: str
    text: str


def sample(*, offline: bool = False) -> tuple[Paragraph, ...]:
    """The paragraphs of the bundled sample in order, from the cache once they have been cleaned.

    Raises:
        AssetError: the sample is not to be had.
        TextsError: mwparserfromhell is not installed, or the cached file is damaged.
    """
    asset = assets.WIKIPEDIA_SAMPLE
    name = f"paragraphs-{asset.sha256[:12]}-v{CLEANER_VERSION}.jsonl"
    path = assets.cache_dir() / "texts" / name
    if not path.exists():
        _parser()  # before the download, which is worth nothing without it
        found = paragraphs(assets.fetch(asset, offline=offline))
        lines = [json.dumps(paragraph._asdict()) + "\n" for paragraph in found]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(lines))
    return _read(path)


def paragraphs(path: Path) -> Iterator[Paragraph]:
    """The paragraphs of the articles of a bz2-compressed dump, in the dump's order.

    Redirects and pages outside the main namespace are left out.
    """
    for title, wikitext in _articles(path):
        for text in clean(wikitext):
            yield Paragraph(title, text)


def clean(wikitext: str) -> list[str]:
    """The paragraphs of prose in one page's markup.

    Raises:
        TextsError: mwparserfromhell is not installed.

    Examples:
        >>> clean("'''Albedo''' is a [[ratio|fraction]]{{cn}} (from {{lang-la|albus}}) of light.")
        ['Albedo is a fraction of light.']
    """
    rendered = _render(_parser().parse(wikitext))
    tidied = (_tidy(chunk) for chunk in _chunks(rendered))
    return [text for text in tidied if _is_prose(text)]


def _parser() -> ModuleType:
    try:
        return importlib.import_module("mwparserfromhell")
    except ImportError as error:
        raise TextsError(
            "cleaning Wikipedia's markup needs the package mwparserfromhell, which is not "
            'installed; install it with pip install "transformer-dynamics[wiki]"'
        ) from error


def _read(path: Path) -> tuple[Paragraph, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Paragraph(**json.loads(line)) for line in lines)
    except (ValueError, TypeError) as error:
        raise TextsError(f"{path} is damaged ({error}); delete it to have it made again") from error


def _articles(path: Path) -> Iterator[tuple[str, str]]:
    """Title and markup of the articles, one page in memory at a time."""
    with bz2.open(path) as file:
        for _, page in ET.iterparse(file):
            if not page.tag.endswith("}page") and page.tag != "page":
                continue
            is_article = page.findtext("{*}ns", default="0") == "0"
            if is_article and page.find("{*}redirect") is None:
                wikitext = page.findtext("{*}revision/{*}text") or ""
                yield page.findtext("{*}title") or "", wikitext
            page.clear()


def _render(code: Wikicode) -> str:
    """The markup tree as text with holes."""
    return "".join(_RENDER.get(type(node).__name__, _hole)(node) for node in code.nodes)


def _hole(_: Node) -> str:
    return _HOLE


def _nothing(_: Node) -> str:
    return ""


def _wikilink(link: Wikilink) -> str:
    prefix, colon, _ = str(link.title).strip().partition(":")
    leads_away = colon and (
        prefix.lower() in _UNSEEN_NAMESPACES or _LANGUAGE_PREFIX.fullmatch(prefix)
    )
    if leads_away:
        return ""
    shown = _render(link.text) if link.text is not None else ""
    return shown or _render(link.title).lstrip(":")


def _external_link(link: ExternalLink) -> str:
    if link.title is not None:
        return _render(link.title)
    return "" if link.brackets else _HOLE


def _tag(tag: Tag) -> str:
    if tag.wiki_markup in ("*", "#", ":", ";"):
        return _LIST_ITEM
    name = str(tag.tag).strip().lower()
    if name in _PROSE_TAGS:
        return _render(tag.contents)
    if name in ("sup", "sub"):
        return _script(_render(tag.contents), _SUPERSCRIPT if name == "sup" else _SUBSCRIPT)
    if name in _UNSEEN_TAGS:
        return ""
    return _BREAK if name in _BLOCK_TAGS else _HOLE


def _script(text: str, table: dict[int, int]) -> str:
    return text.translate(table) if all(ord(char) in table for char in text) else _HOLE


def _template(template: Template) -> str:
    name = str(template.name).strip().lower().replace("_", " ")
    given = [parameter.value for parameter in template.params if not parameter.showkey]
    if name in _UNSEEN_TEMPLATES or name.startswith(_UNSEEN_PREFIXES):
        return ""
    if name in _FIXED_TEXT:
        return _FIXED_TEXT[name]
    if name in _SHOWN_ARGUMENT and given:
        return _render(given[_SHOWN_ARGUMENT[name]])
    if name in ("convert", "cvt"):
        return _measurement([str(value).strip() for value in given])
    return _HOLE


def _measurement(given: list[str]) -> str:
    """Quantity that `{{convert|120|km|mi}}` is given, without its conversion."""
    shown = ""
    for word in given:
        if word in _UNITS and shown:
            return f"{shown} {_UNITS[word]}"
        if word not in _RANGE_WORDS and not re.fullmatch(r"[-−]?\d[\d.,]*", word):
            break
        shown += f"{int(word):,}" if word.isdecimal() else _RANGE_WORDS.get(word, word)
    return _HOLE


_RENDER: dict[str, Callable[[Any], str]] = {
    "Text": lambda node: str(node.value),
    "HTMLEntity": lambda node: str(node.normalize()),
    "Comment": _nothing,
    "Heading": lambda _: _BREAK,
    "Wikilink": _wikilink,
    "ExternalLink": _external_link,
    "Tag": _tag,
    "Template": _template,
}


def _chunks(rendered: str) -> Iterator[str]:
    """Runs of lines that MediaWiki would set as one paragraph."""
    for separates, lines in itertools.groupby(rendered.split("\n"), key=_separates):
        if not separates:
            yield " ".join(lines)


def _separates(line: str) -> bool:
    """Whether a line is no part of a paragraph: blank, a list item, preformatted, or a box."""
    return line.startswith(" ") or _LIST_ITEM in line or not line.strip(f"{_HOLE} \t")


def _tidy(chunk: str) -> str:
    """Close the gaps that removed markup left."""
    text = " ".join(chunk.split())
    text = _without(_PARENTHETICAL_WITH_HOLE, text)
    text = _without(_EMPTY_PARENTHESES, text)
    text = re.sub(r"\((?:\s*[,;])*\s*", "(", text)
    text = re.sub(r"[\s,;]+\)", ")", text)
    return re.sub(r"\s+([,;:.!?])(?![\w.])", r"\1", text)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text without the pattern, nor what becomes the pattern by its removal."""
    while (shorter := pattern.sub("", text)) != text:
        text = shorter
    return text


def _is_prose(text: str) -> bool:
    """Whether a tidied chunk reads as written: whole sentences, nothing missing, no markup."""
    first = text.lstrip(_OPENERS)[:1]
    return (
        (first.isupper() or first.isdigit())
        and text.rstrip(_CLOSERS).endswith((".", "!", "?"))
        and all(text.count(pair[0]) == text.count(pair[1]) for pair in _PAIRS)
        and text.count('"') % 2 == 0
        and not _RESIDUE.search(text)
    )
