"""Load texts: read a source, keep the texts within bounds, draw a sample of them, and cut them.

Every source goes the same way: read, strip, keep the texts whose length in characters lies within
bounds, draw a seeded sample without replacement, kept in the source's order, and, if asked, cut
each text at a random word (see `cutting`). A text may carry a group: texts of one group resemble
each other, so intervals and splits go by group.

Source: arXiv 2502.12131, which keeps the texts of WikiText of 100 to 500 characters; these are
the default bounds of the corpora. The user's own files have none by default.

Does not handle: tokens (the model's side), duplicates (they stay), files larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import SupportsIndex, overload

import numpy as np

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts import wikipedia
from transformer_dynamics.texts.columns import Columns, Entry
from transformer_dynamics.texts.cutting import check_cut, cut_texts
from transformer_dynamics.texts.hub import read_hub
from transformer_dynamics.texts.readers import read_file
from transformer_dynamics.texts.sources import (
    WIKIPEDIA,
    Source,
    check_source,
    files_of,
    is_on_hub,
    is_one_file,
    name_of,
    shown,
)

CORPUS_CHARS = (100, 500)
"""Default bounds of a corpus's texts, as in arXiv 2502.12131; the tail is mostly headings."""

ARTICLE = "article"
"""What the groups of the bundled sample are: the article that a paragraph is from."""

_LARGEST = 2**63 - 1  # a number of a selection is stored in 64 bits


@dataclass(frozen=True, repr=False)
class Texts(Sequence[str]):
    """Strings, where they are from, and how they were chosen."""

    strings: tuple[str, ...]
    source: str
    selection: dict[str, int | str | None] = field(hash=False)
    """`min_chars`, `max_chars`, `n` (None: no limit, all), `seed` (of the sample and of the cut),
    `available`: how many texts of the rows read lie within the bounds, `cut`, and `group`: what
    the groups are (None: there are none). With the cut "random" also `left_whole`: how many texts
    could not be cut. With a pattern or a list of files also `files`, their number. With a dataset
    of the hub also `revision` (None: the newest) and `first_rows`: the texts are from this many
    rows at the start of the split (None: from all that the name says)."""
    groups: tuple[str, ...] | None = None
    """The group of each text; empty where a text has none. None: no groups."""

    @property
    def sha256(self) -> str:
        """SHA-256 over the strings, each in UTF-8 after its length in bytes (8, little-endian)."""
        digest = hashlib.sha256()
        for string in self.strings:
            encoded = string.encode("utf-8", errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.strings)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> str | tuple[str, ...]:
        return self.strings[index]

    def __repr__(self) -> str:
        return f"Texts({len(self)} of {self.selection['available']} from {self.source!r})"


