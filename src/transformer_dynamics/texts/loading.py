"""Load texts: read a source, keep the texts within bounds, and draw a sample of them.

Every source goes the same way: read, strip, keep the texts whose length in characters lies within
bounds, and draw a seeded sample without replacement, kept in the source's order.

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

from transformer_dynamics import wikipedia
from transformer_dynamics.errors import TextsError
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

_LARGEST = 2**63 - 1  # a number of a selection is stored in 64 bits


@dataclass(frozen=True, repr=False)
class Texts(Sequence[str]):
    """Strings, where they are from, and how they were chosen."""

    strings: tuple[str, ...]
    source: str
    selection: dict[str, int | str | None] = field(hash=False)
    """`min_chars`, `max_chars`, `n` (None: no limit, all), `seed`, and `available`: how many
    texts of the rows read lie within the bounds. With a pattern or a list of files also `files`,
    their number. With a dataset of the hub also `revision` (None: the newest) and `first_rows`:
    the texts are from this many rows at the start of the split (None: from all that the name
    says)."""

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
    revision: str | None = None,
    offline: bool = False,
) -> Texts:
    """Texts from a corpus, from files or from a dataset of the Hugging Face hub.

    Args:
        source: "wikipedia-sample"; a file: .txt (a text per line), .csv (separated by commas,
            semicolons, tabs or vertical bars), .tsv or .parquet (`column`), .jsonl or .ndjson
            (per line a string or an object with `column`), .json (a list of these, or an object
            with a list under `column`), all but Parquet also compressed (.gz); a pattern of
            paths, "data/*.txt", or a list of paths, read one after another; or a dataset of
            the hub, "hf://OWNER/NAME[:CONFIG[:SPLIT]]" (split "test" if none is named), the split
            sliced if wanted: "hf://OWNER/NAME::train[:1000]".
        n: how many; a sample without replacement, in the source's order. None: all. Of a dataset
            of the hub that is larger than 1 GB or of unknown size, the sample is drawn from the
            first 100,000 rows, which are streamed; a slice names other rows, "train[0:]" all.
        seed: of the sample.
        min_chars: shortest text, in characters, once stripped. None: 100 for the corpora
            (wikipedia-sample, hf://), no bound for files. Blank texts are always dropped.
        max_chars: longest text. None: 500 for the corpora, no bound for files.
        column: where the texts are in a table, in objects or in a dataset: a name, or outside
            .csv and .tsv a dotted path into nested values, "messages.0.content".
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
    is_corpus = is_on_hub(source) or _is_bundled(source)
    lower = CORPUS_CHARS[0] if min_chars is None and is_corpus else min_chars
    upper = CORPUS_CHARS[1] if max_chars is None and is_corpus else max_chars
    _check_bounds(lower, upper)

    read, reading = _read(source, column, n=n, revision=revision, offline=bool(offline))
    stripped = [text.strip() for text in read]
    within = [text for text in stripped if text and _is_within(len(text), lower, upper)]
    if not within:
        raise _nothing_left(source, stripped, lower, upper)
    selection = {"min_chars": lower, "max_chars": upper, "n": n, "seed": seed}
    strings = tuple(_sample(within, n, seed, source, reading.get("first_rows")))
    return Texts(strings, name_of(source), {**selection, "available": len(within), **reading})


def _read(
    source: Source, column: str, *, n: int | None, revision: str | None, offline: bool
) -> tuple[list[str], dict[str, int | str | None]]:
    """Texts as they stand in the source, and what the selection says about the reading."""
    if _is_bundled(source):
        return [paragraph.text for paragraph in wikipedia.sample(offline=offline)], {}
    if isinstance(source, str) and is_on_hub(source):
        texts, first_rows = read_hub(source, column, n=n, revision=revision, offline=offline)
        return texts, {"revision": revision, "first_rows": first_rows}
    files = files_of(source)
    texts = [text for file in files for text in read_file(file, column)]
    return texts, {} if is_one_file(source) else {"files": len(files)}


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
    within: list[str], n: int | None, seed: int, source: Source, first_rows: int | str | None
) -> list[str]:
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
