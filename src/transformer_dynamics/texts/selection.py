"""Selection of texts: bounds on their length, and a seeded sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts.files.columns import Entry
from transformer_dynamics.texts.options import TextOptions
from transformer_dynamics.texts.sources import Source, is_bundled, is_on_hub, shown

CORPUS_CHARS = (100, 500)
"""Default bounds of a corpus's texts, as in arXiv 2502.12131; shorter ones are mostly headings."""


class Bounds(NamedTuple):
    """Bounds on the length of a text in characters; None is no bound."""

    lower: int | None
    upper: int | None

    @classmethod
    def of(cls, source: Source, options: TextOptions) -> Bounds:
        """Return the bounds of the options, with the defaults of the source.

        Raises:
            TextsError: the lower bound exceeds the upper one.
        """
        is_corpus = is_on_hub(source) or is_bundled(source)
        lower, upper = options.min_chars, options.max_chars
        lower = CORPUS_CHARS[0] if lower is None and is_corpus else lower
        upper = CORPUS_CHARS[1] if upper is None and is_corpus else upper
        if lower is not None and upper is not None and lower > upper:
            raise TextsError(
                f"min_chars={lower} is more than max_chars={upper}, so no text lies within the "
                f"bounds; name both, the smaller first: {_call_with(upper, lower)}"
            )
        return cls(lower, upper)

    def contain(self, text: str) -> bool:
        """Return whether the length of a text lies within the bounds."""
        above = self.lower is None or self.lower <= len(text)
        return above and (self.upper is None or len(text) <= self.upper)

    def __str__(self) -> str:
        lower = f"at least {self.lower}" if self.lower else ""
        upper = f"at most {self.upper}" if self.upper is not None else ""
        return " and ".join(filter(None, (lower, upper))) or "any number of"


def texts_within(entries: list[Entry], bounds: Bounds, source: Source) -> list[Entry]:
    """Strip the texts and keep those that are not blank and lie within the bounds.

    Raises:
        TextsError: no text is left.
    """
    stripped = [(text.strip(), group) for text, group in entries]
    kept = [entry for entry in stripped if entry[0] and bounds.contain(entry[0])]
    if kept:
        return kept
    lengths = [len(text) for text, _ in stripped if text]
    if not lengths:
        raise TextsError(
            f"{shown(source)} holds no text: it is empty or blank; write at least one text into "
            f"it and call load_texts({shown(source)}) again"
        )
    raise TextsError(
        f"none of the {len(lengths)} texts of {shown(source)} has {bounds} characters; their "
        f"lengths are {min(lengths)} to {max(lengths)}: "
        f"{_call_with(min(lengths), max(lengths), shown(source))}"
    )


def sample(
    entries: list[Entry], n: int | None, seed: int, source: Source, first_rows: int | str | None
) -> list[Entry]:
    """Draw `n` entries without replacement, in their original order.

    Args:
        entries: texts with their groups.
        n: number of texts. None: all.
        seed: seed of the draw.
        source: source of the texts, for the error.
        first_rows: number of rows that were read, if limited.

    Raises:
        TextsError: there are fewer than `n`.
    """
    if n is None:
        return entries
    if n > len(entries):
        rows = "" if first_rows is None else f"in its first {first_rows} rows "
        remedy = (
            "widen min_chars and max_chars"
            if first_rows is None
            else f"name more rows by a slice of the split: 'hf://…:train[:{10 * int(first_rows)}]'"
        )
        raise TextsError(
            f"got n={n} for {shown(source)}, which has {len(entries)} texts {rows}within the "
            f"bounds; ask for at most that many, load_texts({shown(source)}, n={len(entries)}), "
            f"or {remedy}"
        )
    chosen = np.random.default_rng(seed).choice(len(entries), size=n, replace=False)
    return [entries[index] for index in np.sort(chosen)]


def _call_with(lower: int, upper: int, source: str = "source") -> str:
    return f"load_texts({source}, options=TextOptions(min_chars={lower}, max_chars={upper}))"
