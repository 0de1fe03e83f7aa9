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
        bos: whether texts get a begin token: the `"tokenizer"`'s own rule, `"always"`, `"never"`.
        too_long: what to do with a text longer than the context: `"refuse"` it, `"truncate"` it to
            its first tokens, or run it in overlapping `"window"`s, in which every token is seen
            once, behind at least half a context.
        seed: of the positions that `positions="random:k"` draws.
        storage: `"auto"` keeps what the model computes (float32, or float64 for a float64 model);
            `"float16"` halves the size at a relative precision of 5e-4 and refuses a state beyond
            65504.
        batch_tokens: tokens in one forward pass, padding included; by default by device.
        shard_samples: rows per shard, the unit of resuming; rounded up to whole chunks.
        covariance: what `keep="moments"` keeps of pairs of units: the `"full"` matrices, or of each
            `"unit"` with itself alone.
        grid: moments whose histogram bins are to be used, so that the two can be merged.

    Raises:
        RecordingError: a value that is not among those allowed.
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
    """A whole number as Python's own, from numpy's as well."""
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
