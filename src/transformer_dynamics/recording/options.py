"""Options of a recording, in addition to model, texts and positions."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import RecordingError

if TYPE_CHECKING:
    from transformer_dynamics.recording.moments.moments import Moments

CHOICES = {
    "bos": ("tokenizer", "always", "never"),
    "too_long": ("refuse", "truncate", "window"),
    "storage": ("auto", "float32", "float16"),
    "covariance": ("full", "unit"),
}


@dataclass(frozen=True)
class RecordingOptions:
    """Options of `td.record`.

    Attributes:
        bos: Begin token of each text: by the `"tokenizer"`'s own rule, `"always"`, or `"never"`.
        too_long: Treatment of a text longer than the context: `"refuse"`, `"truncate"` to its first
            tokens, or run in overlapping `"window"`s; each token is recorded from one window, after
            at least half a context.
        seed: Seed of the positions that `positions="random:k"` draws.
        storage: `"auto"` stores the computed precision (float32, or float64 for a float64 model);
            `"float16"` halves the size at a relative precision of 5e-4 and refuses magnitudes above
            65504.
        batch_tokens: Number of tokens in a forward pass, padding included; by default 32,768 on a
            GPU, else half the number of units, at least 512 and at most 2048.
        shard_samples: Number of rows in a shard, the unit of resuming; rounded up to whole chunks.
        covariance: Products that `keep="moments"` keeps: `"full"` matrices over pairs of units, or
            each `"unit"` with itself.
        grid: Moments whose histogram bins are used, so that the two sets of moments can be merged.

    Raises:
        RecordingError: a value that is not allowed.
    """

    bos: str = "tokenizer"
    too_long: str = "refuse"
    seed: int = 0
    storage: str = "auto"
    batch_tokens: int | None = None
    shard_samples: int | None = None
    covariance: str = "full"
    grid: Moments | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise RecordingError(
                    f"got {name}={value!r}; allowed are {', '.join(allowed)}: "
                    f"td.RecordingOptions({name}={allowed[0]!r})"
                )
        for name, least in (("seed", 0), ("batch_tokens", 1), ("shard_samples", 1)):
            value = getattr(self, name)
            if value is None and least:
                continue
            object.__setattr__(self, name, _whole(name, value, least))


def _whole(name: str, value: Any, least: int) -> int:
    """Convert a whole number, also one of numpy, to int."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < least:
        raise RecordingError(
            f"got {name}={value!r}; it is a whole number from {least}: "
            f"td.RecordingOptions({name}={256 if least else 0})"
        )
    return number
