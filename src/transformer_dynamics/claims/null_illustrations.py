"""Illustrations of nulls for the figures: of the first draw, or of the first recording, of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future

import xarray as xr

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.drawn_nulls import draw_seed, draws_of
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS

Source = Callable[[Recording], Recording]


def null_illustrations(
    claims: Sequence[Claim],
    subjects: Mapping[str, Subject],
    recording: Recording,
    seed: int,
    pool: Executor,
) -> dict[str, dict[str, Floats]]:
    """Illustrations by claim and null; claims share the draw of a null.

    A null of one claim alone gives no recording and has no illustration.
    """
    users: dict[tuple[str, Source], list[Claim]] = {}
    illustrated = [claim for claim in claims if claim.illustration is not None]
    tasks: list[tuple[str, list[Claim], Future[list[Floats]]]] = []
    for claim in illustrated:
        for name in claim.all_nulls:
            null = subjects[claim.id].nulls.get(name)
            if null is not None:
                task = pool.submit(_of_recording, [claim], null.recordings[0])
                tasks.append((name, [claim], task))
            elif claim.perturbation is None and not NULLS.get(name).needs_model:
                users.setdefault((name, claim.drawn_from), []).append(claim)
    for (name, source), sharing in users.items():
        task = pool.submit(_of_first_draw, sharing, name, source, recording, seed)
        tasks.append((name, sharing, task))
    found: dict[str, dict[str, Floats]] = {claim.id: {} for claim in claims}
    for name, sharing, task in tasks:
        for claim, values in zip(sharing, task.result(), strict=True):
            found[claim.id][name] = values
    return found


def _of_recording(claims: Sequence[Claim], recording: Recording) -> list[Floats]:
    drawn: list[xr.DataArray] = [
        claim.illustration(recording) for claim in claims if claim.illustration is not None
    ]
    return [each.values for each in drawn]


def _of_first_draw(
    claims: Sequence[Claim], name: str, source: Source, recording: Recording, seed: int
) -> list[Floats]:
    return _of_recording(claims, draws_of(name, source, recording)(draw_seed(seed, name, 0)))
