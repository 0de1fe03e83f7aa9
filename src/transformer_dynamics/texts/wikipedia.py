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
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transformer_dynamics.errors import TextsError
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.files import write_text

if TYPE_CHECKING:
    pass
from transformer_dynamics.texts.markup import parser
from transformer_dynamics.texts.prose import clean

CLEANER_VERSION = 1
"""Part of the cached file's name: raise it whenever the cleaned text changes."""


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
    path = cache_dir() / "texts" / name
    if not path.exists():
        parser()  # before the download, which is worth nothing without it
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
