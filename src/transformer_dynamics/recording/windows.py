"""Windows: the token sequences that the model runs, no longer than its context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_dynamics.errors import RecordingError


@dataclass(frozen=True)
class Window:
    """Tokens that run as one sequence: a whole text, or a part of a text that is too long.

    Attributes:
        text: Index of the text.
        tokens: Token ids.
        first: Position in the text of the first token that is recorded from this window.
        place: Position of that token in `tokens`.
    """

    text: int
    tokens: tuple[int, ...]
    first: int
    place: int


def fit(
    token_lists: Sequence[Sequence[int]], *, context_length: int | None, too_long: str
) -> list[tuple[int, ...]]:
    """Return the recorded tokens of each text, cut to the context if `too_long="truncate"`.

    Raises:
        RecordingError: a text is longer than the context and `too_long` is `"refuse"`.
    """
    if context_length is None or too_long == "window":
        return [tuple(map(int, ids)) for ids in token_lists]
    over = [index for index, ids in enumerate(token_lists) if len(ids) > context_length]
    if over and too_long == "refuse":
        raise RecordingError(
            f"{len(over)} of {len(token_lists)} texts are longer than the model's context of "
            f"{context_length} tokens (text {over[0]} has {len(token_lists[over[0]])}); shorten "
            "them, keep their first tokens, options=td.RecordingOptions(too_long='truncate') "
            "(--too-long truncate), or run them in overlapping windows, too_long='window'"
        )
    return [tuple(map(int, ids[:context_length])) for ids in token_lists]


def shared(ids: Sequence[int]) -> tuple[int, ...]:
    """Return a tuple itself, as the recorder's are tuples of `int`; else a tuple of `int`.

    The tokens of many texts are then in memory once, in the plan and its windows.
    """
    return ids if isinstance(ids, tuple) else tuple(int(token) for token in ids)


def windows(
    token_lists: Sequence[Sequence[int]], context_length: int | None, begin: int | None = None
) -> list[Window]:
    """Cut texts into windows: one for a text that fits, several for a longer one.

    The first window holds the first tokens that fit. Each further window is full too and yields the
    states of the next half a context. So every token is recorded from exactly one window, after at
    least half a context or all of the text before it. A begin token of the text is repeated at the
    start of each of its windows.

    >>> [(w.tokens, w.first, w.place) for w in windows([[1, 2, 3, 4, 5, 6, 7]], 4)]
    [((1, 2, 3, 4), 0, 0), ((3, 4, 5, 6), 4, 2), ((4, 5, 6, 7), 6, 3)]
    """
    result = []
    for text, ids in enumerate(token_lists):
        tokens = shared(ids)
        result.append(Window(text, tokens[:context_length], 0, 0))
        if context_length is None or len(tokens) <= context_length:
            continue
        lead = tokens[:1] if begin is not None and tokens[0] == begin else ()
        room = context_length - len(lead)
        if room < 2:
            raise RecordingError(
                f"a context of {context_length} tokens is too short for windows; keep the first "
                "tokens: options=td.RecordingOptions(too_long='truncate')"
            )
        first = context_length
        while first < len(tokens):
            stop = min(len(tokens), first + room // 2)
            inside = lead + tokens[stop - room : stop]
            result.append(Window(text, inside, first, len(inside) - (stop - first)))
            first = stop
    return result
