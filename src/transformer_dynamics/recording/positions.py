"""Positions: the tokens of each text that a recording keeps.

A choice is `"last"`, `"last_content"` (the last token that is no special token), `"all"`,
`"skip:4"` (all but the first four, where attention sinks lie), `"random:8"` (eight drawn without
replacement from each text, or all of a shorter one), a function from the token ids of a text to a
mask, or a list with the positions or a mask of each text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError

Mask = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Function from the token ids of a text `(position)` to a mask of the kept ones `(position)`."""

Positions = str | Mask | Sequence[Sequence[int]]

COUNTED = re.compile(r"(skip|random):([0-9]+)", re.ASCII)
GIVEN = "given"
ALLOWED = (
    "allowed are 'last', 'last_content', 'all', 'skip:4', 'random:8', a function from token ids "
    "(position) to a boolean mask (position), or a list of positions or a mask for each text: "
    "td.record(model, texts, positions='last')"
)


def name_of(positions: Positions) -> str:
    """Name of the choice in provenance: the string itself, or `given`."""
    return positions if isinstance(positions, str) else GIVEN


def kept_positions(
    positions: Positions,
    token_lists: Sequence[Sequence[int]],
    seed: int,
    special: AbstractSet[int] = frozenset(),
) -> list[NDArray[np.int64]]:
    """Compute the kept positions of each text, ascending.

    Args:
        positions: Choice of positions, as in the module's description.
        token_lists: Token ids of each text.
        seed: Seed of a random choice. The draw of a text depends on the seed, the index of the text
            and its length.
        special: Ids of special tokens, for `"last_content"`.

    Raises:
        RecordingError: an unknown choice, or a mask or positions that do not fit their text.

    >>> kept_positions("skip:2", [[5, 6, 7, 8], [9]], seed=0)
    [array([2, 3]), array([], dtype=int64)]
    """
    lengths = [len(tokens) for tokens in token_lists]
    if isinstance(positions, str) and positions == "last":
        return [np.array([length - 1]) for length in lengths]
    if isinstance(positions, str) and positions == "last_content":
        return [_last_content(index, tokens, special) for index, tokens in enumerate(token_lists)]
    if isinstance(positions, str) and positions == "all":
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


def _last_content(text: int, tokens: Sequence[int], special: AbstractSet[int]) -> NDArray[np.int64]:
    if not special:
        raise RecordingError(
            "positions='last_content' leaves out special tokens, but this model has no tokenizer "
            "that names any; use positions='last'"
        )
    content = [position for position, token in enumerate(tokens) if token not in special]
    if not content:
        raise RecordingError(
            f"text {text} consists of special tokens; leave it out, or use positions='last'"
        )
    return np.array(content[-1:])


def _given(positions: Any, lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    try:
        n_given = len(positions)
    except TypeError:
        n_given = -1
    if n_given != len(lengths) or isinstance(positions, bytes | set | frozenset | Mapping):
        raise RecordingError(f"got positions={positions!r:.80} for {len(lengths)} texts; {ALLOWED}")
    return [
        _of_one_text(text, chosen, length)
        for text, (chosen, length) in enumerate(zip(positions, lengths, strict=True))
    ]


def _of_one_text(text: int, chosen: Any, length: int) -> NDArray[np.int64]:
    """Positions of one text, from numbers or from a mask over its tokens."""
    if hasattr(chosen, "detach"):
        chosen = chosen.detach().cpu().numpy()
    try:
        given = np.asarray(chosen).reshape(-1)
    except ValueError as error:
        raise RecordingError(
            f"got positions for text {text} that are no list ({error}); give whole numbers: "
            "positions=[[0, 3], [5]]"
        ) from None
    if given.dtype == np.bool_:
        if given.size != length:
            raise RecordingError(
                f"got a mask of {given.size} tokens for text {text} of {length}; a mask has one "
                "truth value per token of the text, without padding"
            )
        return np.flatnonzero(given)
    if given.size and given.dtype.kind not in "iu":
        raise RecordingError(
            f"got positions of dtype {given.dtype} for text {text}; they are whole numbers from 0, "
            "or one truth value per token: positions=[[0, 3], [5]]"
        )
    kept = given.astype(np.int64)
    if kept.size and (kept.min() < 0 or kept.max() >= length or np.any(np.diff(kept) <= 0)):
        raise RecordingError(
            f"got positions {kept.tolist()} for text {text} of {length} tokens; they ascend "
            f"from 0 to at most {length - 1}, each once: positions=[[0, {length - 1}], ...]"
        )
    return kept
