"""Numbers of one system that the view Explore shows: the recording, a random walk, a twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.report.explorer.choice import UnitChoice
from transformer_dynamics.report.explorer.paths import (
    movement,
    own_axes,
    step_summaries,
    unit_traces,
)
from transformer_dynamics.report.explorer.spreads import Spreads, null_quantiles

# Samples of a null with single traces.
N_NULL_TRACES = 24
SystemNumbers = dict[str, Any]


def model_numbers(
    recording: Recording, samples: NDArray[np.int64], spread: Spreads, units: UnitChoice
) -> SystemNumbers:
    """Paths of the shown samples, and spreads over all samples, of the recording."""
    shown = shown_part(recording, samples)
    return {
        "quantiles": spread.quantiles,
        "extremes": spread.extremes,
        "extreme_values": spread.extreme_values,
        "traces": unit_traces(shown, units.units),
        **movement(shown),
    }


def walk_numbers(
    recording: Recording, samples: NDArray[np.int64], units: UnitChoice, *, seed: int
) -> SystemNumbers:
    """Paths and spreads of a random walk matched to the shown samples."""
    walk = random_walk(_single(shown_part(recording, samples)), seed=seed)
    return {**system_numbers(walk, units), "row": list(range(samples.size))}


def twin_numbers(twin: Recording, rows: NDArray[np.int64], units: UnitChoice) -> SystemNumbers:
    """Paths and spreads of a twin, and the row of each shown sample in it, -1 where it has none.

    Args:
        twin: recording of the twin.
        rows: row of each shown sample in it, or -1.
        units: units with single traces.
    """
    kept = np.flatnonzero(rows >= 0)
    row_of = np.full(rows.size, -1)
    row_of[kept] = np.arange(kept.size)
    return {**system_numbers(shown_part(twin, rows[kept]), units), "row": row_of.tolist()}


def system_numbers(shown: Recording, units: UnitChoice) -> SystemNumbers:
    """Paths and spreads of a null model over the shown samples."""
    axes = own_axes(shown)
    planes: SystemNumbers = {}
    if axes is not None:
        shares = [float(share) if np.isfinite(share) else None for share in axes.variance]
        planes = {"score": axes.project(shown.values), "share": shares}
    moved = movement(shown)
    moved.pop("norm", None)
    return {
        "n_samples": shown.shape[0],
        "quantiles": null_quantiles(shown.values),
        "traces": unit_traces(shown.isel(sample=slice(N_NULL_TRACES)), units.units),
        **planes,
        **moved,
        **step_summaries(shown),
    }


def shown_part(recording: Recording, samples: NDArray[np.int64]) -> Recording:
    """Some samples of a recording, in memory."""
    return recording.isel(sample=samples).load()


def twin_rows(twin: Recording | None, recording: Recording) -> NDArray[np.int64]:
    """Row of each sample of the recording in the twin, by text and position; -1 where absent.

    A text is found by its tokens: a twin of some of the texts may number them on its own.
    """
    rows = np.full(recording.shape[0], -1)
    if twin is None or twin.shape[1:] != recording.shape[1:]:
        return rows
    if bool(twin.token_lists) != bool(recording.token_lists):
        return rows
    number_of = {tuple(ids): number for number, ids in enumerate(twin.token_lists)}
    own = [number_of.get(tuple(ids), -1) for ids in twin.token_lists]
    others = [number_of.get(tuple(ids), -1) for ids in recording.token_lists]
    place = {key: row for row, key in enumerate(_keys(twin, own))}
    return np.array([place.get(key, -1) for key in _keys(recording, others)], dtype=np.int64)


def _keys(recording: Recording, numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Number of the text, and position, of every sample."""
    texts = [numbers[text] if numbers else text for text in recording.text_index.tolist()]
    rows = recording.dataset
    positions = rows["position"].values.tolist() if "position" in rows else [0] * len(texts)
    return list(zip(texts, positions, strict=True))


def _single(shown: Recording) -> Recording:
    """States of at least 32 bits, since a walk may leave the range of float16."""
    if shown.values.dtype.itemsize >= 4:
        return shown
    return shown.with_values(shown.values.astype(np.float32))