def load_texts(
    source: Source = WIKIPEDIA,
    n: int | None = None,
    *,
    seed: int = 0,
    min_chars: int | None = None,
    max_chars: int | None = None,
    column: str = "text",
    group: str | None = None,
    cut: str | None = None,
    revision: str | None = None,
    offline: bool = False,
) -> Texts:
    """Texts from a corpus, from files or from a dataset of the Hugging Face hub.

    Args:
        source: "wikipedia-sample"; a file: .txt (a text per line), .csv (separated by commas,
            semicolons, tabs or vertical bars), .tsv or .parquet (`column`), .jsonl or .ndjson
            (per line a string or an object with `column`), .json (a list of these, or an object
            with a list under `column`), all but Parquet also compressed (.gz); a pattern of
            paths, `data/*.txt`, or a list of paths, read one after another; or a dataset of
            the hub, "hf://OWNER/NAME[:CONFIG[:SPLIT]]" (split "test" if none is named), the split
            sliced if wanted: "hf://OWNER/NAME::train[:1000]".
        n: how many; a sample without replacement, in the source's order. None: all. Of a dataset
            of the hub that is larger than 1 GB or of unknown size, the sample is drawn from the
            first 100,000 rows, which are streamed; a slice names other rows, "train[0:]" all.
        seed: of the sample and of the cut.
        min_chars: shortest text, in characters, once stripped and before it is cut. None: 100 for
            the corpora (wikipedia-sample, hf://), no bound for files. Blank texts are always
            dropped.
        max_chars: longest text. None: 500 for the corpora, no bound for files.
        column: where the texts are in a table, in objects or in a dataset: a name, or outside
            .csv and .tsv a dotted path into nested values, "messages.0.content".
        group: where the group of each text is, as `column`: an article, a document, a speaker.
            Intervals and splits then go by group. A text whose group is blank is a group of its
            own. None: no groups; for "wikipedia-sample" the article.
        cut: "random" ends each text at a random word from the fourth to the last but one, so that
            the last token is a word in mid-sentence; "none" leaves the texts as they are. None:
            "random" for "wikipedia-sample", "none" for all other sources.
        revision: branch, tag or commit of a dataset of the hub. None: the newest.
        offline: use no network.

    Raises:
        TextsError: the texts cannot be had as asked, or a file is broken or of another kind than
            its extension says. Files are UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        AssetError: the bundled sample is not to be had.

    Examples:
        >>> load_texts("wikipedia-sample", n=1000)  # doctest: +SKIP
        >>> load_texts("stimuli/*.csv", column="sentence")  # doctest: +SKIP
        >>> load_texts("chats.jsonl.gz", column="messages.0.content")  # doctest: +SKIP
        >>> name = "hf://Salesforce/wikitext:wikitext-2-raw-v1:test"
        >>> load_texts(name, n=1000)  # doctest: +SKIP
    """
    check_source(source)
    n, seed, min_chars, max_chars = _numbers(n, seed, min_chars, max_chars)
    _check_names(source, column, revision, offline)
    _check_group(source, group)
    check_cut(cut)
    is_corpus = is_on_hub(source) or _is_bundled(source)
    lower = CORPUS_CHARS[0] if min_chars is None and is_corpus else min_chars
    upper = CORPUS_CHARS[1] if max_chars is None and is_corpus else max_chars
    _check_bounds(lower, upper)

    read, reading = _read(
        source, Columns(column, group), n=n, revision=revision, offline=bool(offline)
    )
    stripped = [(text.strip(), of) for text, of in read]
    within = [entry for entry in stripped if entry[0] and _is_within(len(entry[0]), lower, upper)]
    if not within:
        raise _nothing_left(source, [text for text, _ in stripped], lower, upper)
    chosen = _sample(within, n, seed, source, reading.get("first_rows"))
    selection: dict[str, int | str | None]
    selection = {"min_chars": lower, "max_chars": upper, "n": n, "seed": seed}
    selection |= {"available": len(within), **reading}
    selection |= {"group": ARTICLE if _is_bundled(source) else group}
    strings, cutting = _cut([text for text, _ in chosen], cut, source, seed)
    groups = None if selection["group"] is None else tuple(of for _, of in chosen)
    return Texts(tuple(strings), name_of(source), {**selection, **cutting}, groups)


def _cut(
    texts: list[str], cut: str | None, source: Source, seed: int
) -> tuple[list[str], dict[str, int | str | None]]:
    """The texts, cut if asked, and what the selection says about it."""
    cut = cut or ("random" if _is_bundled(source) else "none")
    if cut == "none":
        return texts, {"cut": cut}
    shorter = cut_texts(texts, seed=seed)
    whole = sum(before == after for before, after in zip(texts, shorter, strict=True))
    return shorter, {"cut": cut, "left_whole": whole}


def _read(
    source: Source, columns: Columns, *, n: int | None, revision: str | None, offline: bool
) -> tuple[list[Entry], dict[str, int | str | None]]:
    """Texts and groups as they stand in the source, and what the selection says of the reading."""
    if _is_bundled(source):
        return [(each.text, each.title) for each in wikipedia.sample(offline=offline)], {}
    if isinstance(source, str) and is_on_hub(source):
        entries, first_rows = read_hub(source, columns, n=n, revision=revision, offline=offline)
        return entries, {"revision": revision, "first_rows": first_rows}
    files = files_of(source)
    entries = [entry for file in files for entry in read_file(file, columns)]
    return entries, {} if is_one_file(source) else {"files": len(files)}


def _is_bundled(source: Source) -> bool:
    return isinstance(source, str) and source == WIKIPEDIA


def _is_within(length: int, lower: int | None, upper: int | None) -> bool:
    return (lower is None or lower <= length) and (upper is None or length <= upper)


