"""Texts in: the bundled Wikipedia sample, the user's files, datasets of the Hugging Face hub.

Every source goes the same way: read, strip, keep the texts whose length in characters lies within
bounds, and draw a seeded sample without replacement, kept in the source's order.

Source: arXiv 2502.12131, which keeps the texts of WikiText of 100 to 500 characters; these are
the default bounds of the corpora. The user's own files have none by default.

Does not handle: tokens (the model's side), duplicates (they stay), files larger than memory.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, SupportsIndex, overload

import numpy as np

from transformer_dynamics import wikipedia
from transformer_dynamics.errors import TextsError

WIKIPEDIA = "wikipedia-sample"
CORPUS_CHARS = (100, 500)
"""Default bounds of a corpus's texts, as in arXiv 2502.12131; the tail is mostly headings."""

_HUB = "hf://"
_ALLOWED = (
    f"{WIKIPEDIA!r}, a path to a .txt, .jsonl, .csv or .parquet file, or "
    f"'{_HUB}OWNER/NAME[:CONFIG[:SPLIT]]'"
)


@dataclass(frozen=True, repr=False)
class Texts(Sequence[str]):
    """Strings, where they are from, and how they were chosen."""

    strings: tuple[str, ...]
    source: str
    selection: dict[str, int | None] = field(hash=False)
    """`min_chars`, `max_chars`, `n` (None: no limit, all), `seed`, and `available`: how many
    texts of the source lie within the bounds."""

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
    source: str | Path = WIKIPEDIA,
    n: int | None = None,
    *,
    seed: int = 0,
    min_chars: int | None = None,
    max_chars: int | None = None,
    column: str = "text",
    offline: bool = False,
) -> Texts:
    """Texts from a corpus or a file.

    Args:
        source: "wikipedia-sample"; a file: .txt (a text per line), .jsonl (strings, or objects
            with `column`), .csv or .parquet (`column`); or a dataset of the Hugging Face hub,
            "hf://OWNER/NAME[:CONFIG[:SPLIT]]" (split "test" if none is named).
        n: how many; a sample without replacement, in the source's order. None: all.
        seed: of the sample.
        min_chars: shortest text, in characters, once stripped. None: 100 for the corpora
            (wikipedia-sample, hf://), no bound for files. Blank texts are always dropped.
        max_chars: longest text. None: 500 for the corpora, no bound for files.
        column: where the texts are in .jsonl, .csv, .parquet and hf:// sources.
        offline: use no network.

    Raises:
        TextsError: the texts cannot be had as asked.
        AssetError: the bundled sample is not to be had.

    Examples:
        >>> load_texts("wikipedia-sample", n=1000)  # doctest: +SKIP
        >>> load_texts("stimuli.csv", column="sentence")  # doctest: +SKIP
        >>> name = "hf://Salesforce/wikitext:wikitext-2-raw-v1:test"
        >>> load_texts(name, n=1000)  # doctest: +SKIP
    """
    _check_arguments(source, n, seed, min_chars, max_chars)
    is_corpus = source == WIKIPEDIA or _is_on_hub(source)
    lower = CORPUS_CHARS[0] if min_chars is None and is_corpus else min_chars
    upper = CORPUS_CHARS[1] if max_chars is None and is_corpus else max_chars
    _check_bounds(lower, upper)

    read = [text.strip() for text in _read(source, column, offline=offline)]
    within = [text for text in read if text and _is_within(len(text), lower, upper)]
    if not within:
        raise _nothing_left(source, read, lower, upper)
    selection = {"min_chars": lower, "max_chars": upper, "n": n, "seed": seed}
    strings = tuple(_sample(within, n, seed, source))
    return Texts(strings, str(source), {**selection, "available": len(within)})


def _is_on_hub(source: str | Path) -> bool:
    return isinstance(source, str) and source.startswith(_HUB)


def _is_within(length: int, lower: int | None, upper: int | None) -> bool:
    return (lower is None or lower <= length) and (upper is None or length <= upper)


