"""Which tokens of each text a recording keeps.

`"last"`, `"all"`, `"skip:4"` (all but the first four, where attention sinks lie), `"random:8"`
(eight drawn without replacement from each text, or all of a shorter one), a function from the token
ids of a text to a mask, or the positions of each text themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError

Mask = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""From the token ids of a text `(position)` to which of them are kept `(position)`."""

Positions = str | Mask | Sequence[Sequence[int]]

COUNTED = re.compile(r"(skip|random):([0-9]+)", re.ASCII)
GIVEN = "given"
ALLOWED = (
    "allowed are 'last', 'all', 'skip:4', 'random:8', a function from token ids (position) to a "
    "boolean mask (position), or a list of positions for each text: "
    "td.record(model, texts, positions='last')"
)


def name_of(positions: Positions) -> str:
    """What the choice is called in provenance: the string itself, or `given`."""
    return positions if isinstance(positions, str) else GIVEN


def kept_positions(
    positions: Positions, token_lists: Sequence[Sequence[int]], seed: int
) -> list[NDArray[np.int64]]:
    """The kept positions of each text, ascending.

    Args:
        positions: the choice, as in the module's description.
        token_lists: token ids of each text.
        seed: of a random choice. A text's draw depends on the seed, its index and its length.

    Raises:
        RecordingError: an unknown choice, or a mask or positions that do not fit their text.

    >>> kept_positions("skip:2", [[5, 6, 7, 8], [9]], seed=0)
    [array([2, 3]), array([], dtype=int64)]
    """
    lengths = [len(tokens) for tokens in token_lists]
    if positions == "last":
        return [np.array([length - 1]) for length in lengths]
    if positions == "all":
        return [np.arange(length) for length in lengths]
    if isinstance(positions, str):
        return _counted(positions, lengths, seed)
    if callable(positions):
        return [_masked(positions, index, tokens) for index, tokens in enumerate(token_lists)]
    return _given(positions, lengths)


def _counted(positions: str, lengths: Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    match = COUNTED.fullmatch(positions)
    if match is None or (match[1] == "random" and int(match[2]) == 0):
        raise RecordingError(f"got positions={positions!r}; {ALLOWED}")
    count = int(match[2])
    if match[1] == "skip":
        return [np.arange(min(count, length), length) for length in lengths]
    return [
        np.sort(np.random.default_rng([seed, text]).permutation(length)[:count])
        for text, length in enumerate(lengths)
    ]


def _masked(mask: Mask, text: int, tokens: Sequence[int]) -> NDArray[np.int64]:
    kept = np.asarray(mask(np.array(tokens, dtype=np.int64)))
    if kept.shape != (len(tokens),) or kept.dtype != np.bool_:
        raise RecordingError(
            f"the mask function gave shape {kept.shape} and dtype {kept.dtype} for text {text} of "
            f"{len(tokens)} tokens; it returns one boolean per token, as in "
            "positions=lambda tokens: tokens != 0"
        )
    return np.flatnonzero(kept)


def _given(positions: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    if isinstance(positions, int) or len(positions) != len(lengths):
        raise RecordingError(f"got positions={positions!r} for {len(lengths)} texts; {ALLOWED}")
    result = []
    for text, (places, length) in enumerate(zip(positions, lengths, strict=True)):
        kept = np.asarray(places, dtype=np.int64).reshape(-1)
        if kept.size and (kept.min() < 0 or kept.max() >= length or np.any(np.diff(kept) <= 0)):
            raise RecordingError(
                f"got positions {kept.tolist()} for text {text} of {length} tokens; they ascend "
                f"from 0 to at most {length - 1}, each once"
            )
        result.append(kept)
    return result