def _numbers(
    n: object, seed: object, min_chars: object, max_chars: object
) -> tuple[int | None, int, int | None, int | None]:
    """The four numbers as Python integers, which every file format can store."""
    return (
        None if n is None else _whole("n", n, 1, "n=100), or n=None for all texts"),
        _whole("seed", seed, 0, "n=100, seed=0)"),
        None if min_chars is None else _whole("min_chars", min_chars, 0, "min_chars=100)"),
        None if max_chars is None else _whole("max_chars", max_chars, 1, "max_chars=500)"),
    )


def _whole(name: str, value: object, least: int, call: str) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if least <= value <= _LARGEST:
            return int(value)
        came = f"{value}" if abs(int(value)) <= _LARGEST else "a number of more than 63 bits"
    else:
        came = f"{value!r:.60}"
    raise TextsError(
        f"{name}={came}; allowed is a whole number from {least} up: load_texts(source, {call}"
    )


def _check_names(source: Source, column: object, revision: object, offline: object) -> None:
    if not isinstance(column, str):
        raise TextsError(
            f"column={column!r:.60} of type {type(column).__name__}; allowed is the name of a "
            "column: load_texts(source, column='text')"
        )
    if not isinstance(offline, (bool, np.bool_)):
        raise TextsError(
            f"offline={offline!r:.60}; allowed is True or False: load_texts(source, offline=True)"
        )
    if revision is None:
        return
    if not isinstance(revision, str) or not revision:
        raise TextsError(
            f"revision={revision!r:.60}; allowed is a branch, a tag or a commit as a string: "
            "load_texts('hf://OWNER/NAME', revision='main')"
        )
    if not is_on_hub(source):
        raise TextsError(
            f"revision={revision!r:.60} belongs to a dataset of the hub, but the source is "
            f"{shown(source)}; leave revision out, or name a dataset: "
            "load_texts('hf://OWNER/NAME', revision='main')"
        )


def _check_group(source: Source, group: object) -> None:
    if group is None:
        return
    if not isinstance(group, str) or not group:
        raise TextsError(
            f"group={group!r:.60} of type {type(group).__name__}; allowed is the name of a column "
            "with one group per text: load_texts('texts.csv', group='title'). Groups in memory go "
            "to record: record(model, texts, groups=groups)"
        )
    if _is_bundled(source):
        raise TextsError(
            f"group={group!r:.60} names a column, and {WIKIPEDIA!r} has none; its groups are the "
            f"articles, without being asked for: load_texts({WIKIPEDIA!r})"
        )


def _check_bounds(lower: int | None, upper: int | None) -> None:
    if lower is not None and upper is not None and lower > upper:
        raise TextsError(
            f"min_chars={lower} is more than max_chars={upper}, so no text can be within; name "
            f"both, the smaller first: load_texts(source, min_chars={upper}, max_chars={lower})"
        )


def _nothing_left(
    source: Source, read: list[str], lower: int | None, upper: int | None
) -> TextsError:
    lengths = [len(text) for text in read if text]
    if not lengths:
        return TextsError(
            f"{shown(source)} holds no text: it is empty or blank; write at least one text into "
            f"it and call load_texts({shown(source)}) again"
        )
    return TextsError(
        f"none of the {len(lengths)} texts of {shown(source)} is of {_span(lower, upper)}; they "
        f"are of {min(lengths)} to {max(lengths)}: load_texts({shown(source)}, "
        f"min_chars={min(lengths)}, max_chars={max(lengths)})"
    )


def _span(lower: int | None, upper: int | None) -> str:
    ends = [f"at least {lower}" if lower else "", f"at most {upper}" if upper is not None else ""]
    return (" and ".join(end for end in ends if end) or "any number of") + " characters"


def _sample(
    within: list[Entry], n: int | None, seed: int, source: Source, first_rows: int | str | None
) -> list[Entry]:
    if n is None:
        return within
    if n > len(within):
        rows = "" if first_rows is None else f"in its first {first_rows} rows "
        more = (
            "widen min_chars and max_chars"
            if first_rows is None
            else f"name more rows by a slice of the split: 'hf://…:train[:{10 * int(first_rows)}]'"
        )
        raise TextsError(
            f"n={n} texts were asked of {shown(source)}, which has {len(within)} {rows}within the "
            f"bounds; ask for at most that many, load_texts({shown(source)}, n={len(within)}), "
            f"or {more}"
        )
    chosen = np.random.default_rng(seed).choice(len(within), size=n, replace=False)
    return [within[index] for index in np.sort(chosen)]