def _check_arguments(
    source: object, n: object, seed: object, min_chars: object, max_chars: object
) -> None:
    if not isinstance(source, (str, Path)):
        raise TextsError(
            f"source is of type {type(source).__name__}; allowed is {_ALLOWED}. Strings already "
            "in memory need no loading: record(model, strings)"
        )
    _check_whole("seed", seed, 0, "load_texts(source, n=100, seed=0)")
    if n is not None:
        _check_whole("n", n, 1, "load_texts(source, n=100), or n=None for all texts")
    if min_chars is not None:
        _check_whole("min_chars", min_chars, 0, "load_texts(source, min_chars=100)")
    if max_chars is not None:
        _check_whole("max_chars", max_chars, 1, "load_texts(source, max_chars=500)")


def _check_whole(name: str, value: object, least: int, call: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise TextsError(f"{name}={value!r}; allowed is a whole number from {least} up: {call}")


def _check_bounds(lower: int | None, upper: int | None) -> None:
    if lower is not None and upper is not None and lower > upper:
        raise TextsError(
            f"min_chars={lower} is more than max_chars={upper}, so no text can be within; name "
            f"both, the smaller first: load_texts(source, min_chars={upper}, max_chars={lower})"
        )


def _nothing_left(
    source: str | Path, read: list[str], lower: int | None, upper: int | None
) -> TextsError:
    lengths = [len(text) for text in read if text]
    if not lengths:
        return TextsError(
            f"{str(source)!r} holds no text: it is empty or blank; write at least one text into "
            f"it and call load_texts({str(source)!r}) again"
        )
    return TextsError(
        f"none of the {len(lengths)} texts of {str(source)!r} is of {_span(lower, upper)}; they "
        f"are of {min(lengths)} to {max(lengths)}: load_texts({str(source)!r}, "
        f"min_chars={min(lengths)}, max_chars={max(lengths)})"
    )


def _span(lower: int | None, upper: int | None) -> str:
    ends = [f"at least {lower}" if lower else "", f"at most {upper}" if upper is not None else ""]
    return (" and ".join(end for end in ends if end) or "any number of") + " characters"


def _sample(within: list[str], n: int | None, seed: int, source: str | Path) -> list[str]:
    if n is None:
        return within
    if n > len(within):
        raise TextsError(
            f"n={n} texts were asked of {str(source)!r}, which has {len(within)} within the "
            f"bounds; ask for at most that many, load_texts({str(source)!r}, n={len(within)}), "
            "or widen min_chars and max_chars"
        )
    chosen = np.random.default_rng(seed).choice(len(within), size=n, replace=False)
    return [within[index] for index in np.sort(chosen)]


def _read(source: str | Path, column: str, *, offline: bool) -> list[str]:
    if source == WIKIPEDIA:
        return [paragraph.text for paragraph in wikipedia.sample(offline=offline)]
    if isinstance(source, str) and source.startswith(_HUB):
        return _read_hub(source, column, offline=offline)
    path = Path(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise _no_such_source(path)
    try:
        return reader(path, column)
    except UnicodeDecodeError as error:
        raise TextsError(
            f"{path} is not UTF-8: the byte {error.object[error.start]:#04x} cannot be decoded "
            f"({error.reason}); convert it: iconv -f latin1 -t utf-8 {path} > utf-8{path.suffix}"
        ) from error
    except OSError as error:
        raise TextsError(
            f"{path} cannot be read: {error}; name a file that can: load_texts('texts.txt')"
        ) from error


def _no_such_source(path: Path) -> TextsError:
    if path.is_dir():
        came = f"{path} is a folder"
    elif not path.exists():
        came = f"{str(path)!r} is neither a bundled corpus nor a file that exists"
    else:
        came = f"{path} has the unknown extension {path.suffix!r}"
    return TextsError(f"{came}; allowed is {_ALLOWED}: load_texts('texts.txt')")


def _read_txt(path: Path, _: str) -> list[str]:
    with path.open(encoding="utf-8-sig") as file:
        return list(file)


def _read_jsonl(path: Path, column: str) -> list[str]:
    with path.open(encoding="utf-8-sig") as file:
        return [
            _text_of_json(line, column, f"{path}, line {number}")
            for number, line in enumerate(file, start=1)
            if line.strip()
        ]


def _text_of_json(line: str, column: str, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TextsError(
            f"{where} is not valid JSON ({error}); every line must be a string or an object with "
            f'the text under {column!r}: {{"{column}": "..."}}'
        ) from error
    if isinstance(value, dict):
        if column not in value:
            raise _no_column(where, column, list(value))
        value = value[column]
    return _as_text(value, where)


def _read_csv(path: Path, column: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            columns = list(rows.fieldnames or [])
            if columns and column not in columns:
                raise _no_column(str(path), column, columns)
            return [row[column] or "" for row in rows]
        except csv.Error as error:
            raise TextsError(
                f"{path} is not valid CSV near line {rows.line_num} ({error}); fields with commas, "
                'quotes or line breaks must be in double quotes, and a quote within is "". A '
                ".jsonl file holds any text: load_texts('texts.jsonl')"
            ) from error


def _read_parquet(path: Path, column: str) -> list[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise _missing("pyarrow", "parquet", f"reading {path}") from error
    try:
        file = parquet.ParquetFile(path)
        columns = file.schema_arrow.names
        if column not in columns:
            raise _no_column(str(path), column, columns)
        values = file.read(columns=[column])[column].to_pylist()
    except pyarrow.ArrowException as error:
        raise TextsError(
            f"{path} is not valid Parquet ({error}); write it with "
            f"pandas.DataFrame({{{column!r}: texts}}).to_parquet({str(path)!r})"
        ) from error
    return [_as_text(value, f"{path}, row {row}") for row, value in enumerate(values)]


_READERS: dict[str, Callable[[Path, str], list[str]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


class _HubName(NamedTuple):
    dataset: str
    config: str | None
    split: str


def _read_hub(source: str, column: str, *, offline: bool) -> list[str]:
    name = _parse_hub(source)
    try:
        import datasets
    except ImportError as error:
        raise _missing("datasets", "datasets", f"reading {source}") from error
    try:
        with _network(datasets, allowed=not offline):
            data = datasets.load_dataset(name.dataset, name.config, split=name.split)
    except Exception as error:  # which kind it is differs from version to version of datasets
        said = str(error).rstrip(".")
        raise TextsError(
            f"{source!r} (configuration {name.config or 'default'}, split {name.split}) could not "
            f"be loaded{' offline' if offline else ''}: {said}. Name a dataset, a configuration "
            "and a split that exist: load_texts('hf://Salesforce/wikitext:wikitext-2-raw-v1:test')"
            + ("; run once without --offline (offline=False) to download it" if offline else "")
        ) from error
    if column not in data.column_names:
        raise _no_column(source, column, data.column_names)
    return [_as_text(value, f"{source}, row {row}") for row, value in enumerate(data[column])]


def _parse_hub(source: str) -> _HubName:
    dataset, *rest = source.removeprefix(_HUB).split(":")
    if len(rest) > 2 or not dataset.strip("/"):
        raise TextsError(
            f"{source!r} names no dataset; allowed is '{_HUB}OWNER/NAME[:CONFIG[:SPLIT]]': "
            "load_texts('hf://Salesforce/wikitext:wikitext-2-raw-v1:test')"
        )
    config, split = [*rest, "", ""][:2]
    return _HubName(dataset, config or None, split or "test")


@contextmanager
def _network(datasets: ModuleType, *, allowed: bool) -> Iterator[None]:
    """Switch the hub's libraries to their offline mode for the block.

    `DownloadConfig(local_files_only=True)` does not do: datasets asks the hub all the same. Nor
    does the variable HF_HUB_OFFLINE, which is read once, when the libraries are imported.
    """
    from huggingface_hub import constants

    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    if not allowed:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _as_text(value: object, where: str) -> str:
    """A missing value counts as a blank text; a number or a list is a wrong column."""
    if value is not None and not isinstance(value, str):
        raise TextsError(
            f"{where} holds {value!r:.40} of type {type(value).__name__}; allowed is text. Name "
            "the column that holds text: load_texts(source, column='text')"
        )
    return value or ""


def _no_column(where: str, column: str, columns: list[str]) -> TextsError:
    example = columns[0] if columns else "text"
    return TextsError(
        f"{where} has no column {column!r}; it has {', '.join(map(repr, columns)) or 'none'}. "
        f"Name one of them: load_texts(source, column={example!r})"
    )


def _missing(package: str, extra: str, what: str) -> TextsError:
    return TextsError(
        f"{what} needs the package {package}, which is not installed; install it with "
        f'pip install "transformer-dynamics[{extra}]"'
    )
