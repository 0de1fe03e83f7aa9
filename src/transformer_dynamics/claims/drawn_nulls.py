"""Nulls that are drawn from a recording, and the claims that share their draws."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from transformer_dynamics.claims.claim import Claim, whole_recording
from transformer_dynamics.nulls.in_blocks.draws import draws_by_blocks, goes_by_blocks
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS
from transformer_dynamics.stats.bootstrap import uniform_weights

Profiles = dict[str, Floats]
Prepare = Callable[[Recording], Callable[[int], Recording]]
# Profiles of one draw by claim, given its seed and the claims that still need it.
Draw = Callable[[int, Sequence[Claim]], Profiles]


@dataclass(frozen=True)
class DrawnNull:
    """A null with the claims that share its draws.

    Attributes:
        name: name of the null.
        claims: the claims.
        prepare: function of the recording that does the work all draws share; it gives the draws.
    """

    name: str
    claims: tuple[Claim, ...]
    prepare: Callable[[Recording], Draw]


def drawn_nulls(claims: Sequence[Claim], *, in_blocks: bool = False) -> list[DrawnNull]:
    """Nulls that are drawn from the recording, with the claims that name them.

    Args:
        claims: the claims.
        in_blocks: whether the recording is read in blocks. A null that is only shown and needs all
            samples at once is then left out, with a warning.
    """
    shared: dict[tuple[str, Any, Any], list[Claim]] = {}
    own = []
    for claim in claims:
        for name in claim.all_nulls:
            if in_blocks and _is_left_out(claim, name):
                continue
            if not NULLS.get(name).needs_model:
                key = (name, claim.drawn_from, claim.quick_draws.get(name))
                shared.setdefault(key, []).append(claim)
        own += [
            DrawnNull(name, (claim,), partial(_own_draws, claim, null.profile))
            for name, null in claim.own_nulls.items()
        ]
    return [
        DrawnNull(name, tuple(users), partial(_draws, quick or _whole_draws(name, source)))
        for (name, source, quick), users in shared.items()
    ] + own


def _is_left_out(claim: Claim, name: str) -> bool:
    """Whether a null of a recording that is read in blocks is left out, with a warning."""
    null = NULLS.get(name)
    is_whole = claim.drawn_from is whole_recording and name not in claim.quick_draws
    if null.needs_model or not is_whole or goes_by_blocks(null.function) or name in claim.nulls:
        return False
    warnings.warn(
        f"{claim.id} is shown without the null {name}, which takes all samples at once: this "
        "recording is larger than the memory and is read in blocks",
        UserWarning,
        stacklevel=4,
    )
    return True


def _whole_draws(name: str, source: Callable[[Recording], Recording]) -> Prepare:
    return partial(draws_of, NULLS.get(name).function, source)


def draws_of(
    null: Callable[..., Recording],
    source: Callable[[Recording], Recording],
    recording: Recording,
) -> Callable[[int], Recording]:
    """Draws of a null from the source: `seed -> recording`; in blocks where the source is on disk.

    Args:
        null: function of the null, `(recording, seed=...) -> recording`.
        source: function from the recording to the recording that the null is drawn from.
        recording: the recording.
    """
    drawn_from = source(recording)
    if not drawn_from.in_memory:
        return draws_by_blocks(null, drawn_from)
    return partial(_seeded, null, drawn_from)


def _seeded(function: Callable[..., Recording], source: Recording, seed: int) -> Recording:
    return function(source, seed=seed)


def _draws(
    prepare: Callable[[Recording], Callable[[int], Recording]], recording: Recording
) -> Draw:
    """Draws that are recordings, measured by each claim."""
    draw = prepare(recording)

    def profiles(seed: int, claims: Sequence[Claim]) -> Profiles:
        drawn = draw(seed)
        weights = uniform_weights(drawn.shape[0])
        return {claim.id: claim.profile(drawn, weights)[0] for claim in claims}

    return profiles


def _own_draws(
    claim: Claim, profile: Callable[[Recording, int], Floats], recording: Recording
) -> Draw:
    """Draws that are profiles of one claim."""
    source = claim.drawn_from(recording)
    return lambda seed, claims: {claim.id: profile(source, seed)}


def profiles_of(draw: Draw, seed: int, claims: Sequence[Claim]) -> Profiles:
    """Profiles of one draw, as a task of its own."""
    return draw(seed, claims)


def draw_seed(seed: int, name: str, number: int) -> int:
    """Seed of one draw, whatever thread or worker makes it and in whatever order."""
    entropy = (seed, zlib.crc32(name.encode()), number)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
