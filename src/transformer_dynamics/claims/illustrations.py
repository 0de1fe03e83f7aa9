"""Illustrations for the figures: of the subject, and of one draw or recording of each null."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.drawn_nulls import draw_seed, draws_of
from transformer_dynamics.claims.evidence import Gathered
from transformer_dynamics.claims.handles import Handles
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.numerics.parallel import Pool, Task
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import NULLS

Source = Callable[[Recording], Recording]


def illustrate(
    claims: Sequence[Claim],
    subjects: Mapping[str, Subject],
    gathered: Mapping[str, Gathered],
    seed: int,
    pool: Pool,
    handles: Handles,
) -> None:
    """Add illustrations to the evidence of the claims that have them; claims share a null's draw.

    A null of one claim alone gives no recording and has no illustration.
    """
    users: dict[tuple[str, Source, int], list[Claim]] = {}
    tasks: list[tuple[str | None, list[Claim], Task]] = []
    for claim in claims:
        if claim.illustration is None:
            continue
        data = subjects[claim.id].data
        tasks.append((None, [claim], pool.submit(_of_recording, [claim], handles.of(data))))
        for name in claim.all_nulls:
            null = subjects[claim.id].nulls.get(name)
            if null is not None:
                task = pool.submit(_of_recording, [claim], handles.of(null.recordings[0]))
                tasks.append((name, [claim], task))
            elif name in gathered[claim.id].nulls and not NULLS.get(name).needs_model:
                users.setdefault((name, claim.drawn_from, id(data)), []).append(claim)
    for (name, source, _), sharing in users.items():
        data, null_seed = handles.of(subjects[sharing[0].id].data), draw_seed(seed, name, 0)
        function = NULLS.get(name).function
        task = pool.submit(_of_first_draw, sharing, function, source, data, null_seed)
        tasks.append((name, sharing, task))
    for shown, sharing, task in tasks:
        for claim, drawn in zip(sharing, task.result(), strict=True):
            if shown is None:
                gathered[claim.id].illustration = drawn
            else:
                gathered[claim.id].illustrations[shown] = drawn.values


def _of_recording(claims: Sequence[Claim], recording: Any) -> list[xr.DataArray]:
    return [claim.illustration(recording) for claim in claims if claim.illustration is not None]


def _of_first_draw(
    claims: Sequence[Claim],
    null: Callable[..., Recording],
    source: Source,
    recording: Recording,
    seed: int,
) -> list[xr.DataArray]:
    return _of_recording(claims, draws_of(null, source, recording)(seed))
