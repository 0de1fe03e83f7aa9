"""Paths of the texts of a recording: its samples ordered by text and position.

A gap is refused, since a step from position 3 to 9 is no step along tokens. Without a coordinate
`position`, the order of the samples is the order of the tokens.

Cost: a recording on disk is read once, in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.paths.quantities import Along
from transformer_dynamics.recording.recording import Recording

# Tokens at the start and at the end of a text at which no step starts or no turn has its middle.
MARGINS: dict[Along, tuple[int, int]] = {"state": (0, 0), "step": (0, 1), "turn": (1, 1)}


@dataclass(frozen=True)
class TokenTexts:
    """Samples of a recording by text and position.

    Attributes:
        order: samples by text and position, `(token,)`.
        text: text of each token in that order, `(token,)`.
        position: position of each token in its text, `(token,)`.
        texts: texts in ascending order, `(text,)`.
        sizes: number of tokens per text, `(text,)`.
    """

    order: NDArray[np.int64]
    text: NDArray[np.int64]
    position: NDArray[np.int64]
    texts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def points(self, along: Along) -> NDArray[np.int64]:
        """Return the tokens at which a step starts, or in the middle of a turn."""
        before, after = MARGINS[along]
        starts = np.cumsum(self.sizes) - self.sizes
        ends = starts + self.sizes
        ranges = [
            np.arange(start + before, end - after)
            for start, end in zip(starts, ends, strict=True)
            if end - start > before + after
        ]
        return np.concatenate(ranges) if ranges else np.empty(0, dtype=np.int64)

    def paths(self, recording: Recording) -> Iterator[NDArray[Any]]:
        """Yield the states of one text after the other, `(site, token, unit)`.

        Raises:
            InputError: the recording is on disk and its samples are not in this order.
        """
        if not np.array_equal(self.order, np.arange(self.order.size)):
            if not recording.in_memory:
                raise InputError(
                    "got a recording on disk whose samples are not in the order of texts and "
                    "positions; it cannot be read text by text: give recording.load()"
                )
            for rows in np.split(self.order, np.cumsum(self.sizes)[:-1]):
                yield recording.values[rows].transpose(1, 0, 2)
            return
        sizes = iter(self.sizes.tolist())
        size = next(sizes)
        held: NDArray[Any] | None = None
        for _, states in recording.blocks():
            # A text may begin in one block and end in the next.
            held = states if held is None or not len(held) else np.concatenate([held, states])
            while size and len(held) >= size:
                yield held[:size].transpose(1, 0, 2)
                held, size = held[size:], next(sizes, 0)


def token_texts(recording: Recording, at_least: int) -> TokenTexts:
    """Order the samples of a recording by text and position.

    Args:
        recording: states `(sample, site, unit)`.
        at_least: minimum number of tokens of the longest text.

    Raises:
        InputError: no text has `at_least` tokens, or the positions of a text have a gap.
    """
    text = recording.text_index
    has_position = "position" in recording.dataset.coords
    position = (
        np.asarray(recording.dataset["position"].values) if has_position else np.arange(text.size)
    )
    order = np.lexsort((position, text))
    texts, sizes = np.unique(text, return_counts=True)
    if sizes.max() < at_least:
        raise InputError(
            f"got a recording with at most {sizes.max()} token(s) of a text; along tokens this "
            f"needs {at_least} of at least one: td.record(model, texts, positions='all')"
        )
    ordered = TokenTexts(order, text[order], position[order], texts, sizes)
    if has_position:
        _require_no_gap(ordered)
    return ordered


def _require_no_gap(ordered: TokenTexts) -> None:
    same_text = np.diff(ordered.text) == 0
    gaps = np.flatnonzero(same_text & (np.diff(ordered.position) != 1))
    if gaps.size:
        first, second = ordered.position[gaps[0]], ordered.position[gaps[0] + 1]
        raise InputError(
            f"got positions {first} and {second} of text {ordered.text[gaps[0]]} with none between "
            "them, or one position twice; a path along tokens takes consecutive ones: "
            "td.record(model, texts, positions='all'), or 'skip:1' without the first"
        )
