"""Texts with their source and selection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import SupportsIndex, overload


@dataclass(frozen=True, repr=False)
class Texts(Sequence[str]):
    """Strings with their source, selection and groups.

    Attributes:
        strings: the texts.
        source: name or path of their source.
        selection: `min_chars` and `max_chars` (None: no bound), `n` (None: all), `seed` (of the
            sample and of the cut), `available` (number of texts read within the bounds), `cut`, and
            `group` (meaning of the groups; None: there are none). With the cut "random" also
            `left_whole`, the number of texts that could not be cut. With a pattern or a list of
            files also `files`, their number. With a dataset of the hub also `revision` (None: the
            newest) and `first_rows`, the number of rows read from the start of the split (None: all
            rows that the name selects).
        groups: group of each text, empty if a text has none. None: no groups.
    """

    strings: tuple[str, ...]
    source: str
    selection: dict[str, int | str | None] = field(hash=False)
    groups: tuple[str, ...] | None = None

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
