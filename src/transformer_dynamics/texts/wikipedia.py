"""Paragraphs of prose from a MediaWiki dump.

The dump is streamed page by page; `markup` renders each page to plain text and `prose` selects its
paragraphs. Cost: about 4 s for the 106 articles of the bundled sample on one core, once; the result
is kept in the cache.

Source: the export format at https://www.mediawiki.org/wiki/Help:Export.

Limits: of several revisions per page the first is read; no wikis in languages other than English.
"""

from __future__ import annotations

import bz2
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from transformer_dynamics.errors import TextsError
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.files import write_text
from transformer_dynamics.texts.markup import markup_parser
from transformer_dynamics.texts.prose import clean

CLEANER_VERSION = 1
"""Part of the cached file's name, to be raised whenever the cleaned text changes."""


class Paragraph(NamedTuple):
    """A paragraph of prose with the title of its article."""

    title: str
    text: str


def sample(*, offline: bool = False) -> tuple[Paragraph, ...]:
    """Return the paragraphs of the bundled sample in order, cleaned once and then cached.

    Args:
        offline: whether the network is forbidden.

    Raises:
        AssetError: the sample cannot be fetched.
        TextsError: mwparserfromhell is not installed, or the cached file is damaged.
    """
    asset = assets.WIKIPEDIA_SAMPLE
    name = f"paragraphs-{asset.sha256[:12]}-v{CLEANER_VERSION}.jsonl"
    path = cache_dir() / "texts" / name
    if not path.exists():
        markup_parser()  # before the download, which is useless without it
        cleaned = paragraphs(assets.fetch(asset, offline=offline))
        lines = [json.dumps(paragraph._asdict()) + "\n" for paragraph in cleaned]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(lines))
    return _read(path)


def paragraphs(path: Path) -> Iterator[Paragraph]:
    """Yield the paragraphs of the articles of a bz2-compressed dump, in the dump's order.

    Redirects and pages outside the main namespace are skipped.
    """
    for title, wikitext in _articles(path):
        for text in clean(wikitext):
            yield Paragraph(title, text)


def _read(path: Path) -> tuple[Paragraph, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Paragraph(**json.loads(line)) for line in lines)
    except (ValueError, TypeError) as error:
        raise TextsError(f"{path} is damaged ({error}); delete it to create it again") from error


def _articles(path: Path) -> Iterator[tuple[str, str]]:
    """Yield title and markup of the articles, with one page in memory at a time."""
    with bz2.open(path) as file:
        for _, page in ET.iterparse(file):
            if not page.tag.endswith("}page") and page.tag != "page":
                continue
            is_article = page.findtext("{*}ns", default="0") == "0"
            if is_article and page.find("{*}redirect") is None:
                wikitext = page.findtext("{*}revision/{*}text") or ""
                yield page.findtext("{*}title") or "", wikitext
            page.clear()
