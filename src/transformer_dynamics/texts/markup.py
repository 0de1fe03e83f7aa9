"""Render MediaWiki markup to plain text with holes.

mwparserfromhell parses a page into a tree. Links become their words and styles their contents;
references, comments, images and categories become nothing. Content that plain text cannot show
(most templates, formulas, code) becomes a *hole*, which `prose` removes with its parenthetical or
its paragraph.

Limits: no transclusion; templates are not expanded, and a few are known by name.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import TextsError

if TYPE_CHECKING:
    from mwparserfromhell.nodes import ExternalLink, Node, Tag, Template, Wikilink
    from mwparserfromhell.wikicode import Wikicode


# Unicode noncharacters, which are reserved for a program's own use.
HOLE = "\ufdd0"  # content that plain text cannot show
LIST_ITEM = "\ufdd1"  # start of a list item
_BREAK = "\n\n"
_PROSE_TAGS = frozenset(
    ["b", "big", "em", "i", "nowiki", "onlyinclude", "s", "small", "span", "strong", "u"]
)
_UNSEEN_TAGS = frozenset(["ref", "references"])
_BLOCK_TAGS = frozenset(
    ["blockquote", "center", "div", "dl", "gallery", "hr", "ol", "poem", "source", "table", "ul"]
)
_UNSEEN_NAMESPACES = frozenset(["category", "file", "image", "media"])
# Templates without text in the sentence: notes, maintenance tags, page elements.
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
# Templates that show one of their positional arguments (the last: -1) unchanged.
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


def markup_parser() -> ModuleType:
    """Import mwparserfromhell.

    Raises:
        TextsError: the package is not installed.
    """
    try:
        return importlib.import_module("mwparserfromhell")
    except ImportError as error:
        raise TextsError(
            "cleaning Wikipedia's markup needs the package mwparserfromhell, which is not "
            'installed; install it with pip install "transformer-dynamics[wiki]"'
        ) from error


def render(code: Wikicode) -> str:
    """Render a markup tree to text with holes."""
    return "".join(_RENDER.get(type(node).__name__, _hole)(node) for node in code.nodes)


def _hole(_: Node) -> str:
    return HOLE


def _nothing(_: Node) -> str:
    return ""


def _wikilink(link: Wikilink) -> str:
    prefix, colon, _ = str(link.title).strip().partition(":")
    leads_away = colon and (
        prefix.lower() in _UNSEEN_NAMESPACES or _LANGUAGE_PREFIX.fullmatch(prefix)
    )
    if leads_away:
        return ""
    shown = render(link.text) if link.text is not None else ""
    return shown or render(link.title).lstrip(":")


def _external_link(link: ExternalLink) -> str:
    if link.title is not None:
        return render(link.title)
    return "" if link.brackets else HOLE


def _tag(tag: Tag) -> str:
    if tag.wiki_markup in ("*", "#", ":", ";"):
        return LIST_ITEM
    name = str(tag.tag).strip().lower()
    if name in _PROSE_TAGS:
        return render(tag.contents)
    if name in ("sup", "sub"):
        return _script(render(tag.contents), _SUPERSCRIPT if name == "sup" else _SUBSCRIPT)
    if name in _UNSEEN_TAGS:
        return ""
    return _BREAK if name in _BLOCK_TAGS else HOLE


def _script(text: str, table: dict[int, int]) -> str:
    return text.translate(table) if all(ord(char) in table for char in text) else HOLE


def _template(template: Template) -> str:
    name = str(template.name).strip().lower().replace("_", " ")
    arguments = [parameter.value for parameter in template.params if not parameter.showkey]
    if name in _UNSEEN_TEMPLATES or name.startswith(_UNSEEN_PREFIXES):
        return ""
    if name in _FIXED_TEXT:
        return _FIXED_TEXT[name]
    if name in _SHOWN_ARGUMENT and arguments:
        return render(arguments[_SHOWN_ARGUMENT[name]])
    if name in ("convert", "cvt"):
        return _measurement([str(value).strip() for value in arguments])
    return HOLE


def _measurement(words: list[str]) -> str:
    """Return the quantity of `{{convert|120|km|mi}}` without its conversion."""
    shown = ""
    for word in words:
        if word in _UNITS and shown:
            return f"{shown} {_UNITS[word]}"
        if word not in _RANGE_WORDS and not re.fullmatch(r"[-−]?\d[\d.,]*", word):
            break
        shown += f"{int(word):,}" if word.isdecimal() else _RANGE_WORDS.get(word, word)
    return HOLE


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
