"""Read texts of a dataset of the Hugging Face hub, streamed if the dataset is large.

The rows that are read do not depend on the transport: the split, or the slice of it in the name;
but with `n` and a dataset of more than 1 GB to download, or of unknown size, the first 100,000 rows
unless the name has a slice (`train[0:]` for all rows).

A dataset of at most 1 GB is downloaded and kept in the hub's cache. A larger one is streamed, so
that the download stops after the last row needed, if that row is known: `n` is given or the slice
has an end. A slice in percent, from the end, or of several splits cannot be streamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import Columns, Entry
from transformer_dynamics.texts.files.refusals import missing_package
from transformer_dynamics.texts.sources import HUB

FIRST_ROWS = 100_000
"""Number of rows of a large split from which texts are sampled; one to two minutes of streaming."""
LARGE = 10**9
"""Download size in bytes above which a dataset is streamed."""

_SLICE = re.compile(r"(?P<split>[^\[\]+]+)\[(?P<start>\d*):(?P<stop>\d*)\]")
_EXAMPLE = f"load_texts('{HUB}Salesforce/wikitext:wikitext-2-raw-v1:test')"


@dataclass(frozen=True)
class HubName:
    """Parts of `hf://DATASET[:CONFIG[:SPLIT]]`; the split may have a slice, `train[:100]`."""

    dataset: str
    config: str | None
    split: str

    @classmethod
    def parse(cls, source: str) -> HubName:
        """Split a name at its colons outside the brackets of a slice."""
        dataset, *rest = re.split(r":(?![^\[]*\])", source.removeprefix(HUB))
        if len(rest) > 2 or not dataset.strip("/"):
            raise TextsError(
                f"{source!r} names no dataset; allowed is '{HUB}OWNER/NAME[:CONFIG[:SPLIT]]', the "
                f"split with a slice if needed, train[:1000]: {_EXAMPLE}"
            )
        config, split = [*rest, "", ""][:2]
        if "[" in config:
            raise TextsError(
                f"{source!r} has a slice in place of the configuration; allowed is "
                f"'{HUB}OWNER/NAME[:CONFIG[:SPLIT]]'. Leave the configuration empty: "
                f"load_texts('{HUB}{dataset}::{config}')"
            )
        return cls(dataset, config or None, split or "test")

    @property
    def rows(self) -> tuple[str, int, int | None]:
        """Split without its slice, first row, and row after the last one (None: the end)."""
        sliced = _SLICE.fullmatch(self.split)
        if sliced is None:
            return self.split, 0, None
        stop = int(sliced["stop"]) if sliced["stop"] else None
        return sliced["split"], int(sliced["start"] or 0), stop


def read_hub(
    source: str, columns: Columns, *, n: int | None, revision: str | None, offline: bool
) -> tuple[list[Entry], int | None]:
    """Read texts and groups, and return the number of rows if it was limited.

    Args:
        source: name of the dataset.
        columns: columns of the texts and of their groups, by name or dotted path.
        n: number of texts to be sampled; None: all.
        revision: branch, tag or commit of the dataset's repository.
        offline: whether only the hub's cache is read.

    Raises:
        TextsError: the dataset cannot be loaded, or it has no such column.
    """
    name = HubName.parse(source)
    try:
        import datasets
    except ImportError as error:
        raise missing_package("datasets", "datasets", f"reading {source}") from error
    try:
        with _network(datasets, allowed=not offline):
            data, start, stop, first_rows = _opened(datasets, name, n, revision, offline=offline)
            rows = islice(_rows(data, columns, source), start, stop)
            entries = [
                columns.entry(row, f"{source}, row {number}")
                for number, row in enumerate(rows, start=start)
            ]
    except TextsError:
        raise
    except Exception as error:  # its class differs between versions of datasets
        raise _not_loaded(source, name, revision, error, offline=offline) from error
    return entries, first_rows


def _opened(
    datasets: ModuleType, name: HubName, n: int | None, revision: str | None, *, offline: bool
) -> tuple[Any, int, int | None, int | None]:
    """Open the dataset; return it with first row, row after the last one, and any limit of rows."""
    version = {} if revision is None else {"revision": revision}
    split, start, stop = name.rows
    is_sliced = "[" in name.split
    can_stream = split != name.split or not is_sliced
    ends_early = n is not None or stop is not None
    if not (ends_early and can_stream and _is_large(datasets, name, version)):
        data = datasets.load_dataset(name.dataset, name.config, split=name.split, **version)
        return data, 0, None, None
    first_rows = None if is_sliced else FIRST_ROWS
    transport = {} if offline else {"streaming": True}
    data = datasets.load_dataset(name.dataset, name.config, split=split, **version, **transport)
    return data, start, stop if is_sliced else first_rows, first_rows


def _is_large(datasets: ModuleType, name: HubName, version: dict[str, str]) -> bool:
    builder = datasets.load_dataset_builder(name.dataset, name.config, **version)
    size: int | None = builder.info.download_size
    return size is None or size > LARGE


def _rows(data: Any, columns: Columns, source: str) -> Iterable[Any]:
    """Return the rows with the needed columns only, so that no image or sound is decoded."""
    rows: Iterable[Any] = data
    if data.column_names is not None:  # a stream may have no schema
        rows = data.select_columns(columns.roots(list(data.column_names), source))
    return rows


def _not_loaded(
    source: str, name: HubName, revision: str | None, error: Exception, *, offline: bool
) -> TextsError:
    reason = str(error).rstrip(".") or type(error).__name__
    at = f", revision {revision}" if revision else ""
    hint = (
        "; run once without --offline (offline=False) to download it; a dataset of more than "
        "1 GB, or of unknown size, is kept only if it is loaded whole, without n"
    )
    return TextsError(
        f"{source!r} (configuration {name.config or 'default'}, split {name.split}{at}) could not "
        f"be loaded{' offline' if offline else ''}: {reason}. Name a dataset, a configuration "
        f"and a split that exist: {_EXAMPLE}{hint if offline else ''}"
    )


@contextmanager
def _network(datasets: ModuleType, *, allowed: bool) -> Iterator[None]:
    """Switch the hub's libraries to their offline mode for the block.

    `DownloadConfig(local_files_only=True)` is not enough, because datasets still contacts the hub;
    the variable HF_HUB_OFFLINE is read only once, when the libraries are imported.
    """
    from huggingface_hub import constants

    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    if not allowed:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
